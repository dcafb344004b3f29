//! Handing over, looking, changing: the commands of producers and operators against a real server.

use serde_json::Value;

use crate::kit::Place;

#[test]
fn a_task_goes_from_a_shell_through_a_program_back_to_a_shell() {
    let (place, _server) = Place::with_dev();
    let _worker = place.work("hello", "cat");
    let args = ["enqueue", "hello", r#"{"name": "world"}"#, "--wait=60s"];
    assert_eq!(place.run(args).ok(), r#"{"name": "world"}"#);
    let id = place.enqueue(["hello", "[1, 2]", "--label", "tenant=acme"]);
    place.run(["tasks", "watch", &id]).ok();
    let task = place.task(&id);
    assert_eq!(task["state"], "completed");
    assert_eq!(task["result"].to_string(), "[1,2]");
    assert_eq!(task["labels"]["tenant"], "acme");
    assert_eq!(task["deliveries"].as_array().unwrap().len(), 1);
    let shown = place.run(["tasks", "show", &id]).ok();
    assert!(shown.contains("completed") && shown.contains("tenant=acme"), "{shown}");
}

#[test]
fn a_payload_is_taken_from_the_line_a_file_or_standard_input_and_checked_at_once() {
    let (place, _server) = Place::with_dev();
    std::fs::write(place.path().join("payload.json"), "{\"from\": \"file\"}").unwrap();
    let id = place.enqueue(["k", "@payload.json"]);
    assert_eq!(place.task(&id)["payload"]["from"], "file");
    let mut piped = place.command(["enqueue", "k", "-", "-o", "name"]);
    piped.stdin(std::fs::File::open(place.path().join("payload.json")).unwrap());
    let id = crate::kit::finish(piped).ok();
    assert_eq!(place.task(id.trim())["payload"]["from"], "file");
    let said = place.run(["enqueue", "k", "{unquoted}"]).fails(2);
    assert!(said.contains("not JSON") && said.contains("at character 2"), "{said}");
    let id = place.enqueue(["k", "{unquoted}", "--content-type", "text/plain"]);
    assert_eq!(place.task(&id)["payload_base64"], "e3VucXVvdGVkfQ==");
    place.run(["enqueue", "k", "@nowhere.json"]).fails(74);
}

#[test]
fn an_id_makes_a_repeated_enqueue_harmless_and_another_payload_a_conflict() {
    let (place, _server) = Place::with_dev();
    let id = place.enqueue(["k", "1"]);
    let again = place.run(["enqueue", "k", "1", "--id", &id]).ok();
    assert!(again.contains("existing"), "{again}");
    place.run(["enqueue", "k", "2", "--id", &id]).fails(1);
    let first = place.enqueue(["k", "--unique", "order-17"]);
    assert_eq!(place.enqueue(["k", "--unique", "order-17"]), first);
    place.run(["enqueue", "k", "--unique", "order-17", "--on-conflict", "reject"]).fails(1);
}

#[test]
fn what_breaks_a_rule_is_refused_with_the_rule() {
    let (place, _server) = Place::with_dev();
    for (args, rule) in [
        (&["enqueue", "a/b"][..], "letters, digits"),
        (&["enqueue", "k", "-p", "10"], "0 to 9"),
        (&["enqueue", "k", "--delay", "soon"], "not a duration"),
        (&["enqueue", "k", "--run-at", "2027-01-31"], "offset from UTC"),
        (&["enqueue", "k", "--max-attempts", "0"], "from 1 to 1000"),
        (&["enqueue", "k", "--backoff", "pause=1s"], "base="),
        (&["enqueue", "k", "--label", "tenant"], "NAME=VALUE"),
        (&["enqueue", "k", "--unique-for", "1h"], "--unique"),
        (&["tasks", "show", "17"], "not a task id"),
        (&["tasks", "list", "--filter", "colour:red"], "known are queue"),
        (&["queues", "set", "mail"], "nothing is set"),
        (&["queues", "set", "mail", "--concurrency", "0"], "pause the queue"),
    ] {
        let said = place.run(args).fails(2);
        assert!(said.contains(rule), "{args:?}: {said}");
    }
}

#[test]
fn a_payload_may_be_as_large_as_the_limit_and_no_larger() {
    let (place, _server) = Place::with_dev();
    let file = place.path().join("large");
    let limit = 1024 * 1024;
    let enqueue = || place.run(["enqueue", "k", "@large", "--content-type", "text/plain"]);
    std::fs::write(&file, vec![b'x'; limit]).unwrap();
    enqueue().ok();
    std::fs::write(&file, vec![b'x'; limit + 1]).unwrap();
    let said = enqueue().fails(2);
    assert!(said.contains("1048576"), "{said}");
}

#[test]
fn destructive_verbs_count_first_and_need_a_yes_without_a_terminal() {
    let (place, _server) = Place::with_dev();
    place.enqueue(["k", "--count", "3", "--queue", "q"]);
    let said = place.run(["tasks", "cancel", "--filter", "queue:q"]).fails(2);
    assert!(said.contains("cancel 3 tasks?") && said.contains("--yes"), "{said}");
    let dry = place.run(["tasks", "cancel", "--filter", "queue:q", "--dry-run"]).ok();
    assert!(dry.contains("3 match, nothing changed"), "{dry}");
    let done = place.run(["tasks", "cancel", "--filter", "queue:q", "--yes"]).ok();
    assert!(done.contains("3 matched, 3 done"), "{done}");
    place.run(["tasks", "rerun", "--filter", "state:cancelled", "--yes"]).ok();
    let left = place.run(["tasks", "list", "--filter", "state:available", "-o", "name"]).ok();
    assert_eq!(left.lines().count(), 3);
    let id = left.lines().next().unwrap();
    place.run(["tasks", "delete", id, "--yes"]).ok();
    let said = place.run(["tasks", "show", id]).fails(1);
    assert!(said.contains("not known"), "{said}");
    let gone = place.run(["tasks", "cancel", id, "--yes", "-o", "json"]);
    assert_eq!(gone.code, Some(1));
    let document: Value = serde_json::from_str(&gone.stdout).unwrap();
    assert_eq!(document["answers"][0]["answer"], "not_found");
}

#[test]
fn a_listing_has_a_line_a_task_in_every_format() {
    let (place, _server) = Place::with_dev();
    place.enqueue(["k", "--count", "5"]);
    let list = |format| place.run(["tasks", "list", "-o", format]).ok();
    assert_eq!(list("table").lines().count(), 6, "with a head");
    assert_eq!(list("wide").lines().count(), 6);
    assert_eq!(list("name").lines().count(), 5);
    assert_eq!(list("ndjson").lines().count(), 5);
    let document: Value = serde_json::from_str(&list("json")).unwrap();
    assert_eq!(document["tasks"].as_array().unwrap().len(), 5);
    let limited = place.run(["tasks", "list", "--limit", "2"]);
    assert!(limited.stderr.contains("--limit"), "{limited:?}");
    assert_eq!(limited.ok().lines().count(), 3);
}

#[test]
fn text_of_users_cannot_steer_the_terminal() {
    let (place, _server) = Place::with_dev();
    let id = place.enqueue(["k", "--label", "a=x\u{1b}[2Jy\u{202e}z"]);
    for args in [&["tasks", "list", "-o", "wide"][..], &["tasks", "show", &id]] {
        let shown = place.run(args).ok();
        assert!(shown.contains("x\\u{1b}[2Jy\\u{202e}z"), "{args:?}: {shown}");
    }
}

#[test]
fn a_queue_is_paused_limited_and_resumed() {
    let (place, _server) = Place::with_dev();
    let id = place.enqueue(["hello", "--queue", "q"]);
    place.run(["queues", "pause", "q"]).ok();
    let worker = place.start(["work", "--queue", "q", "--exec", "cat"]);
    worker.wait_for("working");
    let shown = place.run(["queues", "show", "q", "-o", "json"]).ok();
    let queue: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&queue["settings"]["paused"], &queue["tasks"]["available"]),
        (&true.into(), &1.into())
    );
    place.run(["queues", "set", "q", "--concurrency", "1", "--max-tasks", "1"]).ok();
    let said = place.run(["enqueue", "hello", "--queue", "q"]).fails(75);
    assert!(said.contains('q'), "{said}");
    place.run(["queues", "resume", "q"]).ok();
    place.run(["tasks", "watch", &id]).ok();
    place.run(["queues", "show", "nowhere"]).fails(1);
}

#[test]
fn a_worker_is_listed_and_stops_when_it_is_told_to() {
    let (place, _server) = Place::with_dev();
    let mut worker = place.work("hello", "cat");
    // It is heard of with its first beat or want, which precedes its first task.
    place.run(["enqueue", "hello", "--wait=60s"]).ok();
    let id = place.run(["workers", "list", "-o", "name"]).ok().trim().to_owned();
    let said = place.run(["workers", "stop", &id]).fails(2);
    assert!(said.contains("stop 1 worker?"), "{said}");
    place.run(["workers", "stop", &id, "--yes"]).ok();
    assert!(worker.ended().success());
    let said = place.run(["workers", "quiet", "nobody"]).fails(1);
    assert!(said.contains("nobody has heard of nobody"), "{said}");
}

//! Any program as a worker: what it gets, what its end means, and how it is ended.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::kit::{Place, bounded};

/// A named pipe, on which a test and a program wait for each other.
fn pipe(place: &Place, name: &str) -> PathBuf {
    let path = place.path().join(name);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

/// What the program says on a pipe.
#[track_caller]
fn hear(pipe: &Path) -> String {
    let pipe = pipe.to_owned();
    bounded(move || std::fs::read_to_string(pipe).unwrap())
}

/// Lets a program go on that reads from a pipe.
#[track_caller]
fn tell(pipe: &Path) {
    let pipe = pipe.to_owned();
    bounded(move || std::fs::write(pipe, "go\n").unwrap());
}

#[test]
fn a_program_gets_its_task_in_its_environment_and_its_payload_on_standard_input() {
    let (place, _server) = Place::with_dev();
    let program = r#"printf '%s %s %s %s %s ' "$HAULIER_TASK_ID" "$HAULIER_KIND" "$HAULIER_QUEUE" \
        "$HAULIER_ATTEMPT" "$TRACEPARENT"; test "$HAULIER_EPOCH" -gt 0 && cat"#;
    let _worker = place.work("k", program);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let header = format!("traceparent={trace}");
    let id = place.enqueue(["k", "\"the payload\"", "--header", &header]);
    place.run(["tasks", "watch", &id]).ok();
    let task = place.task(&id);
    assert_eq!(task["result_content_type"], "text/plain; charset=utf-8");
    let result = place.run(["tasks", "show", &id, "--include", "result"]).ok();
    let expected = format!("{id} k default 1 {trace} \"the payload\"");
    assert!(result.contains(&expected), "{result}");
}

#[test]
fn a_failing_program_is_tried_again_and_its_last_words_are_kept() {
    let (place, _server) = Place::with_dev();
    let _worker = place.work("k", "echo doing; echo no such address >&2; exit 3");
    let backoff = "base=10ms,jitter=0";
    let id = place.enqueue(["k", "--max-attempts", "2", "--backoff", backoff]);
    place.run(["tasks", "watch", &id]).fails(1);
    let task = place.task(&id);
    assert_eq!((&task["state"], &task["reason"]), (&"dead".into(), &"exhausted".into()));
    assert_eq!(task["attempt"], 2);
    assert_eq!(task["last_error"]["error"]["message"], "exit code 3: no such address");
    let dead = place.run(["dead", "list", "-o", "name"]).ok();
    assert_eq!(dead.trim(), id);
}

#[test]
fn exit_code_65_rejects_a_task_at_once() {
    let (place, _server) = Place::with_dev();
    let _worker = place.work("k", "echo never >&2; exit 65");
    let said = place.run(["enqueue", "k", "--wait=60s"]).fails(1);
    assert!(said.contains("dead (rejected)") && said.contains("never"), "{said}");
}

#[test]
fn a_result_beyond_the_limit_is_rejected_and_never_held_in_memory() {
    let (place, _server) = Place::with_dev();
    let _worker = place.work("k", "head -c 50000000 /dev/zero");
    let said = place.run(["enqueue", "k", "--wait=60s"]).fails(1);
    assert!(said.contains("more than 1048576 bytes"), "{said}");
}

#[test]
fn a_cancelled_program_and_its_children_are_asked_to_end() {
    let (place, _server) = Place::with_dev();
    let (started, ended) = (pipe(&place, "started"), pipe(&place, "ended"));
    // The child traps the signal: it is the whole group that gets it.
    let program = "(trap 'echo asked > ended; exit' TERM; echo > started; \
                   while :; do sleep 0.02; done) & wait; wait";
    let _worker = place.work("k", program);
    let id = place.enqueue(["k"]);
    hear(&started);
    place.run(["tasks", "cancel", &id, "--yes"]).ok();
    assert_eq!(hear(&ended), "asked\n");
    place.run(["tasks", "watch", &id]).fails(1);
    assert_eq!(place.task(&id)["state"], "cancelled");
}

#[test]
fn a_program_that_runs_too_long_is_ended_and_counts_as_an_attempt() {
    let (place, _server) = Place::with_dev();
    let _worker = place.work("k", "exec sleep 600");
    let id = place.enqueue(["k", "--timeout", "200ms", "--max-attempts", "1"]);
    place.run(["tasks", "watch", &id]).fails(1);
    let task = place.task(&id);
    assert_eq!(
        (&task["reason"], &task["last_error"]["cause"]),
        (&"exhausted".into(), &"timeout".into())
    );
}

#[test]
fn sigterm_lets_a_running_program_finish() {
    let (place, _server) = Place::with_dev();
    let (started, go) = (pipe(&place, "started"), pipe(&place, "go"));
    let mut worker = place.work("k", "echo > started; read line < go; echo \"[\\\"$line\\\"]\"");
    let (first, second) = (place.enqueue(["k"]), place.enqueue(["k"]));
    hear(&started);
    crate::kit::signal(worker.id(), Signal::TERM);
    worker.wait_for("told to stop");
    tell(&go);
    assert!(worker.ended().success());
    assert_eq!(place.task(&first)["result"][0], "go");
    let left = place.task(&second);
    assert_eq!((&left["state"], &left["attempt"]), (&"available".into(), &0.into()));
}

#[test]
fn a_worker_that_is_killed_loses_no_task() {
    let (place, _server) = Place::with_dev();
    let started = pipe(&place, "started");
    let mut first = place.work("k", "echo > started; exec sleep 600");
    let id = place.enqueue(["k"]);
    hear(&started);
    first.end(Signal::KILL);
    let _second = place.work("k", "echo '\"done\"'");
    place.run(["tasks", "watch", &id]).ok();
    let task = place.task(&id);
    assert_eq!((&task["result"], &task["losses"]), (&"done".into(), &1.into()));
}

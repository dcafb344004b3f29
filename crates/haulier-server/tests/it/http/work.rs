//! What workers over HTTP do.

use std::time::Duration;

use haulier_core::State;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::site::{Answer, Site, within};

async fn settle(site: &Site, lease: &Value, more: Value) -> Value {
    let mut end = json!({ "task": lease["task"], "epoch": lease["epoch"] });
    end.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let body = json!({ "worker": "w", "settlements": [end] }).to_string();
    let answer = site.post("/api/v1/settlements", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["answers"][0].clone()
}

async fn show(site: &Site, lease: &Value) -> Value {
    site.get(&format!("/api/v1/tasks/{}", lease["task"].as_str().unwrap())).await.json()
}

#[tokio::test]
async fn a_lease_tells_everything_that_a_handler_needs() {
    let site = Site::start();
    site.enqueue(r#"{"kind":"email.send","payload":{"to":"a"},"headers":{"h":"1"},"timeout":60}"#)
        .await;
    let body = r#"{"worker":"w","queues":["default"],"kinds":["email.send"],"ttl":"10s"}"#;
    let answer = site.post("/api/v1/leases", body).await.json();
    assert_eq!(answer["directive"], "run");
    let lease = &answer["leases"][0];
    assert!(lease["epoch"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!((&lease["attempt"], &lease["losses"]), (&json!(1), &json!(0)));
    assert_eq!((&lease["ttl"], &lease["timeout"]), (&json!(10), &json!(60)));
    assert_eq!(lease["payload"], json!({ "to": "a" }));
    assert_eq!(lease["headers"], json!({ "h": "1" }));
    assert_eq!(show(&site, lease).await["lease"], json!({ "worker": "w", "expires_in": 10 }));
}

#[tokio::test]
async fn a_lease_respects_queues_kinds_and_the_most_that_was_asked_for() {
    let site = Site::start();
    for (queue, kind) in [("mail", "a"), ("mail", "b"), ("bulk", "a"), ("mail", "a"), ("mail", "a")]
    {
        site.enqueue(&format!(r#"{{"kind":"{kind}","queue":"{queue}"}}"#)).await;
    }
    let body = r#"{"worker":"w","queues":["mail"],"kinds":["a"],"max":2}"#;
    let leases = site.post("/api/v1/leases", body).await.json()["leases"].clone();
    let leases = leases.as_array().unwrap();
    assert_eq!(leases.len(), 2);
    assert!(leases.iter().all(|lease| lease["queue"] == "mail" && lease["kind"] == "a"));
}

#[tokio::test]
async fn a_waiting_lease_gets_the_task_that_comes() {
    let site = Site::start();
    let waiting = site.post("/api/v1/leases", r#"{"worker":"w","wait":"20s"}"#);
    let coming = site.enqueue(r#"{"kind":"a"}"#);
    let (answer, id) = within(async { tokio::join!(waiting, coming) }).await;
    assert_eq!(answer.json()["leases"][0]["task"], id.to_string());
}

#[tokio::test]
async fn a_client_that_goes_away_while_it_waits_takes_no_task_along() {
    let site = Site::start();
    let mut gone = site.connect().await;
    let body = r#"{"worker":"gone","wait":"30s"}"#;
    let request = format!(
        "POST /api/v1/leases HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    gone.write_all(request.as_bytes()).await.unwrap();
    // It waits once the store knows its worker.
    within(async {
        while site.store.workers().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(gone);
    let id = site.enqueue(r#"{"kind":"a"}"#).await;
    let other = site.post("/api/v1/leases", r#"{"worker":"w","wait":"30s"}"#);
    let answer = within(other).await.json();
    assert_eq!(answer["leases"][0]["task"], id.to_string());
}

#[tokio::test]
async fn every_outcome_leads_where_it_should() {
    for (outcome, state) in [
        (json!({ "outcome": "complete", "result": { "ok": true } }), "completed"),
        (json!({ "outcome": "complete" }), "completed"),
        (json!({ "outcome": "complete", "result_base64": "AAE=" }), "completed"),
        (json!({ "outcome": "fail", "error": { "message": "no" } }), "retryable"),
        (json!({ "outcome": "fail", "error": { "message": "no" }, "after": "1m" }), "retryable"),
        (json!({ "outcome": "reject", "error": { "class": "Bounce", "message": "no" } }), "dead"),
        (json!({ "outcome": "snooze", "after": 5 }), "scheduled"),
        (json!({ "outcome": "release" }), "available"),
        (json!({ "outcome": "cancelled" }), "cancelled"),
    ] {
        let site = Site::start();
        site.enqueue(r#"{"kind":"a"}"#).await;
        let lease = site.lease("w", 1).await.remove(0);
        let answer = settle(&site, &lease, outcome.clone()).await;
        assert_eq!(answer["answer"], "applied", "{outcome}: {answer}");
        assert_eq!(
            (&answer["state"], &answer["late"]),
            (&json!(state), &json!(false)),
            "{outcome}"
        );
        assert_eq!(
            settle(&site, &lease, outcome.clone()).await,
            answer,
            "a repeat answers alike (I8)"
        );
    }
}

#[tokio::test]
async fn a_plain_failure_is_decided_by_the_tasks_own_backoff() {
    let site = Site::start();
    let task = r#"{"kind":"a","max_attempts":2,
        "backoff":{"base":"10s","factor":1,"max":"10s","jitter":0}}"#;
    site.enqueue(task).await;
    let failure = json!({
        "outcome": "fail", "cause": "timeout",
        "error": { "class": "E", "message": "m", "trace": "t" },
    });
    let lease = site.lease("w", 1).await.remove(0);
    assert_eq!(settle(&site, &lease, failure.clone()).await["state"], "retryable");
    let seen = show(&site, &lease).await;
    assert_eq!(seen["due_at"], "2026-01-01T00:00:10.000Z");
    let error = json!({ "class": "E", "message": "m", "trace": "t" });
    assert_eq!(seen["last_error"], json!({ "cause": "timeout", "error": error }));
    site.clock.advance(Duration::from_secs(10));
    let lease = site.lease("w", 1).await.remove(0);
    assert_eq!(settle(&site, &lease, failure).await["state"], "dead");
    assert_eq!(show(&site, &lease).await["reason"], "exhausted");
}

#[tokio::test]
async fn a_superseded_fence_changes_nothing() {
    let site = Site::start();
    site.enqueue(r#"{"kind":"a"}"#).await;
    let old = site.lease("first", 1).await.remove(0);
    site.clock.advance(Duration::from_secs(31));
    let new = site.lease("second", 1).await.remove(0);
    assert_ne!(old["epoch"], new["epoch"]);
    assert_eq!(settle(&site, &old, json!({ "outcome": "complete" })).await["answer"], "stale");
    let beat =
        json!({ "worker": "first", "leases": [{ "task": old["task"], "epoch": old["epoch"] }] });
    let reply = site.post("/api/v1/beats", beat.to_string()).await.json();
    assert_eq!(reply["leases"][0]["held"], "stale");
    assert_eq!(settle(&site, &new, json!({ "outcome": "complete" })).await["answer"], "applied");
}

#[tokio::test]
async fn a_lease_that_ran_out_untaken_is_settled_late() {
    let site = Site::start();
    site.enqueue(r#"{"kind":"a"}"#).await;
    let lease = site.lease("w", 1).await.remove(0);
    site.clock.advance(Duration::from_secs(31));
    let answer = settle(&site, &lease, json!({ "outcome": "complete" })).await;
    assert_eq!((&answer["answer"], &answer["late"]), (&json!("applied"), &json!(true)));
}

#[tokio::test]
async fn a_beat_renews_saves_and_brings_cancellations_back() {
    let site = Site::start();
    let id = site.enqueue(r#"{"kind":"a"}"#).await;
    let lease = site.lease("w", 1).await.remove(0);
    site.clock.advance(Duration::from_secs(20));
    let beat = json!({ "worker": "w", "ttl": "30s", "leases": [{
        "task": lease["task"], "epoch": lease["epoch"],
        "progress": { "fraction": 0.5, "note": "half" },
        "checkpoints": [
            { "name": "charge", "value": { "receipt": 17 } },
            { "name": "raw", "value_base64": "AA==" },
        ],
    }] });
    let reply = site.post("/api/v1/beats", beat.to_string()).await.json();
    assert_eq!(reply["directive"], "run");
    assert_eq!(reply["leases"][0]["held"], "yes");
    site.clock.advance(Duration::from_secs(20));
    assert_eq!(site.state(id).await, State::Running, "renewed");
    let seen = show(&site, &lease).await;
    assert_eq!(seen["progress"], json!({ "fraction": 0.5, "note": "half" }));
    assert_eq!(seen["checkpoints"][0], json!({ "name": "charge", "value": { "receipt": 17 } }));
    assert_eq!(seen["checkpoints"][1], json!({ "name": "raw", "value_base64": "AA==" }));
    let path = format!("/api/v1/tasks/{id}:cancel");
    assert_eq!(site.call("POST", &path, None).await.json()["state"], "running");
    let reply = site.post("/api/v1/beats", beat.to_string()).await.json();
    assert_eq!(reply["leases"][0]["held"], "cancel");
    let answer = settle(&site, &lease, json!({ "outcome": "complete" })).await;
    assert_eq!(answer["answer"], "cancelled");
}

#[tokio::test]
async fn a_quiet_worker_gets_nothing_until_it_may_run_again() {
    let site = Site::start();
    site.lease("w", 1).await;
    site.enqueue(r#"{"kind":"a"}"#).await;
    assert_eq!(
        site.call("POST", "/api/v1/workers/w:quiet", None).await.json()["directive"],
        "quiet"
    );
    let answer = site.post("/api/v1/leases", r#"{"worker":"w"}"#).await.json();
    assert_eq!(answer, json!({ "leases": [], "directive": "quiet" }));
    site.call("POST", "/api/v1/workers/w:run", None).await;
    assert_eq!(site.lease("w", 1).await.len(), 1);
}

#[tokio::test]
async fn a_field_that_does_not_belong_to_an_outcome_is_refused_and_the_lease_goes_on() {
    let site = Site::start();
    let id = site.enqueue(r#"{"kind":"a"}"#).await;
    let lease = site.lease("w", 1).await.remove(0);
    for (more, field) in [
        (json!({ "outcome": "fail", "result": 1 }), "result"),
        (json!({ "outcome": "complete", "error": {} }), "error"),
        (json!({ "outcome": "complete", "after": 1 }), "after"),
        (json!({ "outcome": "snooze" }), "after"),
        (json!({ "outcome": "complete", "result": 1, "result_base64": "" }), "result"),
    ] {
        let mut end = json!({ "task": lease["task"], "epoch": lease["epoch"] });
        end.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = json!({ "worker": "w", "settlements": [end] }).to_string();
        let problem = site.post("/api/v1/settlements", body).await.problem(422, "invalid");
        assert_eq!(problem["errors"][0]["field"], format!("settlements[0].{field}"), "{more}");
    }
    assert_eq!(site.state(id).await, State::Running);
}

#[tokio::test]
async fn each_task_goes_to_one_of_many_callers() {
    let site = Site::start();
    for _ in 0..20 {
        site.enqueue(r#"{"kind":"a"}"#).await;
    }
    let bodies: Vec<String> = (0..16).map(|n| format!(r#"{{"worker":"w{n}","max":2}}"#)).collect();
    let calls = bodies.iter().map(|body| site.post("/api/v1/leases", body));
    let answers: Vec<Answer> = within(futures_util::future::join_all(calls)).await;
    let mut tasks: Vec<String> = answers
        .iter()
        .flat_map(|answer| answer.json()["leases"].as_array().unwrap().clone())
        .map(|lease| lease["task"].to_string())
        .collect();
    assert_eq!(tasks.len(), 20);
    tasks.sort();
    tasks.dedup();
    assert_eq!(tasks.len(), 20, "none was given twice");
}

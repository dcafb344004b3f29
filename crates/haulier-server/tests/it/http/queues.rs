//! Queues and workers.

use std::time::Duration;

use serde_json::json;

use crate::site::Site;

#[tokio::test]
async fn a_queue_tells_how_it_stands() {
    let site = Site::start();
    // The first reading is taken at the start; this call is answered after it.
    site.get("/livez").await;
    for _ in 0..3 {
        site.enqueue(r#"{"kind":"a"}"#).await;
    }
    site.enqueue(r#"{"kind":"a","delay":60}"#).await;
    let about = r#"{"version":"curl/1","queues":["default"],"slots":1}"#;
    let leased = format!(r#"{{"worker":"w","about":{about}}}"#);
    let lease = site.post("/api/v1/leases", leased).await.json()["leases"][0].clone();
    let end = json!({ "worker": "w", "settlements": [
        { "task": lease["task"], "epoch": lease["epoch"], "outcome": "complete" }
    ] });
    site.post("/api/v1/settlements", end.to_string()).await;
    site.clock.advance(Duration::from_secs(4));
    let queue = site.get("/api/v1/queues/default").await.json();
    let none = json!(0);
    assert_eq!(queue["tasks"]["available"], 2);
    assert_eq!(queue["tasks"]["scheduled"], 1);
    assert_eq!(queue["tasks"]["completed"], 1);
    assert_eq!((&queue["tasks"]["running"], &queue["tasks"]["dead"]), (&none, &none));
    assert_eq!(queue["oldest_available"], 4);
    assert_eq!(
        (&queue["accepted"], &queue["finished"], &queue["removed"]),
        (&json!(4), &json!(1), &none)
    );
    assert_eq!(queue["rates"], json!({ "accepted": 1.0, "finished": 0.25, "over": 4 }));
    assert_eq!(queue["backlog_time"], 8, "two tasks at one in four seconds");
    assert_eq!(queue["workers"], 1);
    assert_eq!(queue["settings"]["paused"], false);
}

#[tokio::test]
async fn a_queue_exists_as_soon_as_it_is_named() {
    let site = Site::start();
    let queue = site.get("/api/v1/queues/never-used").await;
    assert_eq!(queue.status, 200);
    assert_eq!(queue.json()["tasks"]["available"], 0);
    let problem = site.get("/api/v1/queues/-bad").await.problem(422, "invalid");
    assert_eq!(problem["errors"][0]["field"], "queue");
}

#[tokio::test]
async fn settings_are_changed_one_by_one_and_limits_lifted_by_null() {
    let site = Site::start();
    let patch = async |body: &str| site.call("PATCH", "/api/v1/queues/mail", Some(body)).await;
    let set =
        r#"{"paused":true,"concurrency":4,"max_tasks":1,"retain":{"completed":"2h","dead":60}}"#;
    let settings = patch(set).await.json();
    assert_eq!((&settings["paused"], &settings["concurrency"]), (&json!(true), &json!(4)));
    assert_eq!(
        (&settings["max_tasks"], &settings["retain"]["completed"]),
        (&json!(1), &json!(7_200))
    );
    let settings = patch(r#"{"paused":false,"concurrency":null}"#).await.json();
    assert_eq!((&settings["paused"], &settings["concurrency"]), (&json!(false), &json!(null)));
    assert_eq!((&settings["max_tasks"], &settings["retain"]["dead"]), (&json!(1), &json!(60)));
    assert_eq!(patch("{}").await.json(), settings, "an empty change changes nothing");
    patch(r#"{"concurrency":0}"#).await.problem(422, "invalid");
    patch(r#"{"pause":true}"#).await.problem(422, "invalid");
}

#[tokio::test]
async fn a_full_queue_refuses_and_says_when_to_come_back() {
    let site = Site::start();
    site.call("PATCH", "/api/v1/queues/default", Some(r#"{"max_tasks":1}"#)).await;
    site.enqueue(r#"{"kind":"a"}"#).await;
    let refused = site.post("/api/v1/tasks", r#"{"kind":"a"}"#).await;
    let problem = refused.problem(429, "queue_full");
    assert_eq!(
        (&problem["retryable"], &problem["may_have_applied"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_paused_queue_leases_nothing() {
    let site = Site::start();
    site.enqueue(r#"{"kind":"a"}"#).await;
    site.call("PATCH", "/api/v1/queues/default", Some(r#"{"paused":true}"#)).await;
    assert!(site.lease("w", 1).await.is_empty());
}

#[tokio::test]
async fn queues_are_paged_by_name() {
    let site = Site::start();
    for queue in ["c", "a", "b"] {
        site.enqueue(&format!(r#"{{"kind":"k","queue":"{queue}"}}"#)).await;
    }
    let first = site.get("/api/v1/queues?limit=2").await.json();
    let names = |page: &serde_json::Value| -> Vec<String> {
        let queues = page["queues"].as_array().unwrap();
        queues.iter().map(|queue| queue["queue"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&first), ["a", "b"]);
    let rest = site.get("/api/v1/queues?page_token=b").await.json();
    assert_eq!(names(&rest), ["c"]);
    assert_eq!(rest.get("next_page_token"), None);
}

#[tokio::test]
async fn workers_tell_what_they_are_and_hear_what_they_shall_do() {
    let site = Site::start();
    site.enqueue(r#"{"kind":"a"}"#).await;
    site.lease("w-1", 1).await;
    let about = json!({ "version": "curl/1", "queues": ["default"], "kinds": ["a"], "slots": 3 });
    let beat = json!({ "worker": "w-1", "about": about });
    assert_eq!(site.post("/api/v1/beats", beat.to_string()).await.status, 200);
    site.clock.advance(Duration::from_secs(2));
    let workers = site.get("/api/v1/workers").await.json();
    let expected = json!({
        "worker": "w-1", "directive": "run", "leases": 1, "silent_for": 2, "about": about
    });
    assert_eq!(workers, json!({ "workers": [expected] }));
    for directive in ["quiet", "stop", "run"] {
        let answer = site.call("POST", &format!("/api/v1/workers/w-1:{directive}"), None).await;
        assert_eq!(answer.json(), json!({ "worker": "w-1", "directive": directive }));
        let reply = site.post("/api/v1/beats", r#"{"worker":"w-1"}"#).await.json();
        assert_eq!(reply["directive"], directive);
    }
    site.call("POST", "/api/v1/workers/nobody:stop", None).await.problem(404, "not_found");
    site.call("POST", "/api/v1/workers/w-1:explode", None).await.problem(404, "not_found");
    site.call("POST", "/api/v1/workers/w-1", None).await.problem(405, "invalid");
}

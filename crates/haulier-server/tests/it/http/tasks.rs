//! Handing tasks over and looking at them.

use std::time::Duration;

use haulier_core::{Clock as _, Include, TaskId};
use serde_json::{Value, json};

use crate::site::{Site, within};

const ID: &str = "01997b9c-1f2e-7c3d-8a4b-5c6d7e8f9a0b";

#[tokio::test]
async fn a_task_is_inserted_once_and_existing_ever_after() {
    let site = Site::start();
    let task = json!({ "kind": "email.send", "id": ID, "payload": { "to": "a@b.c" } }).to_string();
    let first = site.post("/api/v1/tasks", &task).await;
    assert_eq!(first.status, 201);
    assert_eq!(first.header("location"), Some(format!("/api/v1/tasks/{ID}").as_str()));
    let expected =
        json!({ "id": ID, "answer": "inserted", "state": "available", "durability": "D0" });
    assert_eq!(first.json(), expected);
    let again = site.post("/api/v1/tasks", &task).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["answer"], "existing");
    let other = json!({ "kind": "email.send", "id": ID, "payload": {} }).to_string();
    let problem = site.post("/api/v1/tasks", other).await.problem(409, "id_conflict");
    assert_eq!(
        (&problem["retryable"], &problem["may_have_applied"]),
        (&json!(false), &json!(false))
    );
}

#[tokio::test]
async fn every_field_of_a_task_comes_out_as_it_went_in() {
    let site = Site::start();
    let task = json!({
        "kind": "email.send", "id": ID, "queue": "mail", "priority": 7,
        "payload": { "to": "a@b.c" }, "headers": { "b": "2", "a": "1" },
        "labels": { "tenant": "acme" },
        "delay": "5m", "max_attempts": 8, "timeout": "30s", "expires_in": "1h30m", "retain": 60,
        "backoff": { "base": "500ms", "factor": 1.5, "max": 600, "jitter": 0.25 },
        "unique": { "key": "order-17", "for": "1h", "until": "start", "on_conflict": "reject" },
    });
    assert_eq!(site.post("/api/v1/tasks", task.to_string()).await.status, 201);
    let seen = site.get(&format!("/api/v1/tasks/{ID}")).await.json();
    let same = [
        "kind",
        "id",
        "queue",
        "priority",
        "payload",
        "headers",
        "labels",
        "max_attempts",
        "retain",
    ];
    for field in same {
        assert_eq!(seen[field], task[field], "{field}");
    }
    assert_eq!(seen["state"], "scheduled");
    assert_eq!(seen["timeout"], 30);
    assert_eq!(seen["expires_in"], 5_400);
    assert_eq!(seen["backoff"], json!({ "base": 0.5, "factor": 1.5, "max": 600, "jitter": 0.25 }));
    let unique =
        json!({ "key": "order-17", "for": 3_600, "until": "start", "on_conflict": "reject" });
    assert_eq!(seen["unique"], unique);
    assert_eq!(seen["epoch"], "0");
    assert_eq!(seen["enqueued_at"], "2026-01-01T00:00:00.000Z");
    assert_eq!(seen["due_at"], "2026-01-01T00:05:00.000Z");
    assert_eq!(seen["deliveries"], json!([]));
}

#[tokio::test]
async fn a_json_payload_is_kept_byte_for_byte() {
    let site = Site::start();
    let payload = r#"{"z":1,   "a":1.000000000000000000001,"z":"\u00e9","deep":[[[]]]}"#;
    let id = site.enqueue(&format!(r#"{{"kind":"a","payload": {payload} }}"#)).await;
    let views = site.store.get(vec![id], Include::ALL, Duration::ZERO).await.unwrap();
    assert_eq!(views[0].as_ref().unwrap().task.payload.bytes, payload.as_bytes());
    let shown = site.get(&format!("/api/v1/tasks/{id}")).await.text();
    assert!(shown.contains(payload), "{shown}");
    let leased = site.post("/api/v1/leases", r#"{"worker":"w"}"#).await.text();
    assert!(leased.contains(payload), "{leased}");
}

#[tokio::test]
async fn a_payload_that_is_not_json_travels_as_base64() {
    let site = Site::start();
    let id = site.enqueue(r#"{"kind":"a","payload_base64":"/wA=","content_type":"image/x"}"#).await;
    let seen = site.get(&format!("/api/v1/tasks/{id}")).await.json();
    assert_eq!(seen["payload_base64"], "/wA=");
    assert_eq!(seen["content_type"], "image/x");
    assert_eq!(seen.get("payload"), None);
}

#[tokio::test]
async fn a_batch_answers_each_task_in_order() {
    let site = Site::start();
    let many = json!({ "tasks": [
        { "kind": "a", "id": ID },
        { "kind": "a", "id": ID },
        { "kind": "a", "max_attempts": 0 },
        { "kind": "b", "run_at": "2026-01-01T01:00:00Z" },
    ] });
    let answer = site.post("/api/v1/tasks:batch", many.to_string()).await;
    assert_eq!(answer.status, 200);
    let answers = answer.json()["answers"].clone();
    let words: Vec<&str> =
        answers.as_array().unwrap().iter().map(|a| a["answer"].as_str().unwrap()).collect();
    assert_eq!(words, ["inserted", "existing", "refused", "inserted"]);
    assert_eq!(answers[2]["error"]["code"], "invalid");
    assert_eq!(answers[3]["state"], "scheduled");
}

#[tokio::test]
async fn a_unique_key_returns_or_rejects_as_the_task_says() {
    let site = Site::start();
    let task = |rule: &str| {
        format!(r#"{{"kind":"a","unique":{{"key":"order-17","on_conflict":"{rule}"}}}}"#)
    };
    let holder = site.enqueue(&task("return")).await;
    let second = site.post("/api/v1/tasks", task("return")).await;
    assert_eq!((second.status, &second.json()["id"]), (200, &json!(holder.to_string())));
    site.post("/api/v1/tasks", task("reject")).await.problem(409, "unique_conflict");
}

#[tokio::test]
async fn a_trace_of_the_call_is_kept_with_the_task_unless_it_has_its_own() {
    let site = Site::start();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let call = async |body: &[u8]| {
        let headers = format!("traceparent: {trace}\r\n");
        let answer = site.call_with("POST", "/api/v1/tasks", &headers, Some(body)).await.json();
        let path = format!("/api/v1/tasks/{}", answer["id"].as_str().unwrap());
        site.get(&path).await.json()["headers"]["traceparent"].clone()
    };
    assert_eq!(call(br#"{"kind":"a"}"#).await, trace);
    assert_eq!(call(br#"{"kind":"a","headers":{"traceparent":"mine"}}"#).await, "mine");
}

#[tokio::test]
async fn an_unknown_task_is_not_found_and_a_malformed_id_is_invalid() {
    let site = Site::start();
    site.get(&format!("/api/v1/tasks/{ID}")).await.problem(404, "not_found");
    let problem = site.get("/api/v1/tasks/17").await.problem(422, "invalid");
    assert_eq!(problem["errors"][0]["field"], "id");
}

#[tokio::test]
async fn a_wait_is_answered_once_the_task_is_final() {
    let site = Site::start();
    let id = site.enqueue(r#"{"kind":"a"}"#).await;
    let path = format!("/api/v1/tasks/{id}?wait=20s");
    let waiting = site.get(&path);
    let working = async {
        let lease = &site.lease("w", 1).await[0];
        let end = json!({ "worker": "w", "settlements": [
            { "task": lease["task"], "epoch": lease["epoch"],
              "outcome": "complete", "result": [1, 2] }
        ] });
        site.post("/api/v1/settlements", end.to_string()).await
    };
    let (shown, settled) = within(async { tokio::join!(waiting, working) }).await;
    assert_eq!(settled.json()["answers"][0]["answer"], "applied");
    let shown = shown.json();
    assert_eq!((&shown["state"], &shown["result"]), (&json!("completed"), &json!([1, 2])));
    assert_eq!(shown["deliveries"][0]["ended"], "complete");
}

#[tokio::test]
async fn a_wait_ends_with_its_time_and_shows_the_task_as_it_is() {
    let site = Site::start();
    let id = site.enqueue(r#"{"kind":"a"}"#).await;
    let path = format!("/api/v1/tasks/{id}?wait=5");
    let begun = site.clock.monotonic();
    let passing = async {
        loop {
            site.clock.advance(Duration::from_millis(100));
            tokio::task::yield_now().await;
        }
    };
    let shown = within(async {
        tokio::select! {
            shown = site.get(&path) => shown,
            () = passing => unreachable!("time passes for ever"),
        }
    })
    .await;
    assert!(site.clock.monotonic() >= begun + Duration::from_secs(5));
    assert_eq!(shown.json()["state"], "available");
}

#[tokio::test]
async fn a_listing_is_paged_newest_first_and_filtered() {
    let site = Site::start();
    let mut ids: Vec<TaskId> = Vec::new();
    for n in 0..5 {
        site.clock.advance(Duration::from_millis(1));
        let queue = if n % 2 == 0 { "mail" } else { "bulk" };
        ids.push(
            site.enqueue(&format!(r#"{{"kind":"k{n}","queue":"{queue}","payload":{n}}}"#)).await,
        );
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = site.get(&format!("/api/v1/tasks?limit=2{token}")).await.json();
        let tasks = page["tasks"].as_array().unwrap().clone();
        assert!(tasks.len() <= 2);
        seen.extend(
            tasks.iter().map(|task| task["id"].as_str().unwrap().parse::<TaskId>().unwrap()),
        );
        match page.get("next_page_token").and_then(Value::as_str) {
            Some(next) => token = format!("&page_token={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    let page =
        site.get("/api/v1/tasks?filter=queue:mail%20kind:k2,k3&include=payload").await.json();
    let kinds: Vec<_> =
        page["tasks"].as_array().unwrap().iter().map(|task| &task["kind"]).collect();
    assert_eq!(kinds, ["k2"]);
    assert_eq!(page["tasks"][0]["payload"], 2);
    let bare = site.get("/api/v1/tasks?limit=1").await.json();
    assert_eq!(bare["tasks"][0].get("payload"), None, "payloads only if asked for");
    assert_eq!(bare["tasks"][0].get("deliveries"), None);
}

#[tokio::test]
async fn the_same_id_from_many_callers_is_inserted_once() {
    let site = Site::start();
    let task = json!({ "kind": "a", "id": ID }).to_string();
    let calls = (0..32).map(|_| site.post("/api/v1/tasks", &task));
    let answers = within(futures_util::future::join_all(calls)).await;
    let inserted = answers.iter().filter(|answer| answer.status == 201).count();
    let existing = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((inserted, existing), (1, 31));
}

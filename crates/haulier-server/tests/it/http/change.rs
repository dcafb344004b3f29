//! Cancel, rerun, delete.

use haulier_core::State;
use serde_json::{Value, json};

use crate::site::Site;

const NOBODY: &str = "01997b9c-1f2e-7c3d-8a4b-5c6d7e8f9a0b";

/// Leases the one task that waits and rejects it: it is dead.
async fn kill(site: &Site) {
    let lease = site.lease("w", 1).await.remove(0);
    let end = json!({ "worker": "w", "settlements": [
        { "task": lease["task"], "epoch": lease["epoch"],
          "outcome": "reject", "error": { "message": "no" } }
    ] });
    site.post("/api/v1/settlements", end.to_string()).await;
}

#[tokio::test]
async fn a_task_is_cancelled_rerun_and_deleted_by_its_id() {
    let site = Site::start();
    let id = site.enqueue(r#"{"kind":"a"}"#).await;
    let act = |verb: &str| format!("/api/v1/tasks/{id}:{verb}");
    let cancelled = site.call("POST", &act("cancel"), None).await;
    assert_eq!(cancelled.json(), json!({ "id": id.to_string(), "state": "cancelled" }));
    let rerun = site.call("POST", &act("rerun"), None).await;
    assert_eq!(rerun.json()["state"], "available");
    site.call("POST", &act("rerun"), None).await.problem(409, "final");
    let path = format!("/api/v1/tasks/{id}");
    assert_eq!(site.call("DELETE", &path, None).await.json()["state"], "available");
    site.get(&path).await.problem(404, "not_found");
    site.call("DELETE", &path, None).await.problem(404, "not_found");
    site.call("POST", &act("cancel"), None).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_running_task_is_not_deleted() {
    let site = Site::start();
    let id = site.enqueue(r#"{"kind":"a"}"#).await;
    site.lease("w", 1).await;
    site.call("DELETE", &format!("/api/v1/tasks/{id}"), None).await.problem(409, "final");
    assert_eq!(site.state(id).await, State::Running);
}

#[tokio::test]
async fn a_verb_that_does_not_exist_is_not_found_and_a_missing_one_not_allowed() {
    let site = Site::start();
    site.call("POST", &format!("/api/v1/tasks/{NOBODY}:explode"), None)
        .await
        .problem(404, "not_found");
    site.get(&format!("/api/v1/tasks/{NOBODY}:cancel")).await.problem(404, "not_found");
    site.call("POST", &format!("/api/v1/tasks/{NOBODY}"), None).await.problem(405, "invalid");
}

#[tokio::test]
async fn a_list_of_ids_is_answered_one_by_one_in_order() {
    let site = Site::start();
    let first = site.enqueue(r#"{"kind":"a"}"#).await;
    let second = site.enqueue(r#"{"kind":"a"}"#).await;
    site.call("POST", &format!("/api/v1/tasks/{second}:cancel"), None).await;
    let body = json!({ "ids": [second.to_string(), NOBODY, first.to_string()] });
    let dry = json!({ "ids": body["ids"], "dry_run": true });
    let answer = site.post("/api/v1/tasks:rerun", dry.to_string()).await.json();
    assert_eq!(answer, json!({ "matched": 2, "changed": 0, "answers": [] }));
    let answer = site.post("/api/v1/tasks:rerun", body.to_string()).await.json();
    assert_eq!((&answer["matched"], &answer["changed"]), (&json!(2), &json!(1)));
    let words: Vec<&Value> =
        answer["answers"].as_array().unwrap().iter().map(|answer| &answer["answer"]).collect();
    assert_eq!(words, ["done", "not_found", "refused"]);
    assert_eq!(answer["answers"][2]["error"]["code"], "final");
}

#[tokio::test]
async fn all_that_a_filter_matches_is_counted_first_and_changed_then() {
    let site = Site::start();
    for queue in ["mail", "mail", "bulk"] {
        site.enqueue(&format!(r#"{{"kind":"a","queue":"{queue}"}}"#)).await;
    }
    let dry = r#"{"filter":"queue:mail","dry_run":true}"#;
    let answer = site.post("/api/v1/tasks:cancel", dry).await.json();
    assert_eq!(answer, json!({ "matched": 2, "changed": 0, "answers": [] }));
    let answer = site.post("/api/v1/tasks:cancel", r#"{"filter":"queue:mail"}"#).await.json();
    assert_eq!(answer, json!({ "matched": 2, "changed": 2, "answers": [] }));
    let answer = site.post("/api/v1/tasks:delete", r#"{"filter":"state:cancelled"}"#).await.json();
    assert_eq!(answer["changed"], 2);
    let left = site.get("/api/v1/tasks").await.json();
    assert_eq!(left["tasks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_thousand_tasks_a_call_are_changed_and_the_token_goes_on() {
    let site = Site::start();
    let tasks = |count: usize| json!({ "tasks": vec![json!({ "kind": "a" }); count] }).to_string();
    for count in [1_000, 1_000, 1] {
        assert_eq!(site.post("/api/v1/tasks:batch", tasks(count)).await.status, 200);
    }
    let (mut changed, mut calls, mut token) = (0, 0, None);
    loop {
        let body = json!({ "filter": "", "page_token": token }).to_string();
        let answer = site.post("/api/v1/tasks:cancel", body).await.json();
        let matched = answer["matched"].as_u64().unwrap();
        assert!(matched <= 1_000);
        changed += answer["changed"].as_u64().unwrap();
        calls += 1;
        token = answer.get("next_page_token").cloned();
        if token.is_none() {
            break;
        }
    }
    assert_eq!(changed, 2_001);
    assert!(calls >= 3);
}

#[tokio::test]
async fn ids_and_filter_exclude_each_other() {
    let site = Site::start();
    for body in ["{}".to_owned(), format!(r#"{{"ids":["{NOBODY}"],"filter":""}}"#)] {
        site.post("/api/v1/tasks:cancel", body).await.problem(422, "invalid");
    }
    let problem = site.post("/api/v1/tasks:cancel", r#"{"filter":"colour:red"}"#).await;
    assert_eq!(problem.problem(422, "invalid")["errors"][0]["field"], "filter");
}

#[tokio::test]
async fn the_dead_are_listed_with_their_reason_and_only_they_are_touched() {
    let site = Site::start();
    let dead = site.enqueue(r#"{"kind":"a"}"#).await;
    kill(&site).await;
    let alive = site.enqueue(r#"{"kind":"a"}"#).await;
    let done = site.enqueue(r#"{"kind":"b"}"#).await;
    site.call("POST", &format!("/api/v1/tasks/{done}:cancel"), None).await;
    let page = site.get("/api/v1/dead?filter=kind:a").await.json();
    let tasks = page["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!(
        (&tasks[0]["id"], &tasks[0]["reason"]),
        (&json!(dead.to_string()), &json!("rejected"))
    );
    assert_eq!(tasks[0]["last_error"]["error"]["message"], "no");
    let ids = json!({ "ids": [alive.to_string(), dead.to_string(), NOBODY, done.to_string()] });
    let answer = site.post("/api/v1/dead:rerun", ids.to_string()).await.json();
    let words: Vec<&Value> =
        answer["answers"].as_array().unwrap().iter().map(|answer| &answer["answer"]).collect();
    assert_eq!(words, ["refused", "done", "not_found", "refused"]);
    assert_eq!(site.state(done).await, State::Cancelled);
    assert_eq!(site.state(dead).await, State::Available);
    let answer = site.post("/api/v1/dead:delete", r#"{"filter":""}"#).await.json();
    assert_eq!(answer["matched"], 0);
}

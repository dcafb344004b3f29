//! At the limit, and one above.

use std::time::Duration;

use haulier_core::{Clock as _, limits};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::site::{Site, within};

#[tokio::test]
async fn a_payload_may_be_as_large_as_the_limit_and_no_larger() {
    let site = Site::start_with(|store| store.with_payload_bytes_max(1_000));
    // Two quotes belong to the payload.
    let task = |bytes: usize| json!({ "kind": "a", "payload": "x".repeat(bytes - 2) }).to_string();
    assert_eq!(site.post("/api/v1/tasks", task(1_000)).await.status, 201);
    let problem = site.post("/api/v1/tasks", task(1_001)).await.problem(413, "too_large");
    assert!(problem["detail"].as_str().unwrap().contains("1001 bytes; at most 1000"), "{problem}");
}

#[tokio::test]
async fn the_largest_payload_of_all_fits_a_body_as_json_and_as_base64() {
    let site = Site::start_with(|store| store.with_payload_bytes_max(limits::PAYLOAD_BYTES_MAX));
    let text = "x".repeat(limits::PAYLOAD_BYTES_MAX - 2);
    let json = format!(r#"{{"kind":"a","payload":"{text}"}}"#);
    assert_eq!(site.post("/api/v1/tasks", json).await.status, 201);
    let padded = "A".repeat(limits::PAYLOAD_BYTES_MAX.div_ceil(3) * 4 - 2) + "==";
    let base64 = format!(r#"{{"kind":"a","payload_base64":"{padded}"}}"#);
    assert_eq!(site.post("/api/v1/tasks", base64).await.status, 201);
}

/// A body of exactly so many bytes: JSON, and space.
fn body(bytes: usize) -> String {
    let json = r#"{"kind":"a"}"#;
    json.to_owned() + &" ".repeat(bytes - json.len())
}

#[tokio::test]
async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    let site = Site::start();
    let about = site.get("/api/v1/about").await.json();
    let max = usize::try_from(about["limits"]["body_bytes_max"].as_u64().unwrap()).unwrap();
    assert_eq!(site.post("/api/v1/tasks", body(max)).await.status, 201);
    site.post("/api/v1/tasks", body(max + 1)).await.problem(413, "too_large");
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_refused_unread() {
    let site = Site::start();
    let answer = site
        .send(
            b"POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
              Connection: close\r\nContent-Length: 1000000000\r\n\r\n{",
        )
        .await;
    answer.problem(413, "too_large");
}

#[tokio::test]
async fn a_body_that_does_not_say_how_large_it_is_is_counted_while_it_comes() {
    let site = Site::start();
    let about = site.get("/api/v1/about").await.json();
    let max = usize::try_from(about["limits"]["body_bytes_max"].as_u64().unwrap()).unwrap();
    for (bytes, status) in [(max, 201), (max + 1, 413)] {
        let request = format!(
            "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{bytes:x}\r\n{}\r\n0\r\n\r\n",
            body(bytes)
        );
        assert_eq!(site.send(request.as_bytes()).await.status, status, "{bytes}");
    }
}

#[tokio::test]
async fn a_call_may_have_as_many_items_as_the_limit_and_no_more() {
    let site = Site::start();
    let id = "01997b9c-1f2e-7c3d-8a4b-5c6d7e8f9a0b";
    for (path, field, item, extra) in [
        ("/api/v1/tasks:batch", "tasks", json!({ "kind": "a" }), None),
        ("/api/v1/tasks:cancel", "ids", json!(id), None),
        ("/api/v1/dead:delete", "ids", json!(id), None),
        ("/api/v1/beats", "leases", json!({ "task": id, "epoch": "1" }), Some("worker")),
        (
            "/api/v1/settlements",
            "settlements",
            json!({ "task": id, "epoch": "1", "outcome": "fail" }),
            Some("worker"),
        ),
    ] {
        let body = |count: usize| {
            let mut body = json!({ field: vec![item.clone(); count] });
            if let Some(extra) = extra {
                body[extra] = json!("w");
            }
            body.to_string()
        };
        assert_eq!(site.post(path, body(limits::ITEMS_MAX)).await.status, 200, "{path}");
        site.post(path, body(limits::ITEMS_MAX + 1)).await.problem(413, "too_large");
    }
    let want = |max: usize| format!(r#"{{"worker":"w","max":{max}}}"#);
    assert_eq!(site.post("/api/v1/leases", want(limits::ITEMS_MAX)).await.status, 200);
    site.post("/api/v1/leases", want(limits::ITEMS_MAX + 1)).await.problem(422, "invalid");
}

#[tokio::test]
async fn a_page_may_be_as_large_as_the_limit_and_no_larger() {
    let site = Site::start();
    assert_eq!(site.get(&format!("/api/v1/tasks?limit={}", limits::PAGE_MAX)).await.status, 200);
    let above = format!("/api/v1/tasks?limit={}", limits::PAGE_MAX + 1);
    site.get(&above).await.problem(422, "invalid");
}

#[tokio::test]
async fn a_name_may_be_as_long_as_the_limit_and_no_longer() {
    let site = Site::start();
    let task = |length: usize| json!({ "kind": "k".repeat(length) }).to_string();
    assert_eq!(site.post("/api/v1/tasks", task(limits::NAME_BYTES_MAX)).await.status, 201);
    site.post("/api/v1/tasks", task(limits::NAME_BYTES_MAX + 1)).await.problem(422, "invalid");
}

#[tokio::test]
async fn a_body_that_keeps_coming_slowly_is_given_up() {
    let site = Site::start();
    let mut slow = site.connect().await;
    let request = "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\n\
                   Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{";
    slow.write_all(request.as_bytes()).await.unwrap();
    let passing = async {
        loop {
            site.clock.advance(Duration::from_millis(100));
            tokio::task::yield_now().await;
        }
    };
    let begun = site.clock.monotonic();
    let mut answer = String::new();
    within(async {
        tokio::select! {
            read = slow.read_to_string(&mut answer) => read.unwrap(),
            () = passing => unreachable!("time passes for ever"),
        }
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(site.clock.monotonic() >= begun + Duration::from_secs(10));
}

#[tokio::test]
async fn headers_may_be_large_and_not_endless() {
    let site = Site::start();
    let headers = |bytes: usize| format!("X-Filler: {}\r\n", "x".repeat(bytes));
    assert_eq!(site.call_with("GET", "/livez", &headers(16 * 1024), None).await.status, 200);
    assert_eq!(site.call_with("GET", "/livez", &headers(128 * 1024), None).await.status, 431);
}

#[tokio::test]
async fn leases_that_do_not_fit_one_answer_are_for_the_next() {
    let site = Site::start();
    let text = "x".repeat(1_000_000);
    for _ in 0..6 {
        site.enqueue(&format!(r#"{{"kind":"a","payload":"{text}"}}"#)).await;
    }
    assert_eq!(site.lease("w", 6).await.len(), 4);
    let rest = within(async {
        let mut rest = 0;
        while rest < 2 {
            rest += site.lease("w", 6).await.len();
        }
        rest
    })
    .await;
    assert_eq!(rest, 2);
}

/// Five tasks that fill a page with four of them.
async fn with_large_tasks() -> Site {
    let site = Site::start();
    let text = "x".repeat(1_000_000);
    for _ in 0..5 {
        site.enqueue(&format!(r#"{{"kind":"a","payload":"{text}"}}"#)).await;
    }
    site
}

#[tokio::test]
async fn a_page_with_large_payloads_has_fewer_tasks_and_a_next() {
    let site = with_large_tasks().await;
    let page = site.get("/api/v1/tasks?include=payload").await.json();
    assert_eq!(page["tasks"].as_array().unwrap().len(), 4, "of a megabyte fit 4 MiB");
    let path = format!("/api/v1/tasks?page_token={}", page["next_page_token"].as_str().unwrap());
    assert_eq!(site.get(&path).await.json()["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(site.get("/api/v1/tasks").await.json()["tasks"].as_array().unwrap().len(), 5);
}

/// Time passes at the server for as long as something goes on.
async fn while_time_passes<T>(site: &Site, what: impl Future<Output = T>) -> T {
    let passing = async {
        loop {
            site.clock.advance(Duration::from_millis(10));
            tokio::task::yield_now().await;
        }
    };
    within(async {
        tokio::select! {
            biased;
            done = what => done,
            () = passing => unreachable!("time passes for ever"),
        }
    })
    .await
}

#[tokio::test]
async fn readers_that_do_not_read_give_way_to_others() {
    let site = with_large_tasks().await;
    let path = "/api/v1/tasks?include=payload";
    let ask = |more| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    let ask = ask("").repeat(19) + &ask("Connection: close\r\n");
    let mut readers = Vec::new();
    for _ in 0..40 {
        let mut reader = site.connect().await;
        reader.write_all(ask.as_bytes()).await.unwrap();
        readers.push(reader);
    }
    let other = while_time_passes(&site, site.get(path)).await;
    assert_eq!(other.status, 200, "L6: {other:?}");
    drop(readers);
    assert_eq!(site.get(path).await.status, 200);
}

//! Bad input, and what it gets.

use haulier_core::Code;

use crate::site::Site;

/// Method, path, body, status, code, and a part of the detail or of the field's path.
type Case = (&'static str, &'static str, &'static str, u16, &'static str, &'static str);

const BAD: &[Case] = &[
    ("POST", "/api/v1/tasks", "", 422, "invalid", "EOF"),
    ("POST", "/api/v1/tasks", "{", 422, "invalid", "line 1 column 1"),
    ("POST", "/api/v1/tasks", "{}", 422, "invalid", "missing field `kind`"),
    ("POST", "/api/v1/tasks", "[]", 422, "invalid", "JSON object"),
    ("POST", "/api/v1/tasks", "{\"kind\":\"a\",\n\"x\":1}", 422, "invalid", "unknown field `x`"),
    ("POST", "/api/v1/tasks", r#"{"kind":"a/b"}"#, 422, "invalid", "not a name"),
    ("POST", "/api/v1/tasks", r#"{"kind":""}"#, 422, "invalid", "empty"),
    ("POST", "/api/v1/tasks", r#"{"kind":"a","queue":"a b"}"#, 422, "invalid", "queue"),
    ("POST", "/api/v1/tasks", r#"{"kind":"a","id":"1"}"#, 422, "invalid", "not a task id"),
    ("POST", "/api/v1/tasks", r#"{"kind":"a","priority":10}"#, 422, "invalid", "0 to 9"),
    ("POST", "/api/v1/tasks", r#"{"kind":"a","delay":"soon"}"#, 422, "invalid", "not a duration"),
    ("POST", "/api/v1/tasks", r#"{"kind":"a","delay":-1}"#, 422, "invalid", "delay"),
    ("POST", "/api/v1/tasks", r#"{"kind":"a","delay":"4000d"}"#, 422, "invalid", "ten years"),
    ("POST", "/api/v1/tasks", r#"{"kind":"a","run_at":"noon"}"#, 422, "invalid", "RFC 3339"),
    (
        "POST",
        "/api/v1/tasks",
        r#"{"kind":"a","delay":1,"run_at":"2027-01-01T00:00:00Z"}"#,
        422,
        "invalid",
        "either",
    ),
    (
        "POST",
        "/api/v1/tasks",
        r#"{"kind":"a","payload":1,"payload_base64":"AA=="}"#,
        422,
        "invalid",
        "either",
    ),
    ("POST", "/api/v1/tasks", r#"{"kind":"a","payload_base64":"?"}"#, 422, "invalid", "base64"),
    ("POST", "/api/v1/tasks", r#"{"kind":"a","max_attempts":0}"#, 422, "invalid", "1 to 1000"),
    ("POST", "/api/v1/tasks", r#"{"kind":"a","timeout":0}"#, 422, "invalid", "timeout"),
    (
        "POST",
        "/api/v1/tasks",
        r#"{"kind":"a","backoff":{"factor":0.5}}"#,
        422,
        "invalid",
        "1 to 100",
    ),
    ("POST", "/api/v1/tasks", r#"{"kind":"a","backoff":{"jitter":-1}}"#, 422, "invalid", "0 to 1"),
    ("POST", "/api/v1/tasks", r#"{"kind":"a","unique":{"key":""}}"#, 422, "invalid", "unique.key"),
    (
        "POST",
        "/api/v1/tasks",
        r#"{"kind":"a","unique":{"key":"k","until":"x"}}"#,
        422,
        "invalid",
        "start, finish",
    ),
    ("POST", "/api/v1/tasks", r#"{"kind":"a","labels":{"a b":"1"}}"#, 422, "invalid", "labels"),
    ("POST", "/api/v1/tasks", r#"{"kind":"a","headers":{"a":1}}"#, 422, "invalid", "headers"),
    (
        "POST",
        "/api/v1/tasks:batch",
        r#"{"tasks":[{"kind":"a"},{"kind":"?"}]}"#,
        422,
        "invalid",
        "tasks[1].kind",
    ),
    ("POST", "/api/v1/leases", r#"{"queues":["a"]}"#, 422, "invalid", "missing field `worker`"),
    ("POST", "/api/v1/leases", r#"{"worker":"w","max":0}"#, 422, "invalid", "1 to 1000"),
    ("POST", "/api/v1/leases", r#"{"worker":"w","ttl":"1ms"}"#, 422, "invalid", "ttl"),
    ("POST", "/api/v1/leases", r#"{"worker":"w","ttl":"2h"}"#, 422, "invalid", "ttl"),
    (
        "POST",
        "/api/v1/beats",
        r#"{"worker":"w","leases":[{"task":"x","epoch":"1"}]}"#,
        422,
        "invalid",
        "leases[0].task",
    ),
    ("POST", "/api/v1/beats", r#"{"worker":"w","ttl":"2h"}"#, 422, "invalid", "ttl"),
    (
        "POST",
        "/api/v1/settlements",
        r#"{"worker":"w","settlements":
            [{"task":"01997b9c-1f2e-7c3d-8a4b-5c6d7e8f9a0b","epoch":1,"outcome":"complete"}]}"#,
        422,
        "invalid",
        "settlements[0].epoch",
    ),
    (
        "POST",
        "/api/v1/settlements",
        r#"{"worker":"w","settlements":
            [{"task":"01997b9c-1f2e-7c3d-8a4b-5c6d7e8f9a0b","epoch":"1","outcome":"ack"}]}"#,
        422,
        "invalid",
        "unknown variant `ack`",
    ),
    ("GET", "/api/v1/tasks?limit=0", "", 422, "invalid", "1 to 1000"),
    ("GET", "/api/v1/tasks?limit=x", "", 422, "invalid", "query"),
    ("GET", "/api/v1/tasks?page_token=%3F", "", 422, "invalid", ""),
    ("GET", "/api/v1/tasks?filter=mail", "", 422, "invalid", "field:value"),
    ("GET", "/api/v1/tasks?include=everything", "", 422, "invalid", "payload, result"),
    ("GET", "/api/v1/queues?page_token=%3F", "", 422, "invalid", "page_token"),
    ("GET", "/api/v1/nothing", "", 404, "not_found", "openapi.json"),
    ("GET", "/nothing", "", 404, "not_found", "openapi.json"),
    ("GET", "/errors/nothing", "", 404, "not_found", "queue_full"),
    ("PUT", "/api/v1/tasks", "", 405, "invalid", "PUT"),
    ("GET", "/api/v1/leases", "", 405, "invalid", "GET"),
    ("POST", "/livez", "", 405, "invalid", "POST"),
];

#[tokio::test]
async fn bad_input_is_told_what_is_wrong_and_where() {
    let site = Site::start();
    for (method, path, body, status, code, hint) in BAD {
        let body = (*method != "GET").then_some(*body);
        let answer = site.call(method, path, body).await;
        let problem = answer.problem(*status, code);
        let told = format!("{} {}", problem["detail"], problem["errors"]);
        assert!(told.contains(hint), "{method} {path} {body:?}: {answer:?}");
        assert_eq!(problem["retryable"], false);
    }
    let queues = site.get("/api/v1/queues").await.json();
    assert_eq!(queues["queues"].as_array().unwrap().len(), 0, "nothing of it was stored (I10)");
}

#[tokio::test]
async fn a_wrong_method_is_told_which_are_right() {
    let site = Site::start();
    let answer = site.call("PUT", "/api/v1/tasks", None).await;
    answer.problem(405, "invalid");
    let allow = answer.header("allow").unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
}

#[tokio::test]
async fn a_body_that_is_not_named_as_json_is_not_read() {
    let site = Site::start();
    for kind in ["application/x-www-form-urlencoded", "text/plain", "application/xml"] {
        let headers = format!("Content-Type: {kind}\r\n");
        let answer =
            site.call_with("POST", "/api/v1/tasks", &headers, Some(b"{\"kind\":\"a\"}")).await;
        let problem = answer.problem(415, "invalid");
        assert!(problem["detail"].as_str().unwrap().contains("application/json"));
    }
    let headers = "Content-Type: application/json; charset=utf-8\r\n";
    let answer = site.call_with("POST", "/api/v1/tasks", headers, Some(b"{\"kind\":\"a\"}")).await;
    assert_eq!(answer.status, 201);
    let headers = "Content-Encoding: gzip\r\n";
    site.call_with("POST", "/api/v1/tasks", headers, Some(b"x")).await.problem(415, "invalid");
}

#[tokio::test]
async fn a_caller_that_cannot_read_json_is_told_so() {
    let site = Site::start();
    let accept = |kind: &str| format!("Accept: {kind}\r\n");
    let call = async |kind: &str| site.call_with("GET", "/api/v1/about", &accept(kind), None).await;
    call("text/html").await.problem(406, "invalid");
    assert_eq!(call("text/html, */*;q=0.1").await.status, 200);
}

#[tokio::test]
async fn a_foreign_host_is_misdirected_and_a_foreign_page_forbidden() {
    let site = Site::start();
    site.call_with("GET", "/api/v1/about", "Host: evil.example\r\n", None)
        .await
        .problem(421, "invalid");
    site.call_with("GET", "/", "Host: evil.example:7420\r\n", None).await.problem(421, "invalid");
    let headers = "Sec-Fetch-Site: cross-site\r\n";
    let body = Some(&b"{\"kind\":\"a\"}"[..]);
    site.call_with("POST", "/api/v1/tasks", headers, body).await.problem(403, "forbidden");
    let headers = "Origin: http://evil.example\r\n";
    site.call_with("POST", "/api/v1/tasks", headers, body).await.problem(403, "forbidden");
    let answer = site.call_with("GET", "/api/v1/about", headers, None).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_request_id_is_taken_or_made_and_echoed() {
    let site = Site::start();
    let answer = site.call_with("GET", "/api/v1/tasks/1", "X-Request-Id: mine-17\r\n", None).await;
    assert_eq!(answer.problem(422, "invalid")["request_id"], "mine-17");
    let made = site.get("/livez").await;
    assert_eq!(made.header("x-request-id").unwrap().len(), 36);
    let trace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    let answer = site.call_with("GET", "/api/v1/tasks/1", trace, None).await;
    assert_eq!(answer.json()["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[tokio::test]
async fn bytes_that_are_no_http_end_the_connection_and_nothing_else() {
    let site = Site::start();
    let answer = site.send(b"\x16\x03\x01 this is no HTTP\r\n\r\n").await;
    assert_eq!(answer.status, 400);
    assert_eq!(site.get("/livez").await.status, 200);
}

#[tokio::test]
async fn every_code_has_a_page() {
    let site = Site::start();
    for code in Code::ALL {
        let page = site.get(&format!("/errors/{code}")).await;
        assert_eq!(page.status, 200, "{code}");
        assert!(page.text().contains(code.as_str()));
        assert_eq!(page.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    let page = site.call_with("GET", "/errors/queue_full", "Accept: text/html\r\n", None).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("<h1>"));
}

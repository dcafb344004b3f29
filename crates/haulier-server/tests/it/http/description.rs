//! The description of the interface, and the pages beside it.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;

use crate::site::Site;

/// The copy that people and tools read. `UPDATE=1 cargo test -p haulier-server` writes it anew.
const COPY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");

#[test]
fn the_checked_in_description_is_the_one_that_is_served() {
    let made = serde_json::to_string_pretty(&haulier_server::openapi()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(Path::new(COPY).parent().unwrap()).unwrap();
        std::fs::write(COPY, &made).unwrap();
    }
    let kept = std::fs::read_to_string(COPY).unwrap_or_default();
    assert!(
        kept == made,
        "docs/reference/openapi.json is old; write it anew: UPDATE=1 cargo test -p haulier-server"
    );
}

#[tokio::test]
async fn every_call_that_is_described_is_served() {
    let site = Site::start();
    let description = site.get("/openapi.json").await.json();
    let (mut calls, mut names) = (0, HashSet::new());
    for (path, item) in description["paths"].as_object().unwrap() {
        let id = "01997b9c-1f2e-7c3d-8a4b-5c6d7e8f9a0b";
        let path = path.replace("{id}", id).replace("{queue}", "mail").replace("{worker}", "w");
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| key.len() < 7)
        {
            calls += 1;
            assert!(names.insert(operation["operationId"].clone()), "{operation}");
            let method = method.to_uppercase();
            let body = (method != "GET" && method != "DELETE").then_some("{}");
            let answer = site.call(&method, &path, body).await;
            assert_ne!(answer.status, 405, "{method} {path}");
            let text = answer.text();
            assert!(!text.contains("there is nothing at"), "{method} {path}: {text}");
            assert!(!text.contains("there is no call"), "{method} {path}: {text}");
        }
    }
    assert_eq!(calls, 27);
}

#[tokio::test]
async fn every_reference_in_the_description_has_its_target() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let description = serde_json::to_value(haulier_server::openapi()).unwrap();
    let mut found = Vec::new();
    references(&description, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(description.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_server_tells_what_it_is_and_that_it_is_there() {
    let site = Site::start();
    let about = site.get("/api/v1/about").await.json();
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&about["store"], &about["durability"]["class"]), (&"memory".into(), &"D0".into()));
    assert_eq!(about["capabilities"]["lookup"], true);
    assert_eq!(about["limits"]["items_max"], 1_000);
    for path in ["/livez", "/readyz"] {
        let answer = site.get(path).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"), "{path}");
    }
    let ready = site.get("/readyz?verbose").await.json();
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["checks"].as_array().unwrap().len(), 2);
    let root = site.get("/").await;
    assert!(root.text().contains("/openapi.json"));
    assert_eq!(root.header("x-content-type-options"), Some("nosniff"));
}

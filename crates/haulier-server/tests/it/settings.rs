//! Settings, from every source.

use std::path::PathBuf;
use std::time::Duration;

use haulier_server::config::{LogFormat, Source, template};
use haulier_server::{Config, Sources};

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A file with this text, and the directory that keeps it.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("haulier.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn refused(sources: &Sources) -> String {
    Config::load(sources).unwrap_err().to_string()
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
    let (_dir, path) =
        file("listen = \"127.0.0.1:1\"\nstore = \"memory:\"\npayload_bytes_max = 5\n");
    let sources = Sources {
        flags: pairs(&[("listen", "127.0.0.1:3")]),
        env: pairs(&[
            ("HAULIER_LISTEN", "127.0.0.1:2"),
            ("HAULIER_STORE", "file:x"),
            ("PATH", "/"),
        ]),
        file: Some(path.clone()),
    };
    let loaded = Config::load(&sources).unwrap();
    assert_eq!(loaded.config.listen.port(), 3);
    assert_eq!(loaded.config.store.as_str(), "file:x");
    assert_eq!(loaded.config.payload_bytes_max, 5);
    assert_eq!(loaded.config.drain_timeout, Duration::from_secs(25));
    let source = |key: &str| {
        loaded.settings.iter().find(|setting| setting.key == key).unwrap().source.clone()
    };
    assert_eq!(source("listen"), Source::Flag("--listen".into()));
    assert_eq!(source("store"), Source::Variable("HAULIER_STORE".into()));
    assert_eq!(source("payload_bytes_max"), Source::File(path));
    assert_eq!(source("drain_timeout"), Source::Default);
}

#[test]
fn nothing_said_is_a_valid_configuration() {
    let loaded = Config::load(&Sources::default()).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.config.log_format, LogFormat::Auto);
    let (_dir, path) = file(&template());
    let loaded = Config::load(&Sources { file: Some(path), ..Sources::default() }).unwrap();
    assert_eq!(loaded.config, Config::default(), "the template says the same");
}

#[test]
fn an_unknown_key_names_its_nearest_neighbour() {
    let (_dir, path) = file("lisen = \"127.0.0.1:1\"\n");
    let text = refused(&Sources { file: Some(path.clone()), ..Sources::default() });
    assert!(text.contains("`lisen`") && text.contains("did you mean `listen`?"), "{text}");
    assert!(text.contains(&path.display().to_string()), "{text}");
    let text =
        refused(&Sources { env: pairs(&[("HAULIER_DRAIN_TIMOUT", "1s")]), ..Sources::default() });
    assert!(text.contains("did you mean `HAULIER_DRAIN_TIMEOUT`?"), "{text}");
    let text = refused(&Sources { flags: pairs(&[("colour", "red")]), ..Sources::default() });
    assert!(text.contains("known are listen, store"), "{text}");
    let (_dir, path) = file("[server]\nlisten = \"127.0.0.1:1\"\n");
    let text = refused(&Sources { file: Some(path), ..Sources::default() });
    assert!(text.contains("`server`"), "{text}");
}

#[test]
fn variables_of_clients_workers_and_kubernetes_are_let_pass() {
    let env = pairs(&[
        ("HAULIER_URL", "http://x"),
        ("HAULIER_TOKEN", "hlr_x"),
        ("HAULIER_TASK_ID", "x"),
        ("HAULIER_SERVICE_HOST", "10.0.0.1"),
        ("HAULIER_PORT_7420_TCP", "tcp://10.0.0.1:7420"),
    ]);
    Config::load(&Sources { env, ..Sources::default() }).unwrap();
}

#[test]
fn what_tests_make_a_server_do_is_let_pass_where_it_can_be_done() {
    let variables = haulier_core::probe::VARIABLES;
    assert!(variables.contains(&"HAULIER_FAILPOINT"), "these tests are built with probes");
    for variable in variables {
        let env = pairs(&[(variable, "x")]);
        Config::load(&Sources { env, ..Sources::default() }).unwrap();
    }
    let env = pairs(&[("HAULIER_FAILPOINTS", "x")]);
    assert!(refused(&Sources { env, ..Sources::default() }).contains("HAULIER_FAILPOINTS"));
}

#[test]
fn a_wrong_value_is_told_with_key_source_and_what_is_allowed() {
    for (key, value, hint) in [
        ("listen", "7420", "127.0.0.1:7420"),
        ("listen", "localhost:7420", "IP address"),
        ("store", "data", "file:DIRECTORY"),
        ("min_durability", "D9", "D0, D1, D2 or D3"),
        ("payload_bytes_max", "0", "16777216"),
        ("payload_bytes_max", "16777217", "16777216"),
        ("payload_bytes_max", "1MB", "16777216"),
        ("drain_timeout", "soon", "duration"),
        ("drain_timeout", "2h", "1h"),
        ("log_format", "xml", "auto, pretty or json"),
        ("log_level", "loud", "debug"),
    ] {
        let text = refused(&Sources { flags: pairs(&[(key, value)]), ..Sources::default() });
        for part in [key, value, hint, "flag --"] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
    }
    let max = pairs(&[("payload_bytes_max", "16777216"), ("drain_timeout", "1h")]);
    Config::load(&Sources { flags: max, ..Sources::default() }).unwrap();
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_named() {
    let missing = PathBuf::from("/nowhere/haulier.toml");
    let text = refused(&Sources { file: Some(missing), ..Sources::default() });
    assert!(text.contains("/nowhere/haulier.toml"), "{text}");
    let (_dir, path) = file("listen = \n");
    let text = refused(&Sources { file: Some(path), ..Sources::default() });
    assert!(text.contains("line 1"), "{text}");
}

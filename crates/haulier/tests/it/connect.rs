//! From a URL to a client.

use haulier::store::{self, OpenError, StoreOptions};
use haulier::{Code, Durability, connect};

use crate::mail;

#[tokio::test]
async fn a_url_that_names_no_store_is_refused_with_those_that_do() {
    for url in ["", "redis", "mongodb://localhost", "file:", "memory:x"] {
        let error = connect(url).await.unwrap_err();
        assert_eq!(error.code(), Code::Invalid, "{url}");
        for known in ["memory:", "file:DIR", "http://HOST:7420"] {
            assert!(error.message().contains(known), "{url}: {error}");
        }
    }
}

#[tokio::test]
async fn what_was_handed_over_to_a_directory_is_there_after_it_was_closed_and_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file:{}", directory.path().display());
    let client = connect(&url).await.unwrap();
    let sent = client.enqueue(mail("a@b.c")).await.unwrap();
    assert_eq!(sent.durability(), Durability::D2);
    client.close().await.unwrap();
    drop((sent.id(), client));
    let id = sent.id();
    drop(sent);
    let again = connect(&url).await.unwrap();
    let inspect = again.inspect().unwrap();
    let views = inspect.get(vec![id], haulier::core::Include::ALL, std::time::Duration::ZERO);
    let view = views.await.unwrap().pop().unwrap().unwrap();
    assert_eq!((view.task.kind.as_str(), view.task.queue.as_str()), ("email.send", "mail"));
    again.close().await.unwrap();
}

#[tokio::test]
async fn a_directory_that_is_open_elsewhere_is_refused_and_one_that_is_damaged_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file:{}", directory.path().display());
    let open = store::open(&url, StoreOptions::default()).await.unwrap();
    let second = store::open(&url, StoreOptions::default()).await.unwrap_err();
    assert!(matches!(second, OpenError::Refused(_)), "{second}");
    open.close().await.unwrap();
    drop(open);
    let missing = format!("file:{}/no/file/here", directory.path().join("x").display());
    std::fs::write(directory.path().join("x"), "a file, no directory").unwrap();
    let error = store::open(&missing, StoreOptions::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::Io(_)), "{error}");
}

#[tokio::test]
async fn a_client_over_a_bare_queue_says_that_it_cannot_look_or_control() {
    let client = connect("memory:").await.unwrap();
    let bare = haulier::Client::over(client.queue()).unwrap();
    assert_eq!(bare.inspect().unwrap_err().code(), Code::NotSupported);
    assert_eq!(bare.control().unwrap_err().code(), Code::NotSupported);
    assert!(bare.enqueue(mail("a@b.c")).await.is_ok());
}

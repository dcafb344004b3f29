//! The inbox is bounded by the bytes that wait in it (L5), and the test that says so can fail.

use std::process::Command;
use std::task::{Context, Waker};

use super::{Ask, Inbox, KILOBYTES_MAX};

#[test]
fn calls_beyond_the_bound_wait_outside_with_their_callers() {
    let inbox = Inbox::new();
    let megabyte = 1_023 * 1024;
    let most = KILOBYTES_MAX / 1_024;
    let mut calls: Vec<_> =
        (0..most + 100).map(|_| Box::pin(inbox.ask(Ask::Close, megabyte))).collect();
    for call in &mut calls {
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "nobody answers");
    }
    let taken_in = inbox.waiting.lock().calls.len();
    assert_eq!(taken_in, most, "L5: what waits in memory is bounded");
    let (_, taken) = inbox.take(None, true, false);
    drop(taken);
    for call in &mut calls[most..] {
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(inbox.waiting.lock().calls.len(), 100, "the others come in when there is room");
}

#[test]
fn an_inbox_without_a_bound_is_caught() {
    let test = "inbox::bound::calls_beyond_the_bound_wait_outside_with_their_callers";
    let output = std::env::current_exe().and_then(|program| {
        Command::new(program)
            .args([test, "--exact", "--nocapture"])
            .env("HAULIER_PLANT", "endless-inbox")
            .output()
    });
    let Ok(output) = output else { panic!("the tests could not be started again: {output:?}") };
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(said.contains("running 1 test"), "there is no test {test}: {said}");
    assert!(!output.status.success(), "{test} does not catch endless-inbox");
    assert!(said.contains("L5: "), "{test} does not name L5: {said}");
}

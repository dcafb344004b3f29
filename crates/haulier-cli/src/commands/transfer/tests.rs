//! Round trips: from a store in memory through a file into an embedded store, whatever the tasks
//! are.

use std::sync::Arc;
use std::time::Duration;

use haulier::store::{OpenStore, StoreOptions, open};
use haulier_core::limits::PAYLOAD_BYTES_DEFAULT;
use haulier_core::{
    Entropy, Filter, Include, Kind, ManualClock, NewTask, OnConflict, Payload, Priority, QueueName,
    SeededEntropy, Start, State, Store, TaskId, TaskView, Timestamp, Unique, Until,
};

use crate::commands::export::{Target, write};
use crate::commands::import::{Lines, Tally, read};

/// Seeds of a run; `HAULIER_SEEDS` asks for more.
fn seeds() -> u64 {
    std::env::var("HAULIER_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(4)
}

fn chance(dice: &SeededEntropy, below: u64) -> u64 {
    dice.up_to(below - 1)
}

fn payload(dice: &SeededEntropy) -> Payload {
    let length = usize::try_from(chance(dice, 300)).unwrap();
    let noise: Vec<u8> = (0..length).map(|_| dice.next_u64().to_le_bytes()[0]).collect();
    match chance(dice, 8) {
        0 => Payload::new(noise, Payload::BINARY),
        1 => Payload::json(noise),
        2 => Payload::json("{\n  \"pretty\": [1,\r\n 2]\n}"),
        3 => Payload::json("{\"b\": 1,  \"a\":1.000000000000000000001, \"a\": \"\\u0000\"}"),
        4 => Payload::json(" 1 "),
        5 => Payload::json("\"任务 \u{202e}\u{2028}\u{1b} ünïcode\""),
        6 => Payload::new("", "text/plain; charset=utf-8"),
        _ => Payload::json("null"),
    }
}

fn task(number: u64, dice: &SeededEntropy, now: Timestamp) -> NewTask {
    let mut bytes = [3; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    let kind =
        Kind::new(["email.send", "k", "A-1_b"][usize::try_from(number % 3).unwrap()]).unwrap();
    let mut task = NewTask::new(TaskId::from_bytes(bytes), kind, payload(dice));
    let queue = ["default", "mail", "bulk"][usize::try_from(chance(dice, 3)).unwrap()];
    task.queue = QueueName::new(queue).unwrap();
    task.priority = Priority::new(u8::try_from(chance(dice, 10)).unwrap()).unwrap();
    task.start = match chance(dice, 4) {
        0 => Start::At(Timestamp(now.0 + 1 + chance(dice, 1_000_000_000))),
        1 => Start::After(Duration::from_millis(1 + chance(dice, 1_000_000))),
        _ => Start::Now,
    };
    if chance(dice, 2) == 0 {
        task.policy.max_attempts = 1 + u32::try_from(chance(dice, 1_000)).unwrap();
        task.policy.timeout = Duration::from_millis(1 + chance(dice, 100_000));
        task.policy.retain = Some(Duration::from_millis(chance(dice, 10_000)));
        task.policy.backoff.base = Duration::from_millis(chance(dice, 5_000));
        task.policy.backoff.factor_permille = 1_000 + u32::try_from(chance(dice, 9_000)).unwrap();
        task.policy.backoff.jitter_permille = u32::try_from(chance(dice, 1_001)).unwrap();
        task.expires_in = Some(Duration::from_millis(1_000_000 + chance(dice, 1_000_000)));
    }
    if chance(dice, 2) == 0 {
        task.headers = [("traceparent", "00-\u{7f}\n"), ("x", "ünï\t\"'")].into_iter().collect();
        task.labels = [("tenant", "acme:\u{202e}"), ("b", "")].into_iter().collect();
    }
    if chance(dice, 3) == 0 {
        let mut unique = Unique::new(format!("order {number} \"\n"));
        unique.window = Duration::from_millis(chance(dice, 10_000));
        unique.until = if chance(dice, 2) == 0 { Until::Start } else { Until::Finish };
        unique.on_conflict = OnConflict::Reject;
        task.unique = Some(unique);
    }
    task
}

async fn memory(clock: &ManualClock) -> OpenStore {
    let options = StoreOptions { clock: Arc::new(clock.clone()), ..StoreOptions::default() };
    open("memory:", options).await.unwrap()
}

async fn views(store: &dyn Store, ids: &[TaskId]) -> Vec<TaskView> {
    let views = store.get(ids.to_vec(), Include::ALL, Duration::ZERO).await.unwrap();
    views.into_iter().map(|view| view.expect("I1: it is there")).collect()
}

#[tokio::test]
async fn what_is_exported_and_imported_is_the_same_task_whatever_it_is() {
    for seed in 0..seeds() {
        let dice = SeededEntropy::from_u64(seed);
        let clock = ManualClock::new();
        let now = haulier_core::Clock::wall(&clock);
        let from = memory(&clock).await;
        let mut tasks: Vec<NewTask> = (0..40).map(|number| task(number, &dice, now)).collect();
        // One is as large as the limit allows.
        tasks[0].payload = Payload::new(vec![0xff; PAYLOAD_BYTES_DEFAULT], Payload::BINARY);
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        let answers = from.store.enqueue(tasks).await.unwrap();
        assert!(answers.into_iter().all(|answer| answer.accepted().is_ok()), "seed {seed}");

        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("tasks");
        let mut target = Target::open(&file).unwrap();
        let whole = (false, 7);
        let count = write(&*from.store, &Filter::default(), whole, &mut target).await.unwrap();
        target.finish().unwrap();
        assert_eq!(count, 40, "seed {seed}");

        let url = format!("file:{}", place.path().join("data").display());
        let options = StoreOptions { clock: Arc::new(clock.clone()), ..StoreOptions::default() };
        let to = open(&url, options).await.unwrap();
        for (round, inserted) in [(1, 40), (2, 0)] {
            let mut lines = Lines::open(&file).unwrap();
            let (tally, ended) = read(&mut lines, to.store.clone(), false).await.unwrap();
            let existing = 40 - inserted;
            let all = Tally { inserted, existing, ..Tally::default() };
            assert_eq!((tally, ended), (all, Some(40)), "seed {seed}, import {round}");
        }
        let (was, is) = (views(&*from.store, &ids).await, views(&*to.store, &ids).await);
        for (was, is) in was.iter().zip(&is) {
            assert_eq!(was.task, is.task, "I9: seed {seed}");
            assert_eq!(was.unique, is.unique, "seed {seed}");
            assert_eq!(was.state(), is.state(), "seed {seed}");
            if was.state() == State::Scheduled {
                assert_eq!(was.due_at, is.due_at, "I5: seed {seed}");
            }
        }
        to.close().await.unwrap();
    }
}

#[tokio::test]
async fn tasks_that_are_over_are_left_out_unless_they_are_asked_for_twice() {
    let clock = ManualClock::new();
    let from = memory(&clock).await;
    let dice = SeededEntropy::from_u64(1);
    let tasks: Vec<NewTask> = (0..4)
        .map(|number| NewTask { unique: None, ..task(number, &dice, Timestamp(0)) })
        .collect();
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    from.store.enqueue(tasks).await.unwrap();
    from.store.cancel(vec![ids[0], ids[1]]).await.unwrap();
    let place = tempfile::tempdir().unwrap();
    for (all, rerun, expected) in [
        (false, false, Tally { inserted: 2, ..Tally::default() }),
        (true, false, Tally { inserted: 2, left_out: 2, ..Tally::default() }),
        (true, true, Tally { inserted: 4, ..Tally::default() }),
    ] {
        let file = place.path().join(format!("{all}-{rerun}"));
        let mut target = Target::open(&file).unwrap();
        write(&*from.store, &Filter::default(), (all, 100), &mut target).await.unwrap();
        target.finish().unwrap();
        let to = memory(&clock).await;
        let mut lines = Lines::open(&file).unwrap();
        let (tally, _) = read(&mut lines, to.store.clone(), rerun).await.unwrap();
        assert_eq!(tally, expected, "all: {all}, rerun: {rerun}");
    }
}

#[tokio::test]
async fn a_line_that_makes_no_sense_is_named_by_its_number() {
    let clock = ManualClock::new();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("lines");
    for (line, word) in [
        ("{\"task\": {\"kind\": \"k\"}}", "no id"),
        ("{\"task\": {\"kind\": \"a/b\"}}", "not a name"),
        ("{\"task\": {\"kind\": \"k\", \"color\": 1}}", "unknown field"),
        ("{\"state\": \"available\"}", "neither"),
        ("[1", "line 2"),
    ] {
        std::fs::write(&file, format!("\n{line}\n")).unwrap();
        let mut lines = Lines::open(&file).unwrap();
        let failed = read(&mut lines, memory(&clock).await.store, false).await.unwrap_err();
        assert_eq!(failed.exit() as u8, 2, "{line}");
        let said = failed.to_string();
        assert!(said.contains("line 2") && said.contains(word), "{line}: {said}");
    }
}

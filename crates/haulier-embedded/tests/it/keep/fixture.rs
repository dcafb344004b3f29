//! Directories that released versions wrote: each opens, and holds what it held (F32). One is
//! written for every version of the format, and never again: `WRITE_FIXTURE=v2` writes the one of a
//! new version.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haulier_conformance::prelude::Must;
use haulier_core::{
    Beat, Cause, Checkpoint, Code, Control, Enqueued, Failure, Filter, Held, Include, Inspect,
    Kind, Lease, LeaseBeat, LeaseKey, Maintain, ManualClock, NewTask, Outcome, PageRequest,
    Payload, Priority, Queue, QueueName, SettingsPatch, Settled, Settlement, Start, TaskId,
    TaskView, Timestamp, Unique, Want, WorkerId,
};
use haulier_embedded::{EmbeddedStore, HintState, OpenError, Options, repair, verify};

use super::Place;

/// When the first version wrote its directory, and when it is opened: ids are remembered for two
/// minutes only.
const WRITTEN: Timestamp = Timestamp(1_795_500_000_000);
const LATER: Duration = Duration::from_secs(90);
/// How often tasks come and go when one is written.
const ROUNDS: u64 = 300;

fn options(clock: &ManualClock) -> Options {
    Options { segment_bytes: 32 * 1024, ..super::options(clock) }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn clock_at(at: Timestamp) -> ManualClock {
    let clock = ManualClock::new();
    clock.set_wall(at);
    clock
}

fn id(number: u64) -> TaskId {
    let mut bytes = [0xf1; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TaskId::from_bytes(bytes)
}

fn new(number: u64, queue: &str, payload: Payload) -> NewTask {
    let mut task = NewTask::new(id(number), Kind::new("email.send").must(), payload);
    task.queue = QueueName::new(queue).must();
    task
}

/// One task of every sort.
fn sorts() -> Vec<NewTask> {
    let json = |text: &str| Payload::json(text.to_owned());
    let mut rich = new(1, "mail", json("{\"to\": \"a@b.c\",  \"n\": 1.50}"));
    rich.headers = [("traceparent", "00-ab-cd-01"), ("x", "ünï")].into_iter().collect();
    rich.labels = [("tenant", "acme")].into_iter().collect();
    rich.priority = Priority::new(7).must();
    rich.policy.max_attempts = 3;
    rich.policy.timeout = Duration::from_secs(90);
    rich.policy.retain = Some(Duration::from_hours(48));
    rich.policy.backoff.base = Duration::from_millis(250);
    rich.policy.backoff.jitter_permille = 0;
    rich.unique = Some(Unique::new("order-17"));
    let mut later = new(2, "mail", Payload::new(vec![0, 255, 7], Payload::BINARY));
    later.start = Start::After(Duration::from_hours(24));
    later.expires_in = Some(Duration::from_hours(48));
    let text = Payload::new("plain", "text/plain; charset=utf-8");
    let mut all = vec![rich, later, new(3, "mail", text)];
    all.extend((4..12).map(|number| new(number, "work", json(&format!("{number}")))));
    all
}

async fn lease(store: &EmbeddedStore, worker: &str, queue: &str, max: u32) -> Vec<Lease> {
    let queue = QueueName::new(queue).must();
    let want = Want::new(WorkerId::new(worker).must(), queue, max);
    store.lease(vec![want], Duration::ZERO).await.must().remove(0)
}

async fn end(store: &EmbeddedStore, key: LeaseKey, outcome: Outcome) {
    let settled = store.settle(vec![Settlement { key, outcome }]).await.must();
    assert!(!matches!(settled[0], Settled::Stale | Settled::Refused(_)), "{settled:?}");
}

fn failure(message: &str) -> Failure {
    Failure::new(Cause::Timeout, message).with_class("Slow")
}

/// A sign of life: the lease is held for longer than it was granted for, and a step is done.
async fn beat(store: &EmbeddedStore, key: LeaseKey, ttl: Duration, step: &str) {
    let done = Checkpoint { name: step.into(), value: "receipt 17".into() };
    let held = LeaseBeat { key, progress: None, checkpoints: vec![done] };
    let worker = WorkerId::new("host-1").must();
    let beat = Beat { worker, about: None, ttl, leases: vec![held] };
    assert_eq!(store.beat(vec![beat]).await.must()[0].held, [Held::Yes]);
}

/// What happens after a second start: the records of the first may have been moved by then.
async fn play_on(store: &EmbeddedStore) {
    let view = store.get(vec![id(9)], Include::ALL, Duration::ZERO).await.must().remove(0).must();
    let key = LeaseKey { task: id(9), epoch: view.epoch };
    beat(store, key, Duration::from_mins(20), "shipped").await;
    let patch = SettingsPatch { max_tasks: Some(Some(1_000_000)), ..SettingsPatch::default() };
    store.configure(QueueName::new("mail").must(), patch).await.must();
}

/// A little of everything, so that every kind of record is written.
async fn play(store: &EmbeddedStore, clock: &ManualClock) {
    let patch = SettingsPatch {
        concurrency: Some(Some(50)),
        retain_dead: Some(Duration::from_hours(100)),
        ..SettingsPatch::default()
    };
    store.configure(QueueName::new("work").must(), patch).await.must();
    let answers = store.enqueue(sorts()).await.must();
    assert!(answers.iter().all(|answer| matches!(answer, Enqueued::Inserted { .. })));
    let mut leases = lease(store, "host-1", "work", 6).await.into_iter();
    let mut next = || leases.next().must().key;
    let result = Some(Payload::json("{\"sent\": true}"));
    end(store, next(), Outcome::Complete { result }).await;
    let after = Duration::from_hours(3);
    let retry_in = Some(after);
    end(store, next(), Outcome::Fail { failure: failure("too slow"), retry_in }).await;
    end(store, next(), Outcome::Reject { failure: failure("never") }).await;
    end(store, next(), Outcome::Snooze { delay: after }).await;
    end(store, next(), Outcome::Release).await;
    // One is held, with a step done.
    beat(store, next(), Duration::from_mins(15), "charged").await;
    store.cancel(vec![id(10)]).await.must();
    // Others come and go, so that the log is cleaned and all of that is moved.
    for round in 0..ROUNDS {
        let numbers = 1_000 + round * 2..1_002 + round * 2;
        let noise = |number| new(number, "noise", Payload::new(vec![7; 300], Payload::BINARY));
        store.enqueue(numbers.clone().map(noise).collect()).await.must();
        for lease in lease(store, "host-2", "noise", 2).await {
            end(store, lease.key, Outcome::Complete { result: None }).await;
        }
        store.delete(numbers.map(id).collect()).await.must();
        clock.advance(Duration::from_millis(200));
        while store.sweep(1_000).await.must().next.is_zero() {}
    }
}

/// Everything that a store holds, as text.
async fn tell(store: &EmbeddedStore) -> String {
    let mut text = String::new();
    let page = PageRequest { size: 1_000, after: None, include: Include::ALL };
    let page = store.list(Filter::default(), page).await.must();
    assert!(page.next.is_none());
    for view in page.tasks {
        tell_task(&view, &mut text);
    }
    for queue in store.queues().await.must() {
        writeln!(text, "queue {} {:?}", queue.queue, queue.settings).must();
    }
    text
}

fn tell_task(view: &TaskView, text: &mut String) {
    let (task, standing) = (&view.task, &view.standing);
    writeln!(text, "task {} {} {} {}", task.id, task.queue, task.kind, task.priority.get()).must();
    let bytes = task.payload.bytes.escape_ascii();
    writeln!(text, "  payload {} {bytes}", task.payload.content_type).must();
    writeln!(text, "  headers {:?} labels {:?}", task.headers, task.labels).must();
    writeln!(text, "  policy {:?} expires in {:?}", task.policy, task.expires_in).must();
    writeln!(text, "  unique {:?}", view.unique).must();
    writeln!(
        text,
        "  {} {:?} attempt {} losses {} started {} cancelled {} epoch {}",
        standing.state,
        standing.reason,
        standing.attempt,
        standing.losses,
        standing.started,
        standing.cancel_requested,
        view.epoch.0
    )
    .must();
    let finished = view.finished_at.map(|at| at.0);
    writeln!(text, "  {} {} {finished:?}", view.enqueued_at.0, view.due_at.0).must();
    writeln!(text, "  lease {:?}", view.lease).must();
    for step in &view.checkpoints {
        writeln!(text, "  step {} {}", step.name, step.value.escape_ascii()).must();
    }
    if let Some(result) = &view.result {
        let bytes = result.bytes.escape_ascii();
        writeln!(text, "  result {} {bytes}", result.content_type).must();
    }
    for delivery in &view.deliveries {
        writeln!(
            text,
            "  delivery {} {} {} {} {:?} {:?} {} {:?}",
            delivery.epoch.0,
            delivery.attempt,
            delivery.worker,
            delivery.leased_at.0,
            delivery.ended_at.map(|at| at.0),
            delivery.ended,
            delivery.late,
            delivery.failure
        )
        .must();
    }
}

/// Writes the directory of a version, and what it holds.
async fn record(version: &str) {
    let path = fixtures().join(version);
    std::fs::create_dir_all(&path).must();
    let data = path.join("data");
    assert!(!data.exists(), "{} is never written again", data.display());
    let clock = clock_at(WRITTEN);
    let store = EmbeddedStore::open(&data, options(&clock)).must();
    play(&store, &clock).await;
    store.close().await.must();
    let store = EmbeddedStore::open(&data, options(&clock)).must();
    play_on(&store).await;
    store.close().await.must();
    drop(store);
    repair(&data).must();
    for entry in std::fs::read_dir(&data).must() {
        let path = entry.must().path();
        let name = path.file_name().must().to_string_lossy().into_owned();
        if name == "lock" || name.starts_with("spare-") {
            std::fs::remove_file(path).must();
        }
    }
    let place = Place::new();
    let contents = tell(&open(&place, &data)).await;
    std::fs::write(path.join("contents.txt"), contents).must();
}

/// A copy of a version's directory, opened.
fn open(place: &Place, data: &Path) -> EmbeddedStore {
    let clock = clock_at(Timestamp(WRITTEN.0 + u64::try_from(LATER.as_millis()).must()));
    EmbeddedStore::open(&copy(place, data), options(&clock)).must()
}

fn copy(place: &Place, data: &Path) -> PathBuf {
    let to = place.path("data");
    std::fs::create_dir_all(&to).must();
    for entry in std::fs::read_dir(data).must() {
        let entry = entry.must();
        std::fs::copy(entry.path(), to.join(entry.file_name())).must();
    }
    to
}

/// The versions that there are.
fn versions() -> Vec<PathBuf> {
    let found = std::fs::read_dir(fixtures()).must();
    let mut found: Vec<PathBuf> = found.map(|entry| entry.must().path()).collect();
    found.sort();
    assert!(!found.is_empty(), "there is a fixture of every version");
    found
}

#[tokio::test]
async fn what_an_earlier_version_wrote_opens_and_holds_what_it_held() {
    if let Ok(version) = std::env::var("WRITE_FIXTURE") {
        record(&version).await;
    }
    for version in versions() {
        let place = Place::new();
        let store = open(&place, &version.join("data"));
        let held = std::fs::read_to_string(version.join("contents.txt")).must();
        let holds = tell(&store).await;
        assert!(holds == held, "I9: {}\n{held}\nis now\n{holds}", version.display());
        goes_on(&store).await;
    }
}

/// I2, I4, I8: what is remembered is remembered across versions, too.
async fn goes_on(store: &EmbeddedStore) {
    let forgotten = new(999 + 2 * ROUNDS, "noise", Payload::json("1"));
    let answer = store.enqueue(vec![forgotten]).await.must().remove(0);
    assert!(matches!(answer, Enqueued::Existing { state: None, .. }), "I4: {answer:?}");
    let mut rival = new(50, "mail", Payload::json("2"));
    rival.unique = Some(Unique::new("order-17"));
    let answer = store.enqueue(vec![rival]).await.must().remove(0);
    assert!(matches!(answer, Enqueued::Existing { id: it, .. } if it == id(1)), "I4: {answer:?}");
    let other = new(3, "mail", Payload::json("3"));
    let answer = store.enqueue(vec![other]).await.must().remove(0);
    let refused = answer.accepted().err().map(|refusal| refusal.code);
    assert_eq!(refused, Some(Code::IdConflict), "I4");
    let ids = (4..12).map(id).collect();
    let views = store.get(ids, Include::ALL, Duration::ZERO).await.must();
    let delivered = views.iter().flatten().filter_map(|view| {
        let newest = view.deliveries.last();
        newest.map(|delivery| (view.task.id, delivery.epoch, view.lease.is_some()))
    });
    let mut held = 0;
    for (task, epoch, running) in delivered.collect::<Vec<_>>() {
        let outcome = Outcome::Complete { result: None };
        let key = LeaseKey { task, epoch };
        let settled = store.settle(vec![Settlement { key, outcome }]).await.must().remove(0);
        assert_ne!(settled, Settled::Stale, "I8: {task}");
        held += u32::from(running);
    }
    assert_eq!(held, 1, "a worker goes on with its lease");
    for lease in lease(store, "host-3", "work", 10).await {
        assert!(lease.key.epoch.0 >> 32 >= 2, "I2: {:?}", lease.key);
    }
}

#[test]
fn a_fixture_has_records_of_every_kind_and_is_sound() {
    for version in versions() {
        let place = Place::new();
        let report = verify(&copy(&place, &version.join("data"))).must();
        assert!(report.is_sound() && report.closed, "{report}");
        assert!(report.segments.iter().any(|one| one.hint == HintState::Sound), "{report}");
        for kind in [
            "time",
            "line",
            "holder",
            "accepted",
            "changed",
            "extended",
            "checkpoint",
            "removed",
            "settings",
            "snapshot",
            "remembered",
            "opened",
            "closed",
            "freed",
        ] {
            assert!(report.records.contains_key(kind), "{kind}: {report}");
        }
    }
}

/// The other direction of F32: what a newer version wrote is refused, and left as it is.
#[test]
fn a_directory_of_a_newer_format_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let data = copy(&place, &versions()[0].join("data"));
    let mut names: Vec<_> =
        std::fs::read_dir(&data).must().map(|entry| entry.must().path()).collect();
    names.retain(|path| path.extension().is_some_and(|end| end == "segment"));
    names.sort();
    let newest = names.last().must();
    let mut bytes = std::fs::read(newest).must();
    bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(newest, &bytes).must();
    let clock = clock_at(WRITTEN);
    for refused in [
        EmbeddedStore::open(&data, options(&clock)).map(drop),
        verify(&data).map(drop),
        repair(&data).map(drop),
    ] {
        assert!(matches!(refused, Err(OpenError::NewerFormat { found: 2, .. })), "{refused:?}");
    }
    assert_eq!(std::fs::read(newest).must(), bytes, "nothing was changed");
}

/// The document takes a frame apart byte by byte: those bytes stand in the fixture.
#[test]
fn the_frame_that_the_document_takes_apart_stands_in_the_fixture() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/internals/log.md");
    let document = std::fs::read_to_string(path).must();
    let chapter = document.split("### A frame, byte by byte").nth(1).must();
    let name = chapter.split('`').find(|word| word.ends_with(".segment")).must();
    let bytes = std::fs::read(fixtures().join("v1/data").join(name)).must();
    let mut shown = 0;
    for line in chapter.lines().skip_while(|line| *line != "```text").skip(1) {
        if line == "```" {
            break;
        }
        let (offset, rest) = line.split_once("  ").must();
        let mut at = usize::from_str_radix(offset, 16).must();
        let hex = rest.split("  ").next().must();
        for byte in hex.split(' ') {
            assert_eq!(u8::from_str_radix(byte, 16).must(), bytes[at], "{name} at {at:#x}");
            (at, shown) = (at + 1, shown + 1);
        }
    }
    assert!(shown >= 64, "{shown} bytes are shown");
}

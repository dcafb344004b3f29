//! Everything that fuzzers began with and have found, fed to the functions that they feed.
//! `cargo xtask fuzz` looks for more. `UPDATE=1` writes the seeds that are messages.

use std::path::PathBuf;
use std::time::Duration;

use haulier_core::{
    Backoff, Beat, Checkpoint, Epoch, Failure, Kind, LeaseBeat, LeaseKey, NewTask, Outcome,
    Payload, Progress, QueueName, SettingsPatch, Settlement, Start, TaskId, Unique, Want,
    WorkerAbout, WorkerId,
};
use haulier_wire::pb::worker_frame::Frame;
use haulier_wire::{beat, control, enqueue, inspect, lease, pb, settle, task};
use prost::Message;

// The fuzzers' workspace is not this one; what they feed is.
#[path = "../../../../fuzz/src/outside/mod.rs"]
mod outside;

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz"))
}

/// Feeds what is checked in for a target.
fn feed(target: &str, read: fn(&[u8])) {
    let mut fed = 0;
    for sort in ["corpus", "regressions"] {
        let Ok(entries) = std::fs::read_dir(root().join(sort).join(target)) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let broke = std::panic::catch_unwind(|| read(&bytes)).is_err();
            assert!(!broke, "{} breaks its reader", path.display());
            fed += 1;
        }
    }
    assert!(fed > 0, "fuzz/corpus/{target} holds nothing");
}

#[test]
fn no_text_that_a_fuzzer_kept_breaks_its_reader() {
    feed("text", outside::text);
}

#[test]
fn no_configuration_that_a_fuzzer_kept_breaks_its_reader() {
    feed("config", outside::config);
}

#[test]
fn no_body_that_a_fuzzer_kept_breaks_its_reader_or_a_store() {
    feed("json", outside::json);
}

#[test]
fn no_message_that_a_fuzzer_kept_breaks_its_reader_or_a_store() {
    for (name, bytes) in [("life", life()), ("stream", stream()), ("answers", answers())] {
        let path = root().join("corpus/protobuf").join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        let written = std::fs::read(&path).unwrap_or_default();
        let cure = "UPDATE=1 cargo test -p haulier-server fuzzed";
        assert!(written == bytes, "{} is another one; to write it: {cure}", path.display());
    }
    feed("protobuf", outside::protobuf);
}

fn id(number: u8) -> TaskId {
    TaskId::from_bytes([1, 0x9b, 0x7a, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, number])
}

fn worker() -> WorkerId {
    WorkerId::new("w-1").unwrap()
}

fn tasks() -> Vec<NewTask> {
    let kind = Kind::new("email.send").unwrap();
    let mut first = NewTask::new(id(1), kind.clone(), Payload::new("hello", "text/plain"));
    first.headers = [("trace", "1")].into_iter().collect();
    first.labels = [("tenant", "acme")].into_iter().collect();
    first.policy.max_attempts = 3;
    first.policy.retain = Some(Duration::from_mins(1));
    first.policy.backoff = Backoff { factor_permille: 3_000, ..first.policy.backoff };
    let mut second = NewTask::new(id(2), kind, Payload::json("{}"));
    second.start = Start::After(Duration::from_secs(10));
    second.expires_in = Some(Duration::from_secs(90));
    second.unique = Some(Unique::new("order-17"));
    vec![first, second]
}

fn want() -> Want {
    Want::new(worker(), QueueName::default(), 10)
}

/// The lease that was granted last.
fn key() -> LeaseKey {
    LeaseKey { task: id(1), epoch: Epoch(0) }
}

fn life_sign() -> Beat {
    let about = WorkerAbout {
        version: "1".to_owned(),
        queues: vec![QueueName::default()],
        kinds: Vec::new(),
        slots: 4,
    };
    let checkpoint = Checkpoint { name: "a".into(), value: "1".into() };
    let progress = Progress { fraction: 0.5, note: "half".into() };
    let lease = LeaseBeat { key: key(), progress: Some(progress), checkpoints: vec![checkpoint] };
    Beat {
        worker: worker(),
        about: Some(about.into()),
        ttl: Duration::from_mins(1),
        leases: vec![lease],
    }
}

fn ends() -> Vec<pb::Settlement> {
    let failure = Failure::new(haulier_core::Cause::Error, "no").with_class("E").with_trace("t");
    let outcomes = [
        Outcome::Snooze { delay: Duration::from_secs(1) },
        Outcome::Fail { failure: failure.clone(), retry_in: Some(Duration::from_secs(5)) },
        Outcome::Fail { failure: failure.clone(), retry_in: None },
        Outcome::Reject { failure },
        Outcome::Release,
        Outcome::Cancelled,
        Outcome::Complete { result: Some(Payload::json("{}")) },
    ];
    let end = |outcome| Settlement { key: key(), outcome };
    settle::encode_settlements(&outcomes.map(end))
}

/// Appends a message as the target reads it: which, its length, its bytes.
fn put(out: &mut Vec<u8>, which: u8, message: &impl Message) {
    let bytes = message.encode_to_vec();
    out.push(which);
    out.extend(u16::try_from(bytes.len()).unwrap().to_le_bytes());
    out.extend(bytes);
}

fn life() -> Vec<u8> {
    let mut out = Vec::new();
    let tasks = enqueue::encode_tasks(&tasks());
    put(&mut out, 0, &pb::EnqueueRequest { tasks });
    let wants = vec![lease::encode_want(&want())];
    put(&mut out, 1, &pb::LeaseRequest { wants, ..pb::LeaseRequest::default() });
    put(&mut out, 2, &pb::BeatRequest { beats: vec![beat::encode_beat(&life_sign())] });
    put(&mut out, 3, &pb::SettleRequest { settlements: ends() });
    let ids = vec![task::encode_id(id(1)), task::encode_id(id(2))];
    put(&mut out, 4, &pb::CancelRequest { ids: ids.clone() });
    let patch = SettingsPatch {
        paused: Some(true),
        concurrency: Some(Some(2)),
        max_tasks: Some(None),
        ..SettingsPatch::default()
    };
    put(&mut out, 5, &control::encode_configure(&QueueName::default(), &patch));
    put(&mut out, 6, &pb::GetRequest { ids, ..pb::GetRequest::default() });
    let filter = "state:dead label.tenant:a*".parse().unwrap();
    put(&mut out, 7, &inspect::encode_list(&filter, &haulier_core::PageRequest::default()));
    out
}

fn stream() -> Vec<u8> {
    let mut out = Vec::new();
    let tasks = enqueue::encode_tasks(&tasks());
    put(&mut out, 0, &pb::EnqueueRequest { tasks });
    let held = vec![lease::encode_key(key())];
    let hello = pb::Hello {
        worker: "fuzzer".to_owned(),
        about: None,
        ttl_ms: Some(30_000),
        held: held.clone(),
    };
    let mut want = lease::encode_want(&want());
    want.worker = String::new();
    let mut sign = beat::encode_beat(&life_sign());
    sign.worker = String::new();
    let frames = [
        Frame::Hello(hello),
        Frame::Credit(pb::Credit { number: 1, want: Some(want) }),
        Frame::Beat(pb::BeatFrame { batch: 1, beat: Some(sign) }),
        Frame::Settle(pb::SettleFrame { batch: 2, settlements: ends() }),
        Frame::Bye(pb::Bye { release: held }),
    ];
    for (seq, frame) in (1..).zip(frames) {
        put(&mut out, 9, &pb::WorkerFrame { seq, frame: Some(frame) });
    }
    out
}

fn answers() -> Vec<u8> {
    let mut out = Vec::new();
    let inserted = haulier_core::Enqueued::Inserted {
        id: id(1),
        state: haulier_core::State::Available,
        durability: haulier_core::Durability::D2,
    };
    let answers = enqueue::encode_answers(vec![inserted]);
    put(&mut out, 0x80, &pb::EnqueueResponse { answers });
    let deliveries = tasks().into_iter().map(|new| haulier_core::Lease {
        key: LeaseKey { task: new.id, epoch: Epoch(1) },
        task: new.task.into(),
        attempt: 1,
        losses: 0,
        ttl: Duration::from_secs(30),
        enqueued_at: haulier_core::Timestamp(1),
        checkpoints: Vec::new(),
    });
    let leases = lease::encode_leases(&deliveries.collect::<Vec<_>>());
    let leases = pb::Leases { leases };
    put(&mut out, 0x81, &pb::LeaseResponse { answers: vec![leases] });
    let settled = settle::encode_settled(haulier_core::Settled::Stale);
    put(&mut out, 0x83, &pb::SettleResponse { answers: vec![settled] });
    out
}

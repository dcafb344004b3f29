//! Damage, a full disk, a second opener, a newer format: what is reported, what is refused, and
//! what goes on. And what a restart finds after the cleaner has been at work.

use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::prelude::Must;
use haulier_core::{
    Code, Control, Enqueued, Include, Inspect, Kind, Maintain, ManualClock, NewTask, Payload,
    Queue, QueueName, Settled, State, TaskId, TaskView, Want, WorkerId,
};
use haulier_embedded::disk::{Disk, RealDisk, SimDisk};
use haulier_embedded::{EmbeddedStore, OpenError, Options, Repaired, repair, verify};
use tempfile::TempDir;

use crate::rig::{complete, small, take};

const SEGMENT: usize = 16 * 1024;

fn options(clock: &ManualClock) -> Options {
    Options { segment_bytes: SEGMENT, cache_bytes_max: 0, ..small(clock) }
}

fn open(disk: &SimDisk) -> Result<EmbeddedStore, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    EmbeddedStore::open_on(&disk, options(&ManualClock::new()))
}

fn id(number: u64) -> TaskId {
    let mut bytes = [9; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TaskId::from_bytes(bytes)
}

fn task(number: u64, bytes: usize) -> NewTask {
    let fill = u8::try_from(number % 251).must();
    let payload = Payload::new(vec![fill; bytes], Payload::BINARY);
    NewTask::new(id(number), Kind::new("work").must(), payload)
}

async fn put(store: &EmbeddedStore, number: u64, bytes: usize) -> Enqueued {
    store.enqueue(vec![task(number, bytes)]).await.must().remove(0)
}

async fn see(store: &EmbeddedStore, number: u64) -> Option<TaskView> {
    store.get(vec![id(number)], Include::ALL, Duration::ZERO).await.must().remove(0)
}

fn files(disk: &SimDisk, end: &str) -> Vec<String> {
    disk.list().must().into_iter().filter(|name| name.ends_with(end)).collect()
}

#[tokio::test]
async fn a_second_opener_of_a_directory_is_refused_and_told_where() {
    let directory = TempDir::new().must();
    let clock = ManualClock::new();
    let first = EmbeddedStore::open(directory.path(), options(&clock)).must();
    let second = EmbeddedStore::open(directory.path(), options(&clock)).unwrap_err();
    assert!(matches!(second, OpenError::Locked { .. }), "{second}");
    assert!(second.to_string().contains("lock"), "{second}");
    drop(first);
    assert!(EmbeddedStore::open(directory.path(), options(&clock)).is_ok());
}

#[tokio::test]
async fn only_the_owner_may_read_the_directory_and_its_files() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new().must();
    let path = directory.path().join("data");
    let store = EmbeddedStore::open(&path, options(&ManualClock::new())).must();
    let mode = |path: &std::path::Path| path.metadata().must().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in std::fs::read_dir(&path).must() {
        assert_eq!(mode(&entry.must().path()), 0o600);
    }
    drop(store);
}

#[tokio::test]
async fn a_newer_format_is_refused_by_its_number() {
    let disk = SimDisk::new();
    drop(open(&disk).must());
    let name = files(&disk, ".segment").remove(0);
    let mut bytes = disk.read(&name).must();
    bytes[8..12].copy_from_slice(&7_u32.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    disk.write(&name, bytes);
    match open(&disk).unwrap_err() {
        OpenError::NewerFormat { found: 7, known: 1, .. } => {}
        other => panic!("{other}"),
    }
}

/// A small log whose tasks are all acknowledged, closed in good order.
async fn small_log() -> (SimDisk, Vec<u64>) {
    let disk = SimDisk::new();
    let store = open(&disk).must();
    let numbers: Vec<u64> = (0..6).collect();
    for number in &numbers {
        put(&store, *number, 40).await;
    }
    complete(&store, &take(&store, 1).await[0]).await;
    store.close().await.must();
    (disk, numbers)
}

/// I9, I16: for every byte, a start says that the log is damaged, or everything is served as it
/// was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_anywhere_is_reported_or_changes_nothing() {
    let (disk, numbers) = small_log().await;
    let name = files(&disk, ".segment").remove(0);
    let sound = disk.read(&name).must();
    let used = sound.iter().rposition(|byte| *byte != 0).must() + 1;
    let mut reported = 0;
    for at in 0..used {
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (at % 8);
        let copy = SimDisk::new();
        copy.write(&name, bytes);
        match open(&copy) {
            Err(OpenError::Damaged { .. } | OpenError::NewerFormat { .. }) => reported += 1,
            Err(other) => panic!("byte {at}: {other}"),
            Ok(store) => {
                for number in &numbers {
                    let view = see(&store, *number).await;
                    let view = view.unwrap_or_else(|| panic!("byte {at}: task {number} is lost"));
                    assert_eq!(view.task.payload, task(*number, 40).payload, "byte {at}");
                    let done = view.state() == State::Completed;
                    assert_eq!(done, *number == 0, "byte {at}: task {number}");
                }
            }
        }
    }
    // The last frame, which says that the log was closed, has no witness behind it; and between
    // frames stand a few bytes that mean nothing.
    assert!(reported + 128 > used, "{reported} of {used} were reported");
}

#[tokio::test]
async fn damage_names_the_file_and_the_place_and_changes_nothing() {
    let (disk, _) = small_log().await;
    let name = files(&disk, ".segment").remove(0);
    let mut bytes = disk.read(&name).must();
    bytes[300] ^= 4;
    disk.write(&name, bytes.clone());
    match open(&disk).unwrap_err() {
        OpenError::Damaged { file, offset, .. } => {
            assert!(file.ends_with(&name), "{file}");
            assert!((64..=300).contains(&offset), "{offset}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(disk.read(&name).must(), bytes);
}

/// I9, L3: a payload that rots in a sealed segment is never delivered, and does not block its line.
#[tokio::test]
async fn a_damaged_payload_is_given_up_and_the_next_task_is_leased() {
    let disk = SimDisk::new();
    let store = open(&disk).must();
    for number in 0..60 {
        put(&store, number, 500).await;
    }
    store.close().await.must();
    let first = files(&disk, ".segment").remove(0);
    let mut bytes = disk.read(&first).must();
    let payload = vec![3; 500];
    let at = bytes.windows(500).position(|window| window == payload).must();
    bytes[at + 250] ^= 1;
    disk.write(&first, bytes);
    let store = open(&disk).must();
    let leased: Vec<TaskId> = take(&store, 100).await.iter().map(|it| it.key.task).collect();
    assert!(!leased.contains(&id(3)) && leased.len() == 59, "{leased:?}");
    let view = store.list("state:dead".parse().must(), haulier_core::PageRequest::default()).await;
    assert!(view.is_err(), "what cannot be read is an error: {view:?}");
    let stats = store.queues().await.must();
    assert_eq!(stats[0].counts.get(State::Dead), 1);
}

#[tokio::test]
async fn a_start_reads_hints_and_does_without_those_that_are_missing_or_damaged() {
    let disk = SimDisk::new();
    let store = open(&disk).must();
    for number in 0..80 {
        put(&store, number, 500).await;
    }
    store.close().await.must();
    let hints = files(&disk, ".hint");
    assert!(hints.len() >= 2, "{hints:?}");
    let mut damaged = disk.read(&hints[0]).must();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    disk.write(&hints[0], damaged);
    disk.remove(&hints[1]).must();
    let store = open(&disk).must();
    for number in 0..80 {
        let view = see(&store, number).await.must();
        assert_eq!(view.task.payload, task(number, 500).payload);
    }
}

/// The log is a ring: old segments are used again, and what lives in them moves forward.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_stay_move_forward_while_the_segments_behind_them_are_used_again() {
    let disk = SimDisk::new();
    let clock = ManualClock::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let store = EmbeddedStore::open_on(&shared, options(&clock)).must();
    let mut patience = task(1_000_000, 300);
    patience.queue = QueueName::new("patient").must();
    patience.labels = [("tenant", "acme")].into_iter().collect();
    store.enqueue(vec![patience.clone()]).await.must();
    for round in 0..200_u64 {
        for number in 0..5 {
            put(&store, round * 5 + number, 400).await;
        }
        for lease in take(&store, 5).await {
            complete(&store, &lease).await;
        }
        // Ids are remembered for two minutes only, and completed tasks for an hour.
        clock.advance(Duration::from_mins(2));
        while store.sweep(1_000).await.must().next.is_zero() {}
    }
    let segments = files(&disk, ".segment");
    assert!(segments.len() < 20, "{} segments for a few live tasks", segments.len());
    assert!(!segments.contains(&"0000000001.segment".to_owned()), "{segments:?}");
    store.close().await.must();
    drop(store);
    let store = EmbeddedStore::open_on(&shared, options(&clock)).must();
    let view = see(&store, 1_000_000).await.must();
    assert_eq!(*view.task, patience.task, "I9");
    let want = Want::new(WorkerId::new("w").must(), QueueName::new("patient").must(), 1);
    let leases = store.lease(vec![want], Duration::ZERO).await.must().remove(0);
    assert_eq!(leases[0].task.payload, patience.payload, "I9");
    let known = put(&store, 999, 400).await;
    assert!(matches!(known, Enqueued::Existing { .. }), "I4: {known:?}");
}

/// I10, I13: a full disk refuses new tasks and nothing else, and recovers by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_new_tasks_while_others_are_settled_until_there_is_room() {
    let disk = SimDisk::new();
    let clock = ManualClock::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let store = EmbeddedStore::open_on(&shared, options(&clock)).must();
    disk.set_bytes_max(Some(disk.reserved() + 2 * SEGMENT as u64));
    let mut accepted = 0;
    let refusal = loop {
        match put(&store, accepted, 1_000).await {
            Enqueued::Inserted { .. } => accepted += 1,
            Enqueued::Refused(refusal) => break refusal,
            other @ Enqueued::Existing { .. } => panic!("{other:?}"),
        }
        assert!(accepted < 1_000, "the disk is never full");
    };
    assert_eq!(refusal.code, Code::StorageFull, "{refusal}");
    assert!(see(&store, accepted).await.is_none(), "I10");
    assert!(matches!(put(&store, 0, 1_000).await, Enqueued::Existing { .. }), "I4");
    let leases = take(&store, 3).await;
    assert_eq!(leases.len(), 3);
    for lease in &leases {
        let settled = complete(&store, lease).await;
        assert!(matches!(settled, Settled::Applied { .. }), "{settled:?}");
    }
    store.cancel(vec![id(4)]).await.must();
    store.delete(vec![id(4)]).await.must();
    disk.set_bytes_max(None);
    clock.advance(Duration::from_secs(2));
    store.sweep(10).await.must();
    let again = put(&store, accepted, 1_000).await;
    assert!(matches!(again, Enqueued::Inserted { .. }), "{again:?}");
}

#[tokio::test]
async fn a_check_finds_a_sound_directory_sound_and_a_damaged_one_damaged() {
    let directory = TempDir::new().must();
    let clock = ManualClock::new();
    let store = EmbeddedStore::open(directory.path(), options(&clock)).must();
    for number in 0..60 {
        put(&store, number, 500).await;
    }
    store.close().await.must();
    let report = verify(directory.path()).must();
    assert!(report.is_sound() && report.closed && !report.unfinished_tail, "{report}");
    assert_eq!(report.records["accepted"], 60);
    assert!(report.segments.len() > 1, "{report}");
    assert_eq!(repair(directory.path()).must(), Repaired::default(), "there is nothing to repair");
    let disk = RealDisk::at(directory.path());
    let file = disk.open("0000000001.segment").must();
    file.write_at(&[0xff; 1], 900).must();
    let found = verify(directory.path()).must();
    assert!(!found.is_sound(), "{found}");
    assert!(found.damage[0].what.contains("checksum"), "{found}");
    assert_eq!(found.damage[0].tasks.len(), 1, "{found}");
}

//! Stores made of backups: what they have, what they refuse, and what a crash leaves of a restore.

use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::prelude::Must;
use haulier_core::{
    Clock, Epoch, Include, Inspect, LeaseKey, Outcome, Queue, SeededEntropy, Settled, Settlement,
    State,
};
use haulier_embedded::disk::{Disk, Fate, SimDisk};
use haulier_embedded::{
    Archive, BackupError, EmbeddedStore, OpenError, Raise, restore, restore_on, verify,
};

use super::{Place, all_there, complete, id, options, put, save, see, take};

/// I2, I3 across a restore (F31): the old server has gone on after the backup and started again; no
/// epoch of it is ever handed out again, and its keys from then are stale.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn epochs_of_a_restored_store_are_above_all_that_were_ever_handed_out() {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..6).await;
    let before = take(&store, 2).await;
    let file = save(store.backup().await.must(), &place.path("backup"));
    // After the backup: more leases, settlements, and starts of the old server.
    let mut after = take(&store, 2).await;
    complete(&store, &after[0]).await;
    store.close().await.must();
    for _ in 0..5 {
        let store = place.open("data");
        place.clock.advance(Duration::from_mins(10));
        haulier_core::Maintain::sweep(&store, 100).await.must();
        after.extend(take(&store, 10).await);
        store.close().await.must();
    }
    let newest = before.iter().chain(&after).map(|lease| lease.key.epoch).max().must();

    let restored = restore(&file, &place.path("restored"), Raise::By(&place.clock)).must();
    assert!(u64::from(restored.generation) > newest.0 >> 32, "I2");
    let report = verify(&place.path("restored")).must();
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.generation, restored.generation);
    let store = place.open("restored");
    for lease in &after {
        let settled = complete(&store, lease).await;
        let held_before = before.iter().any(|held| held.key == lease.key);
        assert!(held_before || settled == Settled::Stale, "I3: {settled:?}");
    }
    all_there(&store, 0..6).await;
    let view = see(&store, 2).await.must();
    assert_eq!(view.state(), State::Available, "what was done after the backup is done again");
    for lease in take(&store, 10).await {
        assert!(lease.key.epoch > newest, "I2: {:?} after {newest:?}", lease.key);
    }
}

/// The same backup, restored once more after the first restored store has worked.
#[tokio::test]
async fn a_second_restore_of_the_same_backup_goes_on_above_the_first() {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..3).await;
    let file = save(store.backup().await.must(), &place.path("backup"));
    let mut newest = Epoch::default();
    for name in ["first", "second", "third"] {
        place.clock.advance(Duration::from_secs(20));
        restore(&file, &place.path(name), Raise::By(&place.clock)).must();
        let store = place.open(name);
        for lease in take(&store, 3).await {
            assert!(lease.key.epoch > newest || lease.key.task != id(0), "I2: {name}");
            newest = newest.max(lease.key.epoch);
        }
    }
}

#[tokio::test]
async fn restores_of_one_backup_wait_for_each_other_and_differ() {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..1).await;
    let file = save(store.backup().await.must(), &place.path("backup"));
    let first = restore(&file, &place.path("first"), Raise::By(&place.clock)).must();
    let left = first.turn_left(place.clock.wall());
    assert!(!left.is_zero() && left <= Duration::from_secs(1), "{left:?}");
    let second = {
        let (file, path, clock) = (file.clone(), place.path("second"), place.clock.clone());
        std::thread::spawn(move || restore(&file, &path, Raise::By(&clock)).must().generation)
    };
    place.clock.advance(left);
    assert!(first.turn_left(place.clock.wall()).is_zero());
    let generation = first.generation;
    drop(first);
    assert_eq!(second.join().must(), generation + 1, "I2");
}

#[tokio::test]
async fn a_generation_that_is_given_is_taken_unless_it_may_have_been_used() {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..1).await;
    let file = save(store.backup().await.must(), &place.path("backup"));
    let by_calendar = restore(&file, &place.path("first"), Raise::By(&place.clock)).must();
    let least = by_calendar.generation;
    // By the calendar nobody else would get it now; who brings a generation need not wait.
    let given = restore(&file, &place.path("second"), Raise::To(least + 7, &place.clock)).must();
    assert_eq!(given.generation, least + 7);
    assert!(given.turn_left(place.clock.wall()).is_zero());
    let refused = restore(&file, &place.path("third"), Raise::To(least - 1, &place.clock));
    let low =
        matches!(refused, Err(BackupError::GenerationLow { least: told, .. }) if told == least);
    assert!(low, "I2: {refused:?}");
    assert!(!place.path("third").exists(), "nothing was written");
}

#[tokio::test]
async fn a_lease_from_before_the_backup_is_still_current_in_the_restored_store() {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..2).await;
    let lease = take(&store, 1).await.remove(0);
    // A lease does not wait for its sync; what is synced after it has it on the disk.
    put(&store, 2..3).await;
    let file = save(store.backup().await.must(), &place.path("backup"));
    let restored = restore(&file, &place.path("restored"), Raise::By(&place.clock)).must();
    assert_eq!(restored.report.tasks.get(State::Running), 1, "repeats are counted");
    assert_eq!(restored.report.tasks.get(State::Available), 2);
    let store = place.open("restored");
    assert!(matches!(complete(&store, &lease).await, Settled::Applied { .. }));
    let unknown = LeaseKey { task: id(77), epoch: Epoch(1) };
    let settlement = Settlement { key: unknown, outcome: Outcome::Release };
    assert_eq!(store.settle(vec![settlement]).await.must(), [Settled::Stale], "I3");
}

#[tokio::test]
async fn a_directory_that_holds_anything_is_left_alone() {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..2).await;
    let file = save(store.backup().await.must(), &place.path("backup"));
    let in_use = restore(&file, &place.path("data"), Raise::By(&place.clock));
    assert!(matches!(in_use, Err(BackupError::Open(OpenError::Locked { .. }))), "{in_use:?}");
    store.close().await.must();
    let taken = restore(&file, &place.path("data"), Raise::By(&place.clock));
    assert!(matches!(taken, Err(BackupError::Taken(_))), "{taken:?}");
    all_there(&place.open("data"), 0..2).await;
    std::fs::create_dir(place.path("mine")).must();
    std::fs::write(place.path("mine").join("letter"), "dear").must();
    let taken = restore(&file, &place.path("mine"), Raise::By(&place.clock));
    assert!(matches!(taken, Err(BackupError::Taken(_))), "{taken:?}");
    assert_eq!(std::fs::read_to_string(place.path("mine").join("letter")).must(), "dear");
}

#[tokio::test]
async fn an_interrupted_restore_opens_as_no_store_and_the_same_command_begins_again() {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..80).await;
    let file = save(store.backup().await.must(), &place.path("backup"));
    let half = place.path("half");
    std::fs::create_dir(&half).must();
    std::fs::write(half.join("restoring"), "").must();
    std::fs::write(half.join("0000000001.segment"), "half of it").must();
    let refused = EmbeddedStore::open(&half, options(&place.clock)).unwrap_err();
    assert!(matches!(refused, OpenError::Unfinished { .. }), "{refused}");
    assert!(refused.to_string().contains("haulier restore"), "{refused}");
    assert!(matches!(verify(&half), Err(OpenError::Unfinished { .. })));
    restore(&file, &half, Raise::By(&place.clock)).must();
    all_there(&open_at(&half, &place), 0..80).await;
    // What no restore has made is never removed.
    let foreign = place.path("foreign");
    std::fs::create_dir(&foreign).must();
    std::fs::write(foreign.join("restoring"), "").must();
    std::fs::write(foreign.join("letter"), "dear").must();
    let taken = restore(&file, &foreign, Raise::By(&place.clock));
    assert!(matches!(taken, Err(BackupError::Taken(_))), "{taken:?}");
}

fn open_at(path: &std::path::Path, place: &Place) -> EmbeddedStore {
    super::open(path, &place.clock)
}

/// A crash at every call that a restore makes to the disk, whatever survives of what was not
/// synced: the directory is empty, or says that the restore is not finished, or holds everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_anywhere_in_a_restore_leaves_no_store_with_less_than_everything() {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..60).await;
    let file = save(store.backup().await.must(), &place.path("backup"));
    let archive = Archive::open(&file).must();
    let whole = SimDisk::new();
    restore_on(&archive, &whole, 1_000).must();
    let calls = whole.calls();
    let (mut empty, mut unfinished, mut complete) = (0, 0, 0);
    for call in 1..=calls {
        for (seed, fate) in
            [(0, Fate::All), (0, Fate::Nothing), (1, Fate::Some), (2, Fate::Torn), (3, Fate::Torn)]
        {
            let disk = SimDisk::new();
            disk.stop_at(call);
            assert!(restore_on(&archive, &disk, 1_000).is_err(), "call {call} stops it");
            let left = disk.after_crash(fate, &SeededEntropy::from_u64(call * 10 + seed));
            let what = format!("call {call} of {calls}, {fate:?}, seed {seed}");
            if left.list().must().is_empty() {
                empty += 1;
                continue;
            }
            let shared: Arc<dyn Disk> = Arc::new(left.clone());
            match EmbeddedStore::open_on(&shared, options(&place.clock)) {
                Ok(store) => {
                    let ids: Vec<_> = (0..60).map(id).collect();
                    let views = store.get(ids, Include::default(), Duration::ZERO).await.must();
                    assert!(views.iter().all(Option::is_some), "I1: {what}");
                    complete += 1;
                }
                Err(OpenError::Unfinished { .. }) => {
                    unfinished += 1;
                    restore_on(&archive, &left, 1_000).must();
                    drop(EmbeddedStore::open_on(&shared, options(&place.clock)).must());
                }
                Err(other) => panic!("{what}: {other}"),
            }
        }
    }
    assert!(empty > 0 && unfinished > 0 && complete > 0, "{empty} {unfinished} {complete}");
}

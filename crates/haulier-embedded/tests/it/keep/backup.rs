//! Taking backups: of a store that works, of a directory, and what becomes of a broken one.

use std::time::Duration;

use haulier_conformance::prelude::Must;
use haulier_core::Maintain;
use haulier_embedded::{
    Archive, BackupError, OpenError, Raise, backup_directory, restore, verify_backup,
};

use super::{Place, all_there, complete, put, save, see, take};

/// I1: whatever was acknowledged before a backup began is in it, whatever happens while it is
/// taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_store_that_works_has_all_that_was_acknowledged_before_it_began() {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..200).await;
    let mut backup = store.backup().await.must();
    let mut pieces = Vec::new();
    let mut number = 200;
    while let Some(piece) = backup.read().must() {
        pieces.extend(piece);
        put(&store, number..number + 20).await;
        for lease in take(&store, 30).await {
            complete(&store, &lease).await;
        }
        number += 20;
    }
    let file = place.path("backup");
    std::fs::write(&file, pieces).must();
    let (manifest, report) = verify_backup(&file).must();
    assert!(report.is_sound(), "{report}");
    assert_eq!(manifest.segments.len(), report.segments.len());
    restore(&file, &place.path("restored"), Raise::By(&place.clock)).must();
    let restored = place.open("restored");
    all_there(&restored, 0..200).await;
    assert!(see(&restored, 200).await.is_none(), "what came later is not in it");
}

/// A segment that the cleaner gives back while it is being read is still read as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_keeps_what_it_has_still_to_read_from_being_used_again() {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..100).await;
    let backup = store.backup().await.must();
    let before = backup.manifest().segments.clone();
    assert!(before.len() > 2, "{before:?}");
    // All of it is done, forgotten, and its segments are used again many times over.
    for round in 1..40 {
        for lease in take(&store, 100).await {
            complete(&store, &lease).await;
        }
        place.clock.advance(Duration::from_hours(2));
        while store.sweep(1_000).await.must().next.is_zero() {}
        put(&store, round * 100..round * 100 + 100).await;
    }
    let oldest = place.path("data").join("0000000001.segment");
    assert!(!oldest.exists(), "the cleaner has given it back");
    let file = save(backup, &place.path("backup"));
    let report = verify_backup(&file).must().1;
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.tasks.total(), 100);
    drop(store);
    restore(&file, &place.path("restored"), Raise::By(&place.clock)).must();
    all_there(&place.open("restored"), 0..100).await;
}

#[tokio::test]
async fn a_directory_is_backed_up_while_nobody_has_it_open_and_is_not_changed_by_it() {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..50).await;
    let refused = backup_directory(&place.path("data"));
    assert!(matches!(refused, Err(BackupError::Open(OpenError::Locked { .. }))), "{refused:?}");
    store.close().await.must();
    let names = || {
        let entries = std::fs::read_dir(place.path("data")).must();
        let mut names: Vec<_> = entries
            .map(Must::must)
            .map(|entry| (entry.path(), entry.metadata().must().modified().must()))
            .collect();
        names.sort();
        names
    };
    let before = names();
    let backup = backup_directory(&place.path("data")).must();
    let refused = haulier_embedded::verify(&place.path("data"));
    assert!(matches!(refused, Err(OpenError::Locked { .. })), "nobody opens it meanwhile");
    let file = save(backup, &place.path("backup"));
    assert_eq!(names(), before);
    restore(&file, &place.path("restored"), Raise::By(&place.clock)).must();
    all_there(&place.open("restored"), 0..50).await;
}

/// I1: what an interrupted restore wrote reads as a sound log that misses tasks.
#[tokio::test]
async fn a_directory_with_an_unfinished_restore_has_no_backup() {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..50).await;
    store.close().await.must();
    let mark = place.path("data").join("restoring");
    std::fs::write(&mark, "").must();
    let refused = backup_directory(&place.path("data"));
    let unfinished = matches!(refused, Err(BackupError::Open(OpenError::Unfinished { .. })));
    assert!(unfinished, "I1: {refused:?}");
    std::fs::remove_file(&mark).must();
    backup_directory(&place.path("data")).must();
}

#[tokio::test]
async fn an_empty_store_has_a_backup_and_an_empty_directory_has_none() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty")).must();
    assert!(matches!(backup_directory(&place.path("empty")), Err(BackupError::Io { .. })));
    let store = place.open("data");
    let file = save(store.backup().await.must(), &place.path("backup"));
    restore(&file, &place.path("restored"), Raise::By(&place.clock)).must();
    put(&place.open("restored"), 0..3).await;
}

/// I16: for every byte, a backup with that byte flipped is refused; so is one that was cut there.
#[tokio::test]
async fn a_backup_with_a_flipped_byte_or_without_its_end_is_refused() {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..3).await;
    let file = save(store.backup().await.must(), &place.path("backup"));
    let sound = std::fs::read(&file).must();
    let broken = place.path("broken");
    let opens = |bytes: &[u8]| {
        std::fs::write(&broken, bytes).must();
        Archive::open(&broken).and_then(|archive| archive.check())
    };
    opens(&sound).must();
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(opens(&bytes).is_err(), "I16: byte {at} is not missed");
        if at % 16 == 0 {
            assert!(opens(&sound[..at]).is_err(), "I16: cut at {at}");
        }
    }
    let refused = opens(&sound[..sound.len() - 1]).unwrap_err();
    assert!(refused.to_string().contains("cut short"), "{refused}");
    let longer = [&sound[..], b"more"].concat();
    assert!(opens(&longer).is_err(), "I16");
}

/// Pieces whose own checksums hold may still stand in each other's place.
#[tokio::test]
async fn pieces_that_changed_places_are_noticed() {
    let place = Place::new();
    let mut options = super::options(&place.clock);
    options.segment_bytes = 1024 * 1024;
    let store = haulier_embedded::EmbeddedStore::open(&place.path("data"), options).must();
    for round in 0..20 {
        put(&store, round * 50..round * 50 + 50).await;
    }
    let file = save(store.backup().await.must(), &place.path("backup"));
    let mut bytes = std::fs::read(&file).must();
    let head = Archive::open(&file).must().manifest().encode().len();
    let piece = 4 + 256 * 1024;
    assert!(bytes.len() > head + 2 * piece, "{} bytes", bytes.len());
    let (first, rest) = bytes[head..].split_at_mut(piece);
    first.swap_with_slice(&mut rest[..piece]);
    std::fs::write(&file, bytes).must();
    let refused = Archive::open(&file).must().check();
    assert!(matches!(refused, Err(BackupError::Damaged { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_file_that_is_something_else_and_a_backup_of_a_newer_version_are_told_apart() {
    let place = Place::new();
    let file = place.path("file");
    std::fs::write(&file, "{\"this is\": \"no backup\"}").must();
    assert!(matches!(Archive::open(&file), Err(BackupError::Foreign(_))));
    assert!(matches!(Archive::open(&place.path("")), Err(BackupError::Foreign(_))));
    assert!(matches!(Archive::open(&place.path("nowhere")), Err(BackupError::Io { .. })));
    let store = place.open("data");
    save(store.backup().await.must(), &file);
    let mut bytes = std::fs::read(&file).must();
    bytes[8] = 9;
    std::fs::write(&file, bytes).must();
    let refused = Archive::open(&file).unwrap_err();
    assert!(matches!(refused, BackupError::Newer { found: 9, known: 1, .. }), "{refused}");
}

/// A backup of a log that was damaged already is whole and says so.
#[tokio::test]
async fn a_backup_of_a_damaged_log_is_not_restored() {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..100).await;
    let first = place.path("data").join("0000000001.segment");
    let mut bytes = std::fs::read(&first).must();
    bytes[900] ^= 1;
    std::fs::write(&first, bytes).must();
    let file = save(store.backup().await.must(), &place.path("backup"));
    Archive::open(&file).must().check().must();
    let report = verify_backup(&file).must().1;
    assert!(!report.is_sound(), "{report}");
    let refused = restore(&file, &place.path("restored"), Raise::By(&place.clock));
    assert!(matches!(refused, Err(BackupError::Unsound { .. })), "{refused:?}");
    assert!(!place.path("restored").exists(), "nothing was made");
}

//! Files that rot, get lost, or change places: a start says so, or serves what was stored.

use std::collections::BTreeSet;
use std::time::Duration;

use haulier_conformance::prelude::Must;
use haulier_core::{Include, Inspect, ManualClock, TaskId};
use haulier_embedded::OpenError;
use haulier_embedded::disk::{Disk, SimDisk};

use crate::crashes::{Repeat, is_full};
use crate::ledger::{Ledger, Said};
use crate::machine::Machine;
use crate::work::work;

struct Sound {
    files: Vec<(String, Vec<u8>)>,
    ledger: Ledger,
}

/// A directory that was closed in good order, with several segments and their hints.
fn sound() -> Sound {
    let (disk, clock) = (SimDisk::new(), ManualClock::new());
    let mut ledger = Ledger::default();
    let mut machine = Machine::start(&disk, &clock, 9).must();
    work(&mut machine, &disk, &mut ledger).must();
    let names = disk.list().must();
    let files = names.iter().map(|name| (name.clone(), disk.read(name).must())).collect();
    Sound { files, ledger }
}

/// Whether a start said that something is wrong. One that does not serves the right data: what
/// cannot be read is an error.
fn is_reported(files: &[(String, Vec<u8>)], ledger: &Ledger) -> bool {
    let disk = SimDisk::new();
    for (name, bytes) in files {
        disk.write(name, bytes.clone());
    }
    match Machine::start(&disk, &ManualClock::new(), 9) {
        Err(OpenError::Damaged { .. } | OpenError::NewerFormat { .. } | OpenError::Io { .. }) => {
            true
        }
        Err(other) => panic!("I16: {other}"),
        Ok(mut machine) => {
            let mut reported = false;
            for (id, entry) in &ledger.tasks {
                let asked = vec![*id];
                let view = machine.call(|store| async move {
                    store.get(asked, Include::ALL, Duration::ZERO).await
                });
                reported |= view.is_err();
                if let Ok(mut view) = view {
                    serves(*id, entry, view.remove(0).as_ref());
                }
            }
            reported
        }
    }
}

fn serves(id: TaskId, entry: &crate::ledger::Entry, view: Option<&haulier_core::TaskView>) {
    let there = entry.said == Said::Accepted && entry.deleted.is_none();
    assert_eq!(view.is_some(), there, "I16: task {id}, damage is hidden");
    if let Some(view) = view {
        assert_eq!(view.task.payload, entry.task.task.payload, "I9: task {id}");
        if let Some(over) = entry.over {
            assert_eq!(view.state(), over, "I16: task {id}, damage is hidden");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_reported_or_changes_nothing() {
    let Sound { files, ledger } = sound();
    assert!(!is_reported(&files, &ledger), "nothing is damaged yet");
    let (mut flips, mut reported) = (0_u64, 0_u64);
    for (at, (name, bytes)) in files.iter().enumerate().filter(|(_, (_, file))| !file.is_empty()) {
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        // Every byte of the head, and many of the rest.
        let step = if is_full() { 7 } else { 397 };
        for place in (0..used.min(64)).step_by(5).chain((64..used).step_by(step)) {
            let _repeat = Repeat(format!("bit {} of byte {place} of {name} flipped", place % 8));
            let mut damaged = files.clone();
            damaged[at].1[place] ^= 1 << (place % 8);
            flips += 1;
            reported += u64::from(is_reported(&damaged, &ledger));
        }
    }
    println!("totals: {flips} bits flipped, {reported} of them reported");
    assert!(reported > 0);
}

/// The last segment is another matter: what stood behind the last witness cannot be told from what
/// a crash cuts off.
#[test]
fn segments_that_are_lost_cut_or_exchanged_are_reported() {
    let Sound { files, ledger } = sound();
    let segments: Vec<usize> =
        (0..files.len()).filter(|at| files[*at].0.ends_with(".segment")).collect();
    assert!(segments.len() > 3, "{} segments", segments.len());
    for pair in segments[..segments.len() - 1].windows(2) {
        let (this, next) = (pair[0], pair[1]);
        let _repeat = Repeat(format!("{} damaged", files[this].0));
        let mut lost = files.clone();
        lost.remove(this);
        assert!(is_reported(&lost, &ledger), "I16: a lost segment is hidden");
        let mut exchanged = files.clone();
        exchanged[this].1.clone_from(&files[next].1);
        exchanged[next].1.clone_from(&files[this].1);
        assert!(is_reported(&exchanged, &ledger), "I16: exchanged segments are hidden");
        let mut doubled = files.clone();
        doubled[next].1.clone_from(&files[this].1);
        assert!(is_reported(&doubled, &ledger), "I16: a segment twice is hidden");
        let mut cut = files.clone();
        cut[this].1.truncate(2_000);
        // Nothing that is still needed may have stood there.
        is_reported(&cut, &ledger);
    }
}

/// Which tasks a store serves that was started on these files, all of them as they were handed
/// over; `None`: the start said that something is wrong. What is started once more serves the same.
fn served(files: &[(String, Vec<u8>)], ledger: &Ledger) -> Option<BTreeSet<TaskId>> {
    let disk = SimDisk::new();
    for (name, bytes) in files {
        disk.write(name, bytes.clone());
    }
    let [first, second] = [0; 2].map(|_| serve(&disk, ledger));
    assert_eq!(first, second, "I12: two starts serve different things");
    first
}

fn serve(disk: &SimDisk, ledger: &Ledger) -> Option<BTreeSet<TaskId>> {
    let mut machine = match Machine::start(disk, &ManualClock::new(), 9) {
        Ok(machine) => machine,
        Err(OpenError::Damaged { .. } | OpenError::Io { .. }) => return None,
        Err(other) => panic!("I16: {other}"),
    };
    let ids: Vec<TaskId> = ledger.tasks.keys().copied().collect();
    let asked = ids.clone();
    let views = machine
        .call(|store| async move { store.get(asked, Include::ALL, Duration::ZERO).await })
        .unwrap_or_else(|error| panic!("I16: what is there cannot be read: {error}"));
    let there = ids.into_iter().zip(views).filter_map(|(id, view)| Some((id, view?)));
    let served = there.map(|(id, view)| {
        let entry = &ledger.tasks[&id];
        assert_ne!(entry.said, Said::Refused, "I10: task {id}");
        assert_eq!(view.task.payload, entry.task.task.payload, "I9: task {id}");
        id
    });
    Some(served.collect())
}

/// Acknowledged or not, what stood behind the last witness cannot be told from what a crash cuts
/// off. But what is left is served as it was, and the longer it is, the more.
#[test]
fn a_log_that_loses_its_end_is_a_shorter_one_or_reported_and_never_a_wrong_one() {
    let Sound { files, ledger } = sound();
    let last = files.iter().rposition(|(name, _)| name.ends_with(".segment")).must();
    let used = files[last].1.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let whole = served(&files, &ledger).must();
    let mut lost = files.clone();
    lost.remove(last);
    let mut before = served(&lost, &ledger).unwrap_or_default();
    let (mut cuts, mut reported) = (0, 0);
    for cut in (0..used).step_by(if is_full() { 8 } else { 97 }).chain([used]) {
        let _repeat = Repeat(format!("{} cut at {cut}", files[last].0));
        // As a copy that broke off, and as blocks that were never written.
        let (mut shorter, mut empty) = (files.clone(), files.clone());
        shorter[last].1.truncate(cut);
        empty[last].1[cut..].fill(0);
        for damaged in [shorter, empty] {
            cuts += 1;
            let Some(now) = served(&damaged, &ledger) else {
                reported += 1;
                continue;
            };
            for gone in before.difference(&now) {
                assert!(ledger.tasks[gone].deleting, "I16: task {gone} went with a longer log");
            }
            before = now;
        }
    }
    assert_eq!(before, whole, "uncut, all of it is there");
    println!("totals: {cuts} cuts of the last segment, {reported} of them reported");
}

//! Checks and repairs: what is told of damage, and what is mended.

use haulier_conformance::prelude::Must;
use haulier_core::State;
use haulier_embedded::{HintState, OpenError, Repaired, repair, verify};

use super::{Place, all_there, complete, id, put, take};

/// A place with a log of several segments that was closed in good order; each but the last has a
/// hint.
async fn place_with_log() -> Place {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..100).await;
    let leases = take(&store, 5).await;
    complete(&store, &leases[0]).await;
    store.close().await.must();
    repair(&place.path("data")).must();
    place
}

fn change(place: &Place, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = place.path("data").join(name);
    let mut bytes = std::fs::read(&path).must();
    change(&mut bytes);
    std::fs::write(&path, bytes).must();
}

/// Where the payload of a task stands.
fn payload_at(bytes: &[u8], number: u64) -> usize {
    let payload = super::payload(number).bytes;
    bytes.windows(payload.len()).position(|window| window == payload).must()
}

#[tokio::test]
async fn a_check_tells_every_segment_and_counts_the_tasks_by_state() {
    let place = place_with_log().await;
    let report = verify(&place.path("data")).must();
    assert!(report.is_sound() && report.closed && !report.refused, "{report}");
    assert_eq!(report.tasks.get(State::Available), 95);
    assert_eq!(report.tasks.get(State::Running), 4);
    assert_eq!(report.tasks.get(State::Completed), 1);
    assert!(report.parts() >= 100, "{report}");
    let (last, sealed) = report.segments.split_last().must();
    assert!(
        !sealed.is_empty() && sealed.iter().all(|one| one.hint == HintState::Sound),
        "{report}"
    );
    assert_eq!(last.hint, HintState::None);
    assert!(sealed.iter().all(|one| one.frames > 0 && one.records >= one.frames), "{report}");
    assert!(report.to_string().ends_with("sound"), "{report}");
}

#[tokio::test]
async fn a_directory_that_is_open_is_not_checked() {
    let place = Place::new();
    let store = place.open("data");
    assert!(matches!(verify(&place.path("data")), Err(OpenError::Locked { .. })));
    assert!(matches!(repair(&place.path("data")), Err(OpenError::Locked { .. })));
    drop(store);
    verify(&place.path("data")).must();
}

/// I16: a start reads the hint and does not notice; a check does, and names the task.
#[tokio::test]
async fn a_payload_that_rots_in_a_sealed_segment_is_told_with_its_task_and_its_bytes() {
    let place = place_with_log().await;
    let mut at = 0;
    change(&place, "0000000001.segment", |bytes| {
        let rots = payload_at(bytes, 3) + 100;
        bytes[rots] ^= 1;
        at = rots as u64;
    });
    let report = verify(&place.path("data")).must();
    assert!(!report.refused, "a start would serve all the rest: {report}");
    assert_eq!(report.damage.len(), 1, "{report}");
    let damage = &report.damage[0];
    assert_eq!(damage.tasks, [id(3)], "{report}");
    assert!(damage.from <= at && at < damage.to, "{report}");
    assert!(damage.file.ends_with("0000000001.segment"), "{report}");
    assert!(report.to_string().contains(&id(3).to_string()), "{report}");
}

/// The same in a segment that has no hint: a start refuses the log, and a check still knows whom it
/// hit.
#[tokio::test]
async fn damage_that_keeps_a_store_from_opening_is_told_with_its_tasks() {
    let place = place_with_log().await;
    std::fs::remove_file(place.path("data").join("0000000001.hint")).must();
    change(&place, "0000000001.segment", |bytes| {
        let at = payload_at(bytes, 3);
        bytes[at + 100] ^= 1;
    });
    let report = verify(&place.path("data")).must();
    assert!(report.refused && !report.is_sound(), "{report}");
    assert_eq!(report.damage[0].tasks, [id(3)], "{report}");
    let text = report.to_string();
    assert!(text.contains("a server does not start on it") && text.ends_with("DAMAGED"), "{text}");
    let refused = repair(&place.path("data"));
    assert!(matches!(refused, Err(OpenError::Damaged { .. })), "damage is never repaired");
}

#[tokio::test]
async fn hints_that_are_missing_or_damaged_are_told_and_can_be_written_anew() {
    let place = place_with_log().await;
    let hint = |number: u32| place.path("data").join(format!("{number:010}.hint"));
    let sound = [1, 2].map(|number| std::fs::read(hint(number)).must());
    std::fs::remove_file(hint(1)).must();
    change(&place, "0000000002.hint", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let report = verify(&place.path("data")).must();
    assert!(report.is_sound(), "a hint is only a shortcut: {report}");
    assert_eq!(report.segments[0].hint, HintState::Missing);
    assert_eq!(report.segments[1].hint, HintState::Damaged);
    assert_eq!(repair(&place.path("data")).must(), Repaired { cut: false, hints: 2 });
    let report = verify(&place.path("data")).must();
    assert!(report.segments[..2].iter().all(|one| one.hint == HintState::Sound), "{report}");
    for (number, was) in (1..).zip(sound) {
        assert_eq!(std::fs::read(hint(number)).must(), was);
    }
    all_there(&place.open("data"), 0..100).await;
}

#[tokio::test]
async fn unfinished_writes_of_a_crash_are_told_and_cut_on_demand() {
    let place = Place::new();
    let store = place.open("data");
    put(&store, 0..3).await;
    // The process is gone without a good-bye, in the middle of a write.
    let copy = place.path("copy");
    std::fs::create_dir(&copy).must();
    let from = place.path("data").join("0000000001.segment");
    let mut bytes = std::fs::read(from).must();
    drop(store);
    let end = bytes.iter().rposition(|byte| *byte != 0).must();
    bytes[end - 100] ^= 1;
    std::fs::write(copy.join("0000000001.segment"), bytes).must();
    let report = verify(&copy).must();
    assert!(report.is_sound() && !report.closed, "{report}");
    let repaired = repair(&copy).must();
    assert_eq!(repaired.cut, report.unfinished_tail);
    let report = verify(&copy).must();
    assert!(!report.unfinished_tail, "{report}");
}

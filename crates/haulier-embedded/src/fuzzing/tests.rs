//! Where fuzzers begin: one record of every kind, and small directories made of them. `UPDATE=1`
//! writes them to `fuzz/corpus`; without it they are compared, so that a kind of record that is new
//! cannot be forgotten. Whatever fuzzers began with and have found is fed again here.

use std::path::PathBuf;
use std::time::Duration;

use haulier_core::{
    Ended, Epoch, NewTask, Payload, Priority, QueueSettings, Standing, State, Unique,
};

use super::*;
use crate::codec::{Put, narrow};
use crate::log::frame::Part;
use crate::log::hint::HintHead;
use crate::place::Position;
use crate::record::{Accepted, Change, Happened, Rules};
use crate::snapshot::{Delivered, End, Snapshot};

const NOW: Timestamp = Timestamp(1_767_225_600_000);

fn id(number: u8) -> TaskId {
    TaskId::from_bytes([1, 0x9b, 0x7a, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, number])
}

fn definition(number: u8) -> Vec<u8> {
    let payload = Payload::new(vec![b'x'; usize::from(number)], "text/plain");
    let mut task = NewTask::new(id(number), Kind::new("email.send").unwrap(), payload).task;
    task.headers = [("trace", "1")].into_iter().collect();
    task.labels = [("tenant", "acme")].into_iter().collect();
    task.policy.max_attempts = 3;
    task.expires_in = Some(Duration::from_secs(9));
    let mut out = Vec::new();
    parts::put_definition(&mut out, &task);
    out
}

fn failure() -> Vec<u8> {
    let mut out = Vec::new();
    parts::put_failure(&mut out, &haulier_core::Failure::new(haulier_core::Cause::Panic, "oh"));
    out
}

fn result() -> Vec<u8> {
    let mut out = Vec::new();
    parts::put_payload(&mut out, &Payload::json(Bytes::from_static(b"{}")));
    out
}

fn accepted(number: u8) -> (Record, Vec<Vec<u8>>) {
    let unique = (number == 1).then(|| Unique::new("order-17"));
    let rules = Rules { max_attempts: 3, ..Rules::default() };
    let expires_at = (number == 2).then(|| NOW.after(Duration::from_secs(9)));
    let due_at = if number == 2 { NOW.after(Duration::from_secs(1)) } else { NOW };
    let accepted = Accepted { id: id(number), due_at, rules, expires_at, unique };
    (Record::Accepted(accepted), vec![definition(number)])
}

fn changed(
    number: u8,
    happened: Happened,
    state: State,
    part: Option<Vec<u8>>,
) -> (Record, Vec<Vec<u8>>) {
    let standing = Standing {
        state,
        reason: None,
        started: true,
        cancel_requested: false,
        attempt: 1,
        losses: 0,
    };
    let epoch = Epoch(1 << 32 | 1);
    let change = Change { id: id(number), happened, epoch, standing, due_at: NOW };
    (Record::Changed(change), part.into_iter().collect())
}

fn snapshot() -> (Record, Vec<Vec<u8>>) {
    let end =
        End { how: Ended::Fail, at: NOW, late: true, overruled: false, state: State::Retryable };
    let delivery = Delivered {
        epoch: Epoch(1 << 32 | 1),
        attempt: 1,
        worker: "w-1".to_owned(),
        leased_at: NOW,
        end: Some(end),
        has_failure: true,
    };
    let standing = Standing {
        state: State::Completed,
        reason: None,
        started: true,
        cancel_requested: false,
        attempt: 2,
        losses: 1,
    };
    let snapshot = Snapshot {
        id: id(5),
        enqueued_at: NOW,
        due_at: NOW,
        order: 7,
        standing,
        epoch: Epoch(1 << 32 | 2),
        rules: Rules::default(),
        expires_at: None,
        unique: Some(Unique::new("order-18")),
        finished_at: Some(NOW),
        ttl: None,
        has_result: true,
        checkpoints: vec!["step-1".to_owned()],
        deliveries: vec![delivery],
    };
    let parts = vec![definition(5), result(), b"{}".to_vec(), failure()];
    (Record::Snapshot(Box::new(snapshot)), parts)
}

/// One record of every kind at least, in an order that makes sense.
fn records() -> Vec<(Record, Vec<Vec<u8>>)> {
    let bare = |record| (record, Vec::new());
    let (queue, kind, priority) = ("mail".to_owned(), "email.send".to_owned(), Priority::default());
    let ttl = Duration::from_secs(30);
    let ended = |how| Happened::Ended { how, late: false, overruled: false };
    vec![
        bare(Record::Time { now: NOW, order: 1 }),
        bare(Record::Opened),
        bare(Record::Settings { queue: queue.clone(), settings: QueueSettings::default() }),
        bare(Record::Line { queue, kind, priority }),
        accepted(1),
        accepted(2),
        accepted(3),
        accepted(4),
        bare(Record::Holder { worker: "w-1".to_owned(), ttl }),
        changed(1, Happened::Leased, State::Running, None),
        changed(3, Happened::Leased, State::Running, None),
        bare(Record::Extended { id: id(1), ttl: ttl * 2 }),
        (Record::Checkpoint { id: id(1), name: "step-1".to_owned() }, vec![b"{}".to_vec()]),
        changed(1, ended(Ended::Complete), State::Completed, Some(result())),
        changed(3, ended(Ended::Fail), State::Retryable, Some(failure())),
        changed(2, Happened::Due, State::Available, None),
        changed(2, Happened::Cancelled, State::Cancelled, None),
        bare(Record::Removed(id(4))),
        bare(Record::Remembered(vec![(id(9), NOW), (id(10), NOW)])),
        snapshot(),
        bare(Record::Freed { through: 0 }),
        bare(Record::Closed),
    ]
}

/// Records as they stand in a frame.
fn framed(records: &[(Record, Vec<Vec<u8>>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (record, parts) in records {
        let mut meta = Vec::new();
        record.encode(NOW, &mut meta);
        let parts: Vec<_> = parts.iter().map(|part| Part::new(part)).collect();
        frame::put_record(&mut out, record.kind(), &meta, &parts);
    }
    out
}

fn header(segment: u32, first_sequence: u64, previous_end: u32) -> SegmentHeader {
    SegmentHeader { segment, generation: 1, first_sequence, previous_end, oldest: 1 }
}

fn made(header: &SegmentHeader, frames: &[Vec<u8>], durable: u32) -> Vec<u8> {
    let durable_upto = Position::new(header.segment, durable);
    let sequences = header.first_sequence..;
    let frames: Vec<_> = frames
        .iter()
        .zip(sequences)
        .map(|(bytes, sequence)| {
            let len = narrow(bytes.len());
            (FrameHeader { len, generation: 1, sequence, durable_upto }, bytes.as_slice())
        })
        .collect();
    let mut out = Vec::new();
    put_made_segment(&mut out, header, &frames);
    out
}

/// Two segments, the first with its hint.
fn two_segments() -> Vec<u8> {
    let all = records();
    let (first, second) = all.split_at(10);
    let first = framed(first);
    let stride = (frame::FRAME_HEADER + narrow(first.len())).next_multiple_of(8);
    let end = frame::SEGMENT_HEADER + stride;
    let mut hinted = Vec::new();
    for raw in frame::records(&first, frame::SEGMENT_HEADER + frame::FRAME_HEADER) {
        frame::put_hint(&mut hinted, &raw.unwrap());
    }
    let context = framed(&[
        (Record::Time { now: NOW, order: 9 }, vec![]),
        (
            Record::Line {
                queue: "mail".to_owned(),
                kind: "email.send".to_owned(),
                priority: Priority::default(),
            },
            vec![],
        ),
    ]);
    let second = [context, framed(second)].concat();
    let mut hint = Vec::new();
    for number in [1, 2, 1] {
        hint.put_varint(number);
    }
    hint.put_varint(u64::from(end));
    hint.put_varint(Position::new(1, frame::SEGMENT_HEADER).to_u64());
    hint.put_raw(&hinted);
    let mut out = Vec::new();
    put_file(&mut out, Sort::MadeSegment, 1, &made(&header(1, 1, 0), &[first], 64));
    put_file(&mut out, Sort::MadeHint, 1, &hint);
    put_file(&mut out, Sort::MadeSegment, 2, &made(&header(2, 2, end), &[second], 64));
    put_file(&mut out, Sort::Spare, 3, &[]);
    out
}

fn one_segment() -> Vec<u8> {
    let whole = [framed(&records())];
    let mut out = Vec::new();
    put_file(&mut out, Sort::MadeSegment, 1, &made(&header(1, 1, 0), &whole, 64));
    out
}

fn torn_tail() -> Vec<u8> {
    let mut bytes = header(1, 1, 0).encode();
    let mut frame = vec![0; 32];
    frame.extend(framed(&records()));
    FrameHeader::seal(1, 1, Position::new(1, 64), &mut frame);
    FrameHeader::sign(&mut frame);
    bytes.extend(&frame);
    bytes.extend(&frame[..frame.len() / 2]);
    let mut out = Vec::new();
    put_file(&mut out, Sort::Segment, 1, &bytes);
    out
}

fn hint_seed() -> Vec<u8> {
    let records = framed(&records());
    let mut body = Vec::new();
    for raw in frame::records(&records, 96) {
        frame::put_hint(&mut body, &raw.unwrap());
    }
    let durable_upto = Position::new(1, 64);
    let head = HintHead {
        segment: 1,
        first_sequence: 1,
        next_sequence: 2,
        generation: 1,
        end: 96 + narrow(records.len()),
        durable_upto,
    };
    hint::encode(&head, &body)
}

/// Every seed: target, name, bytes.
fn all() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (number, record) in records().iter().enumerate() {
        let name = format!("{number:02}-{}", record.0.name());
        let mut meta = vec![record.0.kind()];
        record.0.encode(NOW, &mut meta);
        seeds.push(("record", format!("{name}-meta"), meta));
        seeds.push(("record", name, framed(std::slice::from_ref(record))));
    }
    let mut frame = vec![0; 32];
    frame.extend(framed(&records()));
    FrameHeader::seal(1, 1, Position::new(1, 64), &mut frame);
    FrameHeader::sign(&mut frame);
    seeds.push(("record", "frame".to_owned(), frame));
    seeds.push(("record", "segment".to_owned(), header(1, 1, 0).encode()));
    for (name, part) in
        [("definition", definition(7)), ("failure", failure()), ("result", result())]
    {
        seeds.push(("record", name.to_owned(), part));
    }
    seeds.push(("hint", "every-kind".to_owned(), hint_seed()));
    seeds.push(("hint", "records".to_owned(), hint_seed()[52..].to_vec()));
    seeds.push(("recovery", "two-segments".to_owned(), two_segments()));
    seeds.push(("recovery", "one-segment".to_owned(), one_segment()));
    seeds.push(("recovery", "torn-tail".to_owned(), torn_tail()));
    seeds
}

#[test]
fn fuzzers_begin_with_every_kind_of_record() {
    let corpus = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus"));
    for (target, name, bytes) in all() {
        let path = corpus.join(target).join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        let written = std::fs::read(&path).unwrap_or_default();
        let cure = "UPDATE=1 cargo test -p haulier-embedded fuzzers_begin";
        assert!(written == bytes, "{} is another one; to write it: {cure}", path.display());
    }
    let kinds: std::collections::BTreeSet<u8> =
        records().iter().map(|(record, _)| record.kind()).collect();
    let known = (1..=u8::MAX).filter(|kind| {
        let read = Record::decode(*kind, &[], NOW);
        !matches!(read, Err(malformed) if malformed.0.contains("unknown"))
    });
    assert_eq!(kinds, known.collect(), "every kind has a seed");
}

#[test]
fn the_directories_that_fuzzers_begin_with_are_sound() {
    for (name, bytes) in [("two", two_segments()), ("one", one_segment()), ("torn", torn_tail())] {
        let disk = SimDisk::new();
        directory::spell(&disk, &bytes).unwrap();
        let report = crate::verify::verify_on(&disk).unwrap();
        assert!(report.is_sound(), "{name}: {report}");
        assert!(report.records.len() > 10, "{name}: {report}");
    }
}

/// What is checked in for a target: seeds, and whatever a fuzzer has found.
fn checked_in(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz"));
    let mut found = Vec::new();
    for sort in ["corpus", "regressions"] {
        let Ok(entries) = std::fs::read_dir(root.join(sort).join(target)) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            found.push((path.clone(), std::fs::read(path).unwrap()));
        }
    }
    found
}

fn feed(target: &str, read: fn(&[u8])) {
    let all = checked_in(target);
    assert!(!all.is_empty(), "fuzz/corpus/{target} holds nothing");
    for (path, bytes) in all {
        let broke = std::panic::catch_unwind(|| read(&bytes)).is_err();
        assert!(!broke, "{} breaks its reader", path.display());
    }
}

#[test]
fn no_bytes_that_a_fuzzer_kept_break_the_reading_of_records() {
    feed("record", record);
}

#[test]
fn no_bytes_that_a_fuzzer_kept_break_the_reading_of_hints() {
    feed("hint", hint);
}

#[test]
fn no_directory_that_a_fuzzer_kept_breaks_a_start() {
    feed("recovery", directory);
}

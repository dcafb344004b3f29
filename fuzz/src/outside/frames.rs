//! Messages of the gRPC interface: the first byte says which, and those of a stream follow each
//! other behind their lengths. What a server sends is read, too: a client trusts none.

use std::hint::black_box;

use bytes::{Buf, Bytes};
use haulier_core::WorkerId;
use haulier_wire::pb;
use haulier_wire::pb::worker_frame::Frame;
use haulier_wire::{beat, capabilities, control, enqueue, inspect, lease, settle, status, task};
use prost::Message;

use super::stores::{Command, carry_out};

/// Reads messages, and lets stores carry out what can be read.
pub fn protobuf(bytes: &[u8]) {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut commands = Vec::new();
    for _ in 0..16 {
        if rest.remaining() < 3 {
            break;
        }
        let (which, len) = (rest.get_u8(), usize::from(rest.get_u16_le()));
        let message = rest.split_to(len.min(rest.len()));
        if which >= 0x80 {
            answer(which, message);
        } else {
            commands.extend(request(which, message));
        }
    }
    if !commands.is_empty() {
        carry_out(&commands);
    }
}

fn read<M: Message + Default>(bytes: Bytes) -> Option<M> {
    M::decode(bytes).ok()
}

fn request(which: u8, bytes: Bytes) -> Option<Command> {
    Some(match which {
        0 => {
            let tasks = enqueue::decode_tasks(read(bytes)?).ok()?;
            let again = pb::EnqueueRequest { tasks: enqueue::encode_tasks(&tasks) };
            assert_eq!(enqueue::decode_tasks(again).ok().as_ref(), Some(&tasks), "they read back");
            Command::Enqueue(tasks)
        }
        1 => {
            let wants = lease::decode_wants(read::<pb::LeaseRequest>(bytes)?.wants).ok()?;
            let again = wants.iter().map(lease::encode_want).collect();
            assert_eq!(lease::decode_wants(again).ok().as_ref(), Some(&wants), "they read back");
            Command::Lease(wants)
        }
        2 => Command::Beat(beat::decode_beats(read::<pb::BeatRequest>(bytes)?.beats).ok()?),
        3 => Command::Settle(decided(read::<pb::SettleRequest>(bytes)?.settlements)?),
        4 => Command::Change(task::decode_ids(read::<pb::CancelRequest>(bytes)?.ids).ok()?),
        5 => {
            let (queue, patch) = control::decode_configure(read(bytes)?).ok()?;
            Command::Configure(queue, patch)
        }
        6 => {
            let request: pb::GetRequest = read(bytes)?;
            let include = inspect::decode_include(request.include);
            Command::Get(task::decode_ids(request.ids).ok()?, include)
        }
        7 => {
            let (filter, page) = inspect::decode_list(read(bytes)?).ok()?;
            Command::List(filter, page)
        }
        8 => {
            let request: pb::DirectRequest = read(bytes)?;
            let workers = request.workers.iter().map(|name| lease::decode_worker(name));
            let directive = beat::decode_directive(request.directive).ok()?;
            Command::Direct(workers.collect::<Result<_, _>>().ok()?, directive)
        }
        _ => of_stream(read(bytes)?)?,
    })
}

fn decided(ends: Vec<pb::Settlement>) -> Option<Vec<haulier_core::Settlement>> {
    let ends = settle::decode_settlements(ends).ok()?;
    let decided = ends.into_iter().filter_map(|end| match end {
        settle::Ending::Decided(end) => Some(end),
        settle::Ending::Undecided { .. } => None,
    });
    Some(decided.collect())
}

/// A frame of a worker's stream.
fn of_stream(frame: pb::WorkerFrame) -> Option<Command> {
    let worker = WorkerId::new("fuzzer").ok()?;
    Some(match frame.frame? {
        Frame::Hello(hello) => {
            black_box(beat::decode_about(hello.about)).ok();
            black_box(lease::decode_keys(hello.held)).ok();
            return None;
        }
        Frame::Credit(credit) => {
            Command::Lease(vec![lease::decode_own_want(credit.want, &worker).ok()?])
        }
        Frame::Settle(batch) => Command::Settle(decided(batch.settlements)?),
        Frame::Beat(frame) => Command::Beat(vec![beat::decode_own_beat(frame.beat, &worker).ok()?]),
        Frame::Bye(bye) => {
            black_box(lease::decode_keys(bye.release)).ok();
            return None;
        }
    })
}

/// What a server says.
fn answer(which: u8, bytes: Bytes) -> Option<()> {
    match which & 0x7f {
        0 => drop(black_box(enqueue::decode_answers(read(bytes)?))),
        1 => {
            let mut names = task::Names::default();
            for share in read::<pb::LeaseResponse>(bytes)?.answers {
                black_box(lease::decode_leases(share.leases, &mut names)).ok();
            }
        }
        2 => drop(black_box(beat::decode_reply(Some(read(bytes)?)))),
        3 => {
            let answers = read::<pb::SettleResponse>(bytes)?.answers;
            black_box(settle::decode_answers(answers)).ok();
        }
        4 => drop(black_box(control::decode_changed(read(bytes)?))),
        5 => drop(black_box(control::decode_configured(read(bytes)?))),
        6 => drop(black_box(inspect::decode_found(read(bytes)?))),
        7 => drop(black_box(inspect::decode_page(read(bytes)?))),
        8 => drop(black_box(inspect::decode_queues(read(bytes)?))),
        9 => drop(black_box(inspect::decode_workers(read(bytes)?))),
        10 => drop(black_box(capabilities::decode(read(bytes)?))),
        11 => drop(black_box(status::check_problem(Some(read(bytes)?)))),
        _ => drop(black_box(pb::ServerFrame::decode(bytes))),
    }
    Some(())
}

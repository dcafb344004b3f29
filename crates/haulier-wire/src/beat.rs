//! Signs of life and their answers.

use std::sync::Arc;

use haulier_core::{
    Beat, BeatReply, Directive, Held, LeaseBeat, Progress, Result, WorkerAbout, WorkerId,
};

use crate::enums;
use crate::lease::{decode_checkpoints, decode_kinds, decode_queues, encode_checkpoints, key, own};
use crate::pb;
use crate::task::{encode_id, ms, span};
use crate::wrong::{Wrong, all, at, required};

pub(crate) fn encode_progress(progress: &Progress) -> pb::Progress {
    pb::Progress { fraction: progress.fraction, note: progress.note.as_ref().to_owned() }
}

pub(crate) fn decode_progress(progress: pb::Progress) -> Progress {
    Progress { fraction: progress.fraction, note: progress.note.into() }
}

/// What a worker tells of itself.
pub fn encode_about(about: &WorkerAbout) -> pb::WorkerAbout {
    pb::WorkerAbout {
        version: about.version.clone(),
        queues: about.queues.iter().map(|queue| queue.as_str().to_owned()).collect(),
        kinds: about.kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
        slots: about.slots,
    }
}

pub(crate) fn about(about: pb::WorkerAbout) -> Result<WorkerAbout, Wrong> {
    Ok(WorkerAbout {
        queues: decode_queues(&about.queues)?,
        kinds: decode_kinds(&about.kinds)?,
        version: about.version,
        slots: about.slots,
    })
}

/// Reads what a worker tells of itself.
///
/// # Errors
/// The first name that is none.
pub fn decode_about(told: Option<pb::WorkerAbout>) -> Result<Option<Arc<WorkerAbout>>> {
    let told = told.map(about).transpose().map_err(|wrong| wrong.within("about"))?;
    Ok(told.map(Arc::new))
}

/// One lease of a beat.
pub fn encode_lease_beat(lease: &LeaseBeat) -> pb::LeaseBeat {
    pb::LeaseBeat {
        task: encode_id(lease.key.task),
        epoch: lease.key.epoch.0,
        progress: lease.progress.as_ref().map(encode_progress),
        checkpoints: encode_checkpoints(&lease.checkpoints),
    }
}

/// A sign of life.
pub fn encode_beat(beat: &Beat) -> pb::Beat {
    pb::Beat {
        worker: beat.worker.as_str().to_owned(),
        about: beat.about.as_deref().map(encode_about),
        ttl_ms: ms(beat.ttl),
        leases: beat.leases.iter().map(encode_lease_beat).collect(),
    }
}

/// Reads the beats of a request.
///
/// # Errors
/// The first field that is wrong.
pub fn decode_beats(beats: Vec<pb::Beat>) -> Result<Vec<Beat>> {
    Ok(all(beats, "beats", |beat| {
        let worker = WorkerId::new(&beat.worker).map_err(at("worker"))?;
        decode(beat, worker)
    })?)
}

/// Reads a beat of `worker`'s stream, which need not name it again.
///
/// # Errors
/// A field that is wrong, or the name of another worker.
pub fn decode_own_beat(beat: Option<pb::Beat>, worker: &WorkerId) -> Result<Beat> {
    let mut beat = required(beat, "beat")?;
    own(&mut beat.worker, worker, "beat.worker")?;
    Ok(decode(beat, worker.clone()).map_err(|wrong| wrong.within("beat"))?)
}

fn decode(beat: pb::Beat, worker: WorkerId) -> Result<Beat, Wrong> {
    let told = beat.about.map(about).transpose().map_err(|wrong| wrong.within("about"))?;
    Ok(Beat {
        worker,
        about: told.map(Arc::new),
        ttl: span(beat.ttl_ms),
        leases: all(beat.leases, "leases", |lease| {
            Ok(LeaseBeat {
                key: key(&lease.task, lease.epoch)?,
                progress: lease.progress.map(decode_progress),
                checkpoints: decode_checkpoints(lease.checkpoints),
            })
        })?,
    })
}

/// A directive.
pub fn encode_directive(directive: Directive) -> i32 {
    enums::directive(directive)
}

/// Reads a directive.
///
/// # Errors
/// If it is unknown.
pub fn decode_directive(number: i32) -> Result<Directive> {
    Ok(enums::decode_directive(number, "directive")?)
}

/// Answers to leases.
pub fn encode_held(held: &[Held]) -> Vec<i32> {
    held.iter().copied().map(enums::held).collect()
}

/// Reads the answers to leases.
///
/// # Errors
/// The first that is unknown.
pub fn decode_held(held: Vec<i32>) -> Result<Vec<Held>> {
    Ok(all(held, "held", |number| enums::decode_held(number, "held"))?)
}

/// The answer to a beat.
pub fn encode_reply(reply: &BeatReply) -> pb::BeatReply {
    pb::BeatReply { directive: enums::directive(reply.directive), held: encode_held(&reply.held) }
}

/// Reads the answer to a beat.
///
/// # Errors
/// The first field that is wrong.
pub fn decode_reply(reply: Option<pb::BeatReply>) -> Result<BeatReply> {
    let reply = required(reply, "reply")?;
    Ok(BeatReply { directive: decode_directive(reply.directive)?, held: decode_held(reply.held)? })
}

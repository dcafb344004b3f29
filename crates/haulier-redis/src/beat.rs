//! Signs of life: beats as the script reads them, and what it brings back.

use haulier_core::limits::{CHECKPOINTS_BYTES_MAX, CHECKPOINTS_MAX};
use haulier_core::{Beat, BeatReply, Code, Directive, Error, Held, Result, WorkerAbout, lease};

use crate::about::{span, write_progress};
use crate::db::whole;
use crate::lease::write_epoch;
use crate::pack::{Pack, Value, misread};
use crate::script;
use crate::store::Inner;

/// Takes beats in; nothing is changed if one of them breaks a rule.
pub(crate) async fn beat(inner: &Inner, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
    for (at, beat) in beats.iter().enumerate() {
        lease::check_ttl(beat.ttl)
            .map_err(|refusal| Error::invalid(format!("beats[{at}].ttl"), refusal.message))?;
    }
    if beats.is_empty() {
        return Ok(Vec::new());
    }
    let mut args = Pack::new();
    args.array(3).int(limit(CHECKPOINTS_MAX)).int(limit(CHECKPOINTS_BYTES_MAX));
    args.list(&beats, write);
    let mut answer = inner.write(&script::BEAT, args).await?.list()?.into_iter();
    let mut next = || answer.next().ok_or_else(misread);
    if let Some(broken) = next()?.maybe() {
        let [count, bytes] = broken.tuple()?;
        let message = format!(
            "{} checkpoints with {} bytes; at most {CHECKPOINTS_MAX} with {CHECKPOINTS_BYTES_MAX} \
             bytes are allowed",
            count.int()?,
            bytes.int()?,
        );
        return Err(Error::new(Code::TooLarge, message));
    }
    next()?.list()?.into_iter().map(read).collect()
}

fn limit(number: usize) -> i64 {
    whole(number as u64)
}

fn write(args: &mut Pack, beat: &Beat) {
    args.array(4).bytes(beat.worker.as_str());
    args.maybe(beat.about.as_deref().map(write_about)).int(span(beat.ttl));
    args.list(&beat.leases, |args, lease| {
        args.array(5).bytes(lease.key.task.to_bytes());
        write_epoch(args, lease.key.epoch);
        args.maybe(lease.progress.as_ref().map(write_progress));
        args.list(&lease.checkpoints, |args, step| {
            args.array(2).bytes(&*step.name).bytes(&step.value);
        });
    });
}

fn read(answer: Value) -> Result<BeatReply> {
    let [number, held] = answer.tuple()?;
    let renewed = |held: Value| match held.int()? {
        0 => Ok(Held::Yes),
        1 => Ok(Held::Cancel),
        2 => Ok(Held::Stale),
        _ => Err(misread()),
    };
    let held = held.list()?.into_iter().map(renewed).collect::<Result<_>>()?;
    Ok(BeatReply { directive: directive(&number)?, held })
}

/// The directive of that number.
pub(crate) fn directive(number: &Value) -> Result<Directive> {
    match number.int()? {
        0 => Ok(Directive::Run),
        1 => Ok(Directive::Quiet),
        2 => Ok(Directive::Stop),
        _ => Err(misread()),
    }
}

fn write_about(about: &WorkerAbout) -> Vec<u8> {
    let mut pack = Pack::new();
    pack.array(4).bytes(&about.version).int(about.slots.into());
    pack.texts(&about.queues).texts(&about.kinds);
    pack.into_bytes()
}

/// Names of a sort.
fn names<T>(list: Value, name: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
    list.list()?.iter().map(|text| name(text.text()?).ok_or_else(misread)).collect()
}

/// What a worker told of itself, if it did.
pub(crate) fn read_about(value: Value) -> Result<Option<WorkerAbout>> {
    let Some(value) = value.maybe() else { return Ok(None) };
    let [version, slots, queues, kinds] = Value::read(value.bytes()?)?.tuple()?;
    Ok(Some(WorkerAbout {
        version: version.text()?.to_owned(),
        queues: names(queues, |name| haulier_core::QueueName::new(name).ok())?,
        kinds: names(kinds, |name| haulier_core::Kind::new(name).ok())?,
        slots: slots.count()?,
    }))
}

//! The options of an enqueue, and the task that they describe. Pure: what reads files and calls
//! servers stands in the command itself.

use std::time::Duration;

use haulier_core::{
    Backoff, Code, Kind, NewTask, OnConflict, Pairs, Payload, Policy, Priority, QueueName, Refusal,
    Start, TaskId, Timestamp, Unique, Until,
};

use crate::span;

/// What a task may be given on its way; the names are those of every interface.
#[derive(Debug, Clone, clap::Args)]
pub struct TaskOptions {
    /// The queue
    #[arg(short, long, default_value = "default")]
    pub queue: QueueName,
    /// What the payload is; anything but application/json is not checked
    #[arg(long, value_name = "TYPE", default_value = Payload::JSON)]
    pub content_type: String,
    /// From 0 to 9, higher first
    #[arg(short, long, value_parser = priority, value_name = "0-9", default_value = "4")]
    pub priority: Priority,
    /// Start this much later
    #[arg(long, value_name = "DURATION", value_parser = span, conflicts_with = "run_at")]
    pub delay: Option<Duration>,
    /// Start at this time, as in 2027-01-31T09:30:00Z
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub run_at: Option<Timestamp>,
    /// Give up after this many failed attempts
    #[arg(long, value_name = "N", default_value_t = Policy::default().max_attempts)]
    pub max_attempts: u32,
    /// Pause between attempts, as in base=1s,factor=2,max=1h,jitter=0.2
    #[arg(long, value_name = "BACKOFF", value_parser = backoff)]
    pub backoff: Option<Backoff>,
    /// The longest that one attempt may run
    #[arg(long, value_name = "DURATION", value_parser = span, default_value = "30m")]
    pub timeout: Duration,
    /// Give up if nobody started it within this time
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub expires_in: Option<Duration>,
    /// How long the finished task is kept; the queue's settings decide if it is left out
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub retain: Option<Duration>,
    /// Meet the task that has this key already instead of becoming a second one
    #[arg(long, value_name = "KEY")]
    pub unique: Option<String>,
    /// Hold the unique key at least this long
    #[arg(long, value_name = "DURATION", value_parser = span, requires = "unique")]
    pub unique_for: Option<Duration>,
    /// Hold the unique key until the task starts, or until it is final
    #[arg(long, value_name = "start|finish", value_parser = until, requires = "unique")]
    pub unique_until: Option<Until>,
    /// If the unique key is taken: return that task, reject this one, or replace that one
    #[arg(
        long,
        value_name = "return|reject|replace",
        value_parser = on_conflict,
        requires = "unique"
    )]
    pub on_conflict: Option<OnConflict>,
    /// A label, for people and filters; may be repeated
    #[arg(short, long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,
    /// A header, for the handler; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    pub headers: Vec<(String, String)>,
}

impl TaskOptions {
    /// The task of that id.
    pub fn task(&self, id: TaskId, kind: Kind, payload: Payload) -> NewTask {
        let mut task = NewTask::new(id, kind, payload);
        task.queue = self.queue.clone();
        task.priority = self.priority;
        task.policy = Policy {
            max_attempts: self.max_attempts,
            backoff: self.backoff.unwrap_or_default(),
            timeout: self.timeout,
            retain: self.retain,
        };
        task.expires_in = self.expires_in;
        task.labels = pairs(&self.labels);
        task.headers = pairs(&self.headers);
        task.start = match (self.delay, self.run_at) {
            (Some(delay), _) => Start::After(delay),
            (None, Some(at)) => Start::At(at),
            (None, None) => Start::Now,
        };
        task.unique = self.unique.as_deref().map(|key| Unique {
            key: key.into(),
            window: self.unique_for.unwrap_or_default(),
            until: self.unique_until.unwrap_or_default(),
            on_conflict: self.on_conflict.unwrap_or_default(),
        });
        task
    }
}

fn pairs(pairs: &[(String, String)]) -> Pairs {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(Code::Invalid, message))
}

fn priority(text: &str) -> Result<Priority, Refusal> {
    text.parse().map_or_else(|_| invalid("it goes from 0 to 9"), Priority::new)
}

fn pair(text: &str) -> Result<(String, String), Refusal> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => invalid("write NAME=VALUE, as in tenant=acme"),
    }
}

fn instant(text: &str) -> Result<Timestamp, Refusal> {
    let instant: Result<jiff::Timestamp, _> = text.parse();
    match instant.ok().and_then(|instant| u64::try_from(instant.as_millisecond()).ok()) {
        Some(millis) => Ok(Timestamp(millis)),
        None => invalid("write a time with its offset from UTC, as in 2027-01-31T09:30:00+01:00"),
    }
}

fn until(text: &str) -> Result<Until, Refusal> {
    match text {
        "start" => Ok(Until::Start),
        "finish" => Ok(Until::Finish),
        _ => invalid("it is start or finish"),
    }
}

fn on_conflict(text: &str) -> Result<OnConflict, Refusal> {
    match text {
        "return" => Ok(OnConflict::Return),
        "reject" => Ok(OnConflict::Reject),
        "replace" => Ok(OnConflict::Replace),
        _ => invalid("it is return, reject or replace"),
    }
}

/// `base=1s,factor=2,max=1h,jitter=0.2`: any of them, the rest as by default.
fn backoff(text: &str) -> Result<Backoff, Refusal> {
    let mut backoff = Backoff::default();
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("base", value)) => backoff.base = span(value)?,
            Some(("max", value)) => backoff.max = span(value)?,
            Some(("factor", value)) => backoff.factor_permille = permille(value)?,
            Some(("jitter", value)) => backoff.jitter_permille = permille(value)?,
            _ => return invalid("its parts are base=, factor=, max= and jitter=, with commas"),
        }
    }
    backoff.check().map(|()| backoff)
}

/// A number with up to three decimals, in thousandths.
fn permille(text: &str) -> Result<u32, Refusal> {
    let number: f64 = match text.parse() {
        Ok(number) if (0.0..=1_000.0).contains(&number) => number,
        _ => return invalid("a factor or jitter is a number, as in 2 or 0.2"),
    };
    // Within 0 to 1,000,000 by the check above.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    Ok((number * 1_000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_changes_what_it_names_and_leaves_the_rest() {
        let changed = backoff("factor=1.5,base=250ms").unwrap();
        let expected = Backoff {
            base: Duration::from_millis(250),
            factor_permille: 1_500,
            ..Backoff::default()
        };
        assert_eq!(changed, expected);
        for wrong in ["", "2s", "factor=0.5", "factor=x", "jitter=2", "base=soon", "pause=1s"] {
            assert!(backoff(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_needs_its_offset() {
        assert_eq!(instant("1970-01-01T00:00:01Z"), Ok(Timestamp(1_000)));
        assert_eq!(instant("1970-01-01T01:00:01+01:00"), Ok(Timestamp(1_000)));
        for wrong in ["", "tomorrow", "2027-01-31T09:30:00", "1969-12-31T00:00:00Z"] {
            assert!(instant(wrong).is_err(), "{wrong}");
        }
    }
}

//! A whole task in one record, as the cleaner moves it forward. Everything that earlier records
//! said of the task is in it, so that they may go.
//!
//! Its parts are, in this order: the definition, the result if there is one, the value of each
//! checkpoint, and the failure of each delivery that has one.

use std::time::Duration;

use haulier_core::{Ended, Epoch, Standing, State, TaskId, Timestamp, Unique};

use crate::codec::{Malformed, Put, Take};
use crate::record::{self, Rules};

/// A task as it stands; its line is in the context.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Its id.
    pub id: TaskId,
    /// When it was accepted.
    pub enqueued_at: Timestamp,
    /// When it became or becomes available.
    pub due_at: Timestamp,
    /// Its place in its line.
    pub order: u64,
    /// Where it stands.
    pub standing: Standing,
    /// Its newest epoch.
    pub epoch: Epoch,
    /// What decides of its policy.
    pub rules: Rules,
    /// When it is given up if it has not started.
    pub expires_at: Option<Timestamp>,
    /// Its unique key.
    pub unique: Option<Unique>,
    /// When it became final.
    pub finished_at: Option<Timestamp>,
    /// How long its lease lasts at a restart, if somebody holds it.
    pub ttl: Option<Duration>,
    /// Whether a result stands among the parts.
    pub has_result: bool,
    /// The names of its checkpoints.
    pub checkpoints: Vec<String>,
    /// Its deliveries, oldest first.
    pub deliveries: Vec<Delivered>,
}

/// A delivery as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivered {
    /// Its fence.
    pub epoch: Epoch,
    /// Which attempt it was.
    pub attempt: u32,
    /// Who got it.
    pub worker: String,
    /// When the lease was granted.
    pub leased_at: Timestamp,
    /// How it ended.
    pub end: Option<End>,
    /// Whether a failure stands among the parts.
    pub has_failure: bool,
}

/// The end of a delivery, with what is needed to answer its key again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// How it ended.
    pub how: Ended,
    /// When.
    pub at: Timestamp,
    /// The lease had run out before.
    pub late: bool,
    /// The task had been cancelled, and the outcome said otherwise.
    pub overruled: bool,
    /// Where the task stood then.
    pub state: State,
}

impl Snapshot {
    /// How many parts it has.
    pub fn part_count(&self) -> usize {
        1 + usize::from(self.has_result)
            + self.checkpoints.len()
            + self.deliveries.iter().filter(|delivery| delivery.has_failure).count()
    }

    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_id(self.id);
        out.put_varint(self.enqueued_at.0);
        out.put_varint(self.due_at.0);
        out.put_varint(self.order);
        record::put_standing(out, &self.standing);
        record::put_epoch(out, self.epoch);
        record::put_rules(out, &self.rules);
        out.put_option(self.expires_at.map(|at| at.0));
        out.put_u8(u8::from(self.unique.is_some()));
        if let Some(unique) = &self.unique {
            record::put_unique(out, unique);
        }
        out.put_option(self.finished_at.map(|at| at.0));
        out.put_option(self.ttl.map(haulier_core::clock::millis));
        out.put_u8(u8::from(self.has_result));
        out.put_varint(self.checkpoints.len() as u64);
        self.checkpoints.iter().for_each(|name| out.put_str(name));
        out.put_varint(self.deliveries.len() as u64);
        self.deliveries.iter().for_each(|delivery| delivery.encode(out));
    }

    /// Reads it back.
    ///
    /// # Errors
    /// If the bytes are not what [`Snapshot::encode`] writes.
    pub fn decode(take: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: take.id()?,
            enqueued_at: Timestamp(take.varint()?),
            due_at: Timestamp(take.varint()?),
            order: take.varint()?,
            standing: record::take_standing(take)?,
            epoch: record::take_epoch(take)?,
            rules: record::take_rules(take)?,
            expires_at: take.option()?.map(Timestamp),
            unique: match take.u8()? {
                0 => None,
                _ => Some(record::take_unique(take)?),
            },
            finished_at: take.option()?.map(Timestamp),
            ttl: take.option()?.map(Duration::from_millis),
            has_result: take.u8()? != 0,
            checkpoints: (0..take.count()?)
                .map(|_| take.str().map(str::to_owned))
                .collect::<Result<_, _>>()?,
            deliveries: (0..take.count()?)
                .map(|_| Delivered::decode(take))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Delivered {
    const ENDED: u8 = 1;
    const FAILURE: u8 = 2;
    const LATE: u8 = 4;
    const OVERRULED: u8 = 8;

    fn encode(&self, out: &mut Vec<u8>) {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        record::put_epoch(out, self.epoch);
        out.put_varint(u64::from(self.attempt));
        out.put_str(&self.worker);
        out.put_varint(self.leased_at.0);
        out.put_u8(
            flag(self.end.is_some(), Self::ENDED)
                | flag(self.has_failure, Self::FAILURE)
                | flag(self.end.is_some_and(|end| end.late), Self::LATE)
                | flag(self.end.is_some_and(|end| end.overruled), Self::OVERRULED),
        );
        if let Some(end) = self.end {
            out.put_u8(record::number_of(end.how));
            out.put_varint(end.at.0);
            out.put_u8(end.state as u8);
        }
    }

    fn decode(take: &mut Take<'_>) -> Result<Self, Malformed> {
        let epoch = record::take_epoch(take)?;
        let attempt = take.varint32()?;
        let worker = take.str()?.to_owned();
        let leased_at = Timestamp(take.varint()?);
        let flags = take.u8()?;
        let end = if flags & Self::ENDED == 0 {
            None
        } else {
            Some(End {
                how: record::ended_of(take.u8()?)?,
                at: Timestamp(take.varint()?),
                late: flags & Self::LATE != 0,
                overruled: flags & Self::OVERRULED != 0,
                state: *State::ALL
                    .get(usize::from(take.u8()?))
                    .ok_or(Malformed("a state's number is unknown"))?,
            })
        };
        let has_failure = flags & Self::FAILURE != 0;
        Ok(Self { epoch, attempt, worker, leased_at, end, has_failure })
    }
}

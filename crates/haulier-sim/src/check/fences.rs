//! Fences: epochs rise (I2), an old key changes nothing (I3), a repeated settlement is answered
//! alike (I8).

use haulier_core::limits::DELIVERIES_MAX;
use haulier_core::{Held, TaskId};

use super::Findings;
use super::story::{Life, NEVER};
use crate::history::Settlement;

pub fn check(task: TaskId, life: &Life, found: &mut Findings) {
    epochs(task, life, found);
    settlements(task, life, found);
    beats(task, life, found);
    repeats(task, life, found);
}

fn accepted(answer: Settlement) -> bool {
    matches!(answer, Settlement::Applied { .. } | Settlement::Cancelled)
}

fn epochs(task: TaskId, life: &Life, found: &mut Findings) {
    for pair in life.leases.windows(2) {
        if pair[0].granted.key.epoch == pair[1].granted.key.epoch {
            let epoch = pair[0].granted.key.epoch;
            found.add("I2", task, format!("epoch {epoch} was given out twice"));
        }
    }
    // From the newest backwards: was a higher epoch surely granted before a lower one?
    let mut earliest = NEVER;
    for lease in life.leases.iter().rev() {
        if earliest < lease.from {
            let epoch = lease.granted.key.epoch;
            found.add("I2", task, format!("epoch {epoch} was granted after a higher one"));
        }
        earliest = earliest.min(lease.to);
    }
}

/// When a delivery was surely superseded.
fn superseded(life: &Life, epoch: u64) -> u64 {
    let newer = life.leases.iter().filter(|lease| lease.granted.key.epoch > epoch);
    newer.map(|lease| lease.to).min().unwrap_or(NEVER)
}

fn settlements(task: TaskId, life: &Life, found: &mut Findings) {
    for ending in &life.endings {
        let epoch = ending.asked.epoch;
        // It may have been carried out at the first time of asking, and the answer repeated since.
        if ending.ok().copied().is_some_and(accepted)
            && superseded(life, epoch) < life.ending_from(epoch)
        {
            found.add("I3", task, format!("epoch {epoch} was settled after it was superseded"));
        }
    }
}

fn beats(task: TaskId, life: &Life, found: &mut Findings) {
    for beat in life.beats.iter().filter(|beat| beat.ok().is_some_and(|h| *h != Held::Stale)) {
        let (epoch, _) = beat.asked;
        let ended = life.endings.iter().any(|ending| {
            ending.asked.epoch == epoch
                && ending.ok().copied().is_some_and(accepted)
                && ending.to < beat.from
        });
        if ended || superseded(life, epoch) < beat.from {
            let how = if ended { "settled" } else { "superseded" };
            found.add("I3", task, format!("epoch {epoch} was renewed after it was {how}"));
        }
    }
}

fn repeats(task: TaskId, life: &Life, found: &mut Findings) {
    for first in life.endings.iter().filter(|ending| ending.ok().copied().is_some_and(accepted)) {
        let epoch = first.asked.epoch;
        let newer = life.leases.iter().filter(|lease| lease.granted.key.epoch > epoch).count();
        for again in &life.endings {
            let later = again.asked.epoch == epoch && again.from > first.to;
            let remembered = newer < DELIVERIES_MAX / 2 && !life.may_be_deleted(again.to);
            if later && remembered && again.ok().is_some_and(|answer| Some(answer) != first.ok()) {
                let says = format!("the settlement of epoch {epoch} was answered differently");
                found.add("I8", task, says);
            }
        }
    }
}

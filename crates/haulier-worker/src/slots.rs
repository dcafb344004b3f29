//! Who may run: slots of the worker and of each queue, taken by what runs and by calls that are
//! out. Pure arithmetic; the fetcher acts on it.

use haulier_core::WantedQueue;

use crate::shared::Settings;

/// Slots, counted in whole numbers.
#[derive(Debug)]
pub(crate) struct Slots {
    concurrency: u32,
    running: u32,
    reserved: u32,
    queues: Vec<QueueSlots>,
}

#[derive(Debug)]
struct QueueSlots {
    limit: u32,
    running: u32,
    /// A call is out that may bring tasks of this queue.
    asked: bool,
}

/// What one call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Places of the queues in the settings, each with the most that may come from it.
    pub queues: Vec<(usize, u32)>,
    /// The most that may come in all; reserved until the call is answered.
    pub max: u32,
    /// Every queue is asked for: the call may wait as long as it likes.
    pub complete: bool,
}

impl Slots {
    pub fn new(settings: &Settings) -> Self {
        let queues = settings.queues.iter().map(|(_, limit)| QueueSlots {
            limit: limit.unwrap_or(settings.concurrency),
            running: 0,
            asked: false,
        });
        Self {
            concurrency: settings.concurrency,
            running: 0,
            reserved: 0,
            queues: queues.collect(),
        }
    }

    /// The next call worth making: for queues with room that no call is out for, as far as slots
    /// are free that no call has reserved; at most `room`.
    pub fn ask(&mut self, room: u32) -> Option<Ask> {
        let free = self.concurrency.saturating_sub(self.running + self.reserved).min(room);
        if free == 0 {
            return None;
        }
        let mut queues = Vec::new();
        for (at, queue) in self.queues.iter_mut().enumerate() {
            let max = queue.limit.saturating_sub(queue.running).min(free);
            if max > 0 && !queue.asked {
                queue.asked = true;
                queues.push((at, max));
            }
        }
        if queues.is_empty() {
            return None;
        }
        let max = queues.iter().fold(0u32, |sum, (_, max)| sum.saturating_add(*max)).min(free);
        self.reserved += max;
        let complete = queues.len() == self.queues.len();
        Some(Ask { queues, max, complete })
    }

    /// A call was answered, or given up.
    pub fn answered(&mut self, ask: &Ask) {
        self.reserved -= ask.max;
        for (at, _) in &ask.queues {
            self.queues[*at].asked = false;
        }
    }

    /// Every call was given up.
    pub fn hang_up(&mut self) {
        self.reserved = 0;
        for queue in &mut self.queues {
            queue.asked = false;
        }
    }

    /// An attempt begins.
    pub fn take(&mut self, at: usize) {
        self.running += 1;
        self.queues[at].running += 1;
    }

    /// An attempt has ended.
    pub fn free(&mut self, at: usize) {
        self.running -= 1;
        self.queues[at].running -= 1;
    }
}

impl Ask {
    /// The queues as a want names them.
    pub fn wanted(&self, settings: &Settings) -> Vec<WantedQueue> {
        let name = |at: usize| settings.queues[at].0.clone();
        self.queues.iter().map(|(at, max)| WantedQueue { queue: name(*at), max: *max }).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use haulier_core::QueueName;

    use super::*;

    fn slots(concurrency: u32, limits: &[Option<u32>]) -> Slots {
        let queue = |(at, limit): (usize, &Option<u32>)| {
            (QueueName::new(format!("q{at}")).unwrap(), *limit)
        };
        Slots::new(&Settings {
            queues: limits.iter().enumerate().map(queue).collect(),
            concurrency,
            ttl: Duration::from_secs(30),
            drain_limit: Duration::from_secs(25),
        })
    }

    #[test]
    fn one_call_asks_for_every_free_slot_and_no_second_one_is_made_meanwhile() {
        let mut slots = slots(8, &[None, Some(2)]);
        let ask = slots.ask(100).unwrap();
        assert_eq!((&ask.queues[..], ask.max, ask.complete), (&[(0, 8), (1, 2)][..], 8, true));
        assert_eq!(slots.ask(100), None);
    }

    #[test]
    fn a_queue_at_its_limit_is_left_out_and_asked_for_once_it_has_room() {
        let mut slots = slots(8, &[None, Some(1)]);
        let first = slots.ask(100).unwrap();
        slots.take(1);
        slots.answered(&first);
        let second = slots.ask(100).unwrap();
        assert_eq!((&second.queues[..], second.max, second.complete), (&[(0, 7)][..], 7, false));
        slots.free(1);
        let third = slots.ask(100).unwrap();
        assert_eq!((&third.queues[..], third.max), (&[(1, 1)][..], 1), "beside the one that waits");
        assert_eq!(slots.ask(100), None, "every slot is taken or reserved");
    }

    #[test]
    fn nothing_is_asked_for_beyond_the_slots_or_the_room() {
        let mut slots = slots(2, &[None]);
        assert_eq!(slots.ask(0), None);
        let ask = slots.ask(1).unwrap();
        assert_eq!(ask.max, 1);
        slots.answered(&ask);
        slots.take(0);
        slots.take(0);
        assert_eq!(slots.ask(100), None);
        slots.free(0);
        assert_eq!(slots.ask(100).unwrap().max, 1);
    }
}

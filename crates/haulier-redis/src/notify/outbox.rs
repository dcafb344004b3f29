//! News on its way to other servers: merged until somebody sends it.
//!
//! A message is the sender's name and items, each behind a semicolon: `q QUEUE` (something may be
//! had there now), `w WORKER` (news for a worker), `f` (tasks became final), `a` (look at
//! everything). Names hold neither blanks nor semicolons.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use haulier_core::{QueueName, WorkerId};
use tokio::sync::Notify;

/// Items that wait to be sent; beyond it, everybody is told to look at everything.
const ITEMS_MAX: usize = 4_096;

/// One piece of news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Queue(QueueName),
    Worker(WorkerId),
    Finished,
    All,
}

impl Item {
    /// Reads an item. What a later version may say is not understood, and left alone.
    fn read(text: &str) -> Option<Self> {
        let (what, name) = text.split_once(' ').unwrap_or((text, ""));
        match what {
            "q" => QueueName::new(name).ok().map(Self::Queue),
            "w" => WorkerId::new(name).ok().map(Self::Worker),
            "f" => Some(Self::Finished),
            "a" => Some(Self::All),
            _ => None,
        }
    }
}

/// The items of a message, unless we sent it ourselves.
pub(super) fn read(message: &str, own: &str) -> Vec<Item> {
    let (sender, items) = message.split_once(';').unwrap_or((message, ""));
    if sender == own { Vec::new() } else { items.split(';').filter_map(Item::read).collect() }
}

#[derive(Debug, Default)]
struct Waiting {
    queues: BTreeSet<QueueName>,
    workers: BTreeSet<WorkerId>,
    finished: bool,
    all: bool,
}

impl Waiting {
    fn put(&mut self, item: Item) {
        if self.queues.len() + self.workers.len() >= ITEMS_MAX {
            self.all = true;
        }
        match item {
            _ if self.all => *self = Self { all: true, ..Self::default() },
            Item::Queue(queue) => drop(self.queues.insert(queue)),
            Item::Worker(worker) => drop(self.workers.insert(worker)),
            Item::Finished => self.finished = true,
            Item::All => self.all = true,
        }
    }

    fn write(&self, own: &str) -> Option<String> {
        let mut message = own.to_owned();
        let mut item = |text: &str, name: &str| {
            message.push(';');
            message.push_str(text);
            message.push_str(name);
        };
        if self.all {
            item("a", "");
        }
        if self.finished {
            item("f", "");
        }
        self.queues.iter().for_each(|queue| item("q ", queue.as_str()));
        self.workers.iter().for_each(|worker| item("w ", worker.as_str()));
        (message.len() > own.len()).then_some(message)
    }
}

/// What other servers are to be told.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

impl Outbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn put(&self, item: Item) {
        self.waiting().put(item);
        self.filled.notify_one();
    }

    /// Is ready when there is something to send.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Everything that waits, as one message.
    pub fn take(&self, own: &str) -> Option<String> {
        std::mem::take(&mut *self.waiting()).write(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    #[test]
    fn what_is_sent_is_read_by_others_and_not_by_oneself() {
        let outbox = Outbox::default();
        let worker = WorkerId::new("host-1-a").unwrap();
        for item in [Item::Queue(queue("mail")), Item::Queue(queue("mail")), Item::Finished] {
            outbox.put(item);
        }
        outbox.put(Item::Worker(worker.clone()));
        let message = outbox.take("me").unwrap();
        assert_eq!(message, "me;f;q mail;w host-1-a", "it is merged");
        assert!(read(&message, "me").is_empty());
        let items = [Item::Finished, Item::Queue(queue("mail")), Item::Worker(worker)];
        assert_eq!(read(&message, "you"), items);
        assert!(outbox.take("me").is_none(), "it is sent once");
    }

    #[test]
    fn too_much_news_becomes_a_word_to_look_at_everything() {
        let outbox = Outbox::default();
        for number in 0..=ITEMS_MAX {
            outbox.put(Item::Queue(queue(&format!("q{number}"))));
        }
        assert_eq!(read(&outbox.take("me").unwrap(), "you"), [Item::All]);
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        assert_eq!(
            read("you;x 1;q ;q mail;w .bad;;a", "me"),
            [Item::Queue(queue("mail")), Item::All]
        );
    }
}

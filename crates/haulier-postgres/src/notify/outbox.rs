//! News on its way to other servers: merged until somebody sends it.
//!
//! A payload is the sender's tag, which may be empty, and items, each behind a semicolon:
//! `q NO PLACE` (tasks of a queue came into line, the first at this place; the largest number there
//! is: its settings changed, or there is room), `f NO` (somebody waits for room in a queue),
//! `w WORKER` (news for a worker), `d` (something is due that stands out of line), `a` (look at
//! everything).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use haulier_core::WorkerId;
use haulier_core::probe::planted;
use tokio::sync::Notify;

/// Items that wait to be sent; beyond it, everybody is told to look at everything.
const ITEMS_MAX: usize = 4_096;
/// PostgreSQL takes payloads below 8,000 bytes.
const PAYLOAD_BYTES_MAX: usize = 7_000;

/// One piece of news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Queue(i32, i64),
    Full(i32),
    Worker(WorkerId),
    Due,
    All,
}

impl Item {
    fn write(&self) -> String {
        match self {
            Self::Queue(queue, place) => format!(";q {queue} {place}"),
            Self::Full(queue) => format!(";f {queue}"),
            Self::Worker(worker) => format!(";w {worker}"),
            Self::Due => ";d".to_owned(),
            Self::All => ";a".to_owned(),
        }
    }

    /// Reads an item. What a later version may say is not understood, and left alone.
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (what, first, second) = (words.next()?, words.next(), words.next());
        match what {
            "q" => Some(Self::Queue(first?.parse().ok()?, second?.parse().ok()?)),
            "f" => Some(Self::Full(first?.parse().ok()?)),
            "w" => WorkerId::new(first?).ok().map(Self::Worker),
            "d" => Some(Self::Due),
            "a" => Some(Self::All),
            _ => None,
        }
    }
}

/// The items of a payload, unless we sent it ourselves.
pub(super) fn read(payload: &str, own_tag: &str) -> Vec<Item> {
    let (tag, items) = payload.split_once(';').unwrap_or((payload, ""));
    if tag == own_tag { Vec::new() } else { items.split(';').filter_map(Item::read).collect() }
}

#[derive(Debug, Default)]
struct Waiting {
    queues: BTreeMap<i32, i64>,
    full: BTreeSet<i32>,
    workers: BTreeSet<WorkerId>,
    all: bool,
}

impl Waiting {
    fn put(&mut self, item: Item) {
        if self.queues.len() + self.full.len() + self.workers.len() >= ITEMS_MAX {
            self.all = true;
        }
        match item {
            _ if self.all => *self = Self { all: true, ..Self::default() },
            Item::Queue(queue, place) => {
                let smallest = self.queues.entry(queue).or_insert(place);
                *smallest = place.min(*smallest);
            }
            Item::Full(queue) => drop(self.full.insert(queue)),
            Item::Worker(worker) => drop(self.workers.insert(worker)),
            // Whoever knows that something is due looks itself; nobody has to be told.
            Item::Due => {}
            Item::All => self.all = true,
        }
    }

    fn items(self) -> Vec<Item> {
        let all = self.all.then_some(Item::All);
        let queues = self.queues.into_iter().map(|(queue, place)| Item::Queue(queue, place));
        let full = self.full.into_iter().map(Item::Full);
        let workers = self.workers.into_iter().map(Item::Worker);
        all.into_iter().chain(queues).chain(full).chain(workers).collect()
    }
}

/// What other servers are to be told.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Nobody will ever send it.
    off: bool,
    waiting: Mutex<Waiting>,
    filled: Notify,
}

impl Outbox {
    pub fn new(on: bool) -> Self {
        Self { off: !on, waiting: Mutex::default(), filled: Notify::new() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn put(&self, item: Item) {
        if !self.off && !planted("news-lost") {
            self.waiting().put(item);
            self.filled.notify_one();
        }
    }

    /// Is ready when there is something to send.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Everything that waits, as payloads.
    pub fn take(&self, tag: &str) -> Vec<String> {
        let items = std::mem::take(&mut *self.waiting()).items();
        let mut payloads: Vec<String> = Vec::new();
        for text in items.iter().map(Item::write) {
            match payloads.last_mut() {
                Some(last) if last.len() + text.len() <= PAYLOAD_BYTES_MAX => last.push_str(&text),
                _ => payloads.push(format!("{tag}{text}")),
            }
        }
        payloads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str) -> WorkerId {
        WorkerId::new(name).unwrap()
    }

    #[test]
    fn what_is_sent_is_read_by_others_and_not_by_oneself() {
        let outbox = Outbox::new(true);
        let items =
            [Item::Queue(3, 17), Item::Full(4), Item::Worker(worker("host-1-a")), Item::Due];
        for item in items {
            outbox.put(item);
        }
        let payloads = outbox.take("me");
        assert_eq!(payloads, ["me;q 3 17;f 4;w host-1-a"]);
        assert!(read(&payloads[0], "me").is_empty());
        let read = read(&payloads[0], "you");
        assert_eq!(read, [Item::Queue(3, 17), Item::Full(4), Item::Worker(worker("host-1-a"))]);
        assert!(outbox.take("me").is_empty(), "it is sent once");
    }

    #[test]
    fn news_of_a_queue_is_merged_to_its_smallest_place() {
        let outbox = Outbox::new(true);
        for place in [9, 5, 7] {
            outbox.put(Item::Queue(1, place));
        }
        assert_eq!(outbox.take(""), [";q 1 5"]);
    }

    #[test]
    fn too_much_news_becomes_a_word_to_look_at_everything() {
        let outbox = Outbox::new(true);
        let most = i32::try_from(ITEMS_MAX).unwrap();
        for queue in 0..most {
            outbox.put(Item::Queue(queue, 1));
        }
        let payloads = outbox.take("me");
        assert!(payloads.iter().all(|payload| payload.len() <= PAYLOAD_BYTES_MAX));
        let items: usize = payloads.iter().map(|payload| read(payload, "you").len()).sum();
        assert_eq!(items, ITEMS_MAX);
        for queue in 0..=most {
            outbox.put(Item::Queue(queue, 1));
        }
        assert_eq!(outbox.take("me"), ["me;a"]);
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        let read = read("x;q 1;q a 1;zz;w .bad;;q 1 2;d 7;a", "me");
        assert_eq!(read, [Item::Queue(1, 2), Item::Due, Item::All]);
    }
}

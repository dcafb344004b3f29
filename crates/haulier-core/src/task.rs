//! The unit of work: what an application hands over ([`NewTask`]) and what a store keeps of it.
//!
//! A task's definition never changes once it is accepted; state, attempts and leases are kept apart
//! ([`crate::transition::Standing`], [`crate::inspect::TaskView`]). Stores keep payloads as bytes
//! and never read them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::{Builder, Uuid};

use crate::clock::{Clock, Timestamp};
use crate::entropy::Entropy;
use crate::error::{Code, Refusal};
use crate::limits;
use crate::name::{Kind, QueueName};
use crate::retry::Backoff;
use crate::unique::Unique;

/// What names a task for ever. The client makes it (`UUIDv7`: ordered by time), so that an enqueue
/// whose answer was lost can be repeated without doing it twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(Uuid);

impl TaskId {
    /// A new id: 48 bits of time, the rest chance.
    pub fn generate(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&entropy.next_u64().to_le_bytes());
        random[8..].copy_from_slice(&entropy.next_u64().to_le_bytes()[..2]);
        Self(Builder::from_unix_timestamp_millis(clock.wall().0, &random).into_uuid())
    }

    /// The id with these 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The id as 16 bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// Reads an id as people write it: `0197…-….`
    ///
    /// # Errors
    /// [`Code::Invalid`] if the text is not a UUID.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        Uuid::parse_str(text).map(Self).map_err(|_| {
            let shown: String = text.chars().take(40).collect();
            Refusal::new(
                Code::Invalid,
                format!(
                    "{shown:?} is not a task id; ids look like 01997b9c-1f2e-7c3d-8a4b-5c6d7e8f9a0b"
                ),
            )
        })
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for TaskId {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::parse(text)
    }
}

/// Opaque bytes and what they are. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// The bytes as they were handed over.
    pub bytes: Bytes,
    /// A media type, as in `application/json`; says how to read the bytes, never checked.
    pub content_type: Arc<str>,
}

impl Payload {
    /// The content type of JSON.
    pub const JSON: &'static str = "application/json";
    /// The content type of plain bytes.
    pub const BINARY: &'static str = "application/octet-stream";

    /// Bytes of the given content type.
    pub fn new(bytes: impl Into<Bytes>, content_type: impl Into<Arc<str>>) -> Self {
        Self { bytes: bytes.into(), content_type: content_type.into() }
    }

    /// Text that is JSON; it is not parsed.
    pub fn json(text: impl Into<Bytes>) -> Self {
        Self::new(text, Self::JSON)
    }

    /// Whether the bytes say that they are JSON.
    pub fn is_json(&self) -> bool {
        &*self.content_type == Self::JSON
    }

    /// Checks size and content type against the limits.
    ///
    /// # Errors
    /// [`Code::TooLarge`] or [`Code::Invalid`].
    pub fn check(&self, what: &str, bytes_max: usize) -> Result<(), Refusal> {
        if self.bytes.len() > bytes_max {
            return Err(Refusal::new(
                Code::TooLarge,
                format!(
                    "{what} has {} bytes; at most {bytes_max} are allowed: store it elsewhere and \
                     send a reference, or raise `payload_bytes_max`",
                    self.bytes.len()
                ),
            ));
        }
        let printable = |byte: u8| (0x20..0x7f).contains(&byte);
        let length = self.content_type.len();
        if length == 0
            || length > limits::CONTENT_TYPE_BYTES_MAX
            || !self.content_type.bytes().all(printable)
        {
            return Err(Refusal::new(
                Code::Invalid,
                format!(
                    "content_type must be 1 to {} printable ASCII characters",
                    limits::CONTENT_TYPE_BYTES_MAX
                ),
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for Payload {
    /// Never the bytes: payloads do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes of {})", self.bytes.len(), self.content_type)
    }
}

/// Names with values, in the order they were given: a task's headers or labels. Names are distinct.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Pairs(Option<Arc<[Pair]>>);

type Pair = (Arc<str>, Arc<str>);

impl Pairs {
    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Every name with its value.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.as_deref().unwrap_or_default().iter().map(|(key, value)| (&**key, &**value))
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.0.as_deref().map_or(0, <[_]>::len)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes of all names and values.
    pub fn byte_len(&self) -> usize {
        self.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

impl<K: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(K, V)> for Pairs {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pairs: Arc<[_]> =
            pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self((!pairs.is_empty()).then_some(pairs))
    }
}

impl fmt::Debug for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// How urgent a task is: 0 to 9, higher first, 4 unless said otherwise (as in AMQP and JMS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// How many priorities there are.
    pub const COUNT: usize = 10;

    /// The priority of that number.
    ///
    /// # Errors
    /// [`Code::Invalid`] above 9.
    pub fn new(number: u8) -> Result<Self, Refusal> {
        if usize::from(number) < Self::COUNT {
            return Ok(Self(number));
        }
        Err(Refusal::new(Code::Invalid, format!("priority is {number}; it goes from 0 to 9")))
    }

    /// The number, 0 to 9.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(4)
    }
}

/// When a task may start at the earliest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// As soon as a worker is free.
    #[default]
    Now,
    /// This long after the store accepted it, by the store's clock.
    After(Duration),
    /// At a calendar time: the one instant that users may say.
    At(Timestamp),
}

/// How often, how long and how patiently a task is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Attempts after which a failing task is dead. At least 1.
    pub max_attempts: u32,
    /// Pause between attempts.
    pub backoff: Backoff,
    /// The longest that one attempt may run; apart from the lease's ttl, which beats renew.
    pub timeout: Duration,
    /// How long the finished task is kept; `None` leaves it to the queue's settings.
    pub retain: Option<Duration>,
}

impl Default for Policy {
    /// 20 attempts with exponential backoff, 30 minutes each.
    fn default() -> Self {
        Self {
            max_attempts: 20,
            backoff: Backoff::default(),
            timeout: Duration::from_mins(30),
            retain: None,
        }
    }
}

/// A task as it is handed over.
///
/// ```
/// use std::time::Duration;
/// use haulier_core::{Kind, NewTask, Payload, SeededEntropy, Start, SystemClock, TaskId};
///
/// let id = TaskId::generate(&SystemClock::new(), &SeededEntropy::from_u64(1));
/// let mut task = NewTask::new(id, Kind::new("email.send")?, Payload::json("{}"));
/// task.start = Start::After(Duration::from_mins(5));
/// task.check(1024)?;
/// # Ok::<(), haulier_core::Refusal>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// The task, without what only the enqueue needs.
    pub task: Task,
    /// When it may start.
    pub start: Start,
    /// Business-level deduplication.
    pub unique: Option<Unique>,
}

/// What a task is: fixed from the moment that it is accepted, whatever happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its name for ever.
    pub id: TaskId,
    /// The line it stands in.
    pub queue: QueueName,
    /// What it asks for.
    pub kind: Kind,
    /// What the handler gets.
    pub payload: Payload,
    /// Its place in the line.
    pub priority: Priority,
    /// How it is tried.
    pub policy: Policy,
    /// Given up (dead, expired) if no attempt has started this long after it was accepted.
    pub expires_in: Option<Duration>,
    /// For handlers and tracing (`traceparent`): handed out with every lease.
    pub headers: Pairs,
    /// For people and filters: `label.tenant:acme`.
    pub labels: Pairs,
}

impl std::ops::Deref for NewTask {
    type Target = Task;
    fn deref(&self) -> &Task {
        &self.task
    }
}

impl std::ops::DerefMut for NewTask {
    fn deref_mut(&mut self) -> &mut Task {
        &mut self.task
    }
}

impl NewTask {
    /// A task for the queue `default`, ready at once, with every default of [`Policy`].
    pub fn new(id: TaskId, kind: Kind, payload: Payload) -> Self {
        Self {
            task: Task {
                id,
                queue: QueueName::default(),
                kind,
                payload,
                priority: Priority::default(),
                policy: Policy::default(),
                expires_in: None,
                headers: Pairs::default(),
                labels: Pairs::default(),
            },
            start: Start::Now,
            unique: None,
        }
    }

    /// Checks everything that can be checked without a store. Every store calls it (I10, I13).
    ///
    /// # Errors
    /// The first rule that is broken, with the field's name and what is allowed.
    pub fn check(&self, payload_bytes_max: usize) -> Result<(), Refusal> {
        self.payload.check("payload", payload_bytes_max)?;
        check_pairs("headers", &self.headers, limits::HEADERS_MAX, limits::HEADERS_BYTES_MAX)?;
        check_pairs("labels", &self.labels, limits::LABELS_MAX, usize::MAX)?;
        for (name, value) in self.labels.iter() {
            if name.len() + value.len() > limits::LABEL_BYTES_MAX {
                return too_large(format!(
                    "label {:?} has {} bytes with its value; at most {} are allowed",
                    name.chars().take(40).collect::<String>(),
                    name.len() + value.len(),
                    limits::LABEL_BYTES_MAX
                ));
            }
        }
        let policy = &self.policy;
        if policy.max_attempts == 0 || policy.max_attempts > limits::ATTEMPTS_MAX {
            return invalid(format!(
                "max_attempts is {}; it goes from 1 to {}",
                policy.max_attempts,
                limits::ATTEMPTS_MAX
            ));
        }
        policy.backoff.check()?;
        if policy.timeout.is_zero() || policy.timeout > limits::TIMEOUT_MAX {
            return invalid(format!(
                "timeout must be above zero and at most {}",
                crate::span::format(limits::TIMEOUT_MAX)
            ));
        }
        if self.expires_in.is_some_and(|span| span.is_zero()) {
            return invalid("expires_in must be above zero, or the task could never start");
        }
        let delay = match self.start {
            Start::After(delay) => Some(delay),
            Start::Now | Start::At(_) => None,
        };
        for (field, span) in [
            ("delay", delay),
            ("expires_in", self.expires_in),
            ("retain", policy.retain),
            ("unique.for", self.unique.as_ref().map(|unique| unique.window)),
        ] {
            if span.is_some_and(|span| span > limits::DELAY_MAX) {
                return invalid(format!("{field} is more than ten years"));
            }
        }
        self.unique.as_ref().map_or(Ok(()), Unique::check)
    }
}

impl Task {
    /// Whether two definitions that share an id are the same task handed over twice (I4): same
    /// queue, kind and payload. Anything else would be a conflict that the caller must know of.
    pub fn is_same_work(&self, other: &Self) -> bool {
        self.queue == other.queue && self.kind == other.kind && self.payload == other.payload
    }
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(Code::Invalid, message))
}

fn too_large<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(Code::TooLarge, message))
}

fn check_pairs(what: &str, pairs: &Pairs, max: usize, bytes_max: usize) -> Result<(), Refusal> {
    if pairs.len() > max {
        return too_large(format!("{what} has {} entries; at most {max} are allowed", pairs.len()));
    }
    if pairs.byte_len() > bytes_max {
        return too_large(format!(
            "{what} has {} bytes in all; at most {bytes_max} are allowed",
            pairs.byte_len()
        ));
    }
    let names: Vec<&str> = pairs.iter().map(|(name, _)| name).collect();
    for (at, name) in names.iter().enumerate() {
        let shown: String = name.chars().take(40).collect();
        if name.is_empty() || name.len() > limits::NAME_BYTES_MAX {
            return invalid(format!(
                "{what}: name {shown:?} must have 1 to {} bytes",
                limits::NAME_BYTES_MAX
            ));
        }
        if !name.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b':'))
        {
            return invalid(format!(
                "{what}: name {shown:?} has a space, quote, colon or control character"
            ));
        }
        if names[..at].contains(name) {
            return invalid(format!("{what}: name {shown:?} stands twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededEntropy;
    use crate::clock::ManualClock;

    fn task() -> NewTask {
        let id = TaskId::generate(&ManualClock::new(), &SeededEntropy::from_u64(1));
        NewTask::new(id, Kind::new("k").unwrap(), Payload::json("{}"))
    }

    fn code(change: impl FnOnce(&mut NewTask)) -> Option<Code> {
        let mut task = task();
        change(&mut task);
        task.check(16).err().map(|refusal| refusal.code)
    }

    #[test]
    fn a_payload_may_be_as_large_as_the_limit_and_no_larger() {
        assert_eq!(code(|task| task.payload = Payload::new(vec![0; 16], "a/b")), None);
        assert_eq!(
            code(|task| task.payload = Payload::new(vec![0; 17], "a/b")),
            Some(Code::TooLarge)
        );
    }

    #[test]
    fn every_limit_of_a_task_holds_at_the_limit_and_refuses_one_above() {
        let pairs = |count: usize| (0..count).map(|n| (format!("n{n}"), "v")).collect::<Pairs>();
        assert_eq!(code(|task| task.headers = pairs(limits::HEADERS_MAX)), None);
        assert_eq!(
            code(|task| task.headers = pairs(limits::HEADERS_MAX + 1)),
            Some(Code::TooLarge)
        );
        assert_eq!(code(|task| task.labels = pairs(limits::LABELS_MAX)), None);
        assert_eq!(code(|task| task.labels = pairs(limits::LABELS_MAX + 1)), Some(Code::TooLarge));
        let label = |bytes: usize| [("n", "v".repeat(bytes - 1))].into_iter().collect::<Pairs>();
        assert_eq!(code(|task| task.labels = label(limits::LABEL_BYTES_MAX)), None);
        assert_eq!(
            code(|task| task.labels = label(limits::LABEL_BYTES_MAX + 1)),
            Some(Code::TooLarge)
        );
        let header = |bytes: usize| [("n", "v".repeat(bytes - 1))].into_iter().collect::<Pairs>();
        assert_eq!(code(|task| task.headers = header(limits::HEADERS_BYTES_MAX)), None);
        assert_eq!(
            code(|task| task.headers = header(limits::HEADERS_BYTES_MAX + 1)),
            Some(Code::TooLarge)
        );
        assert_eq!(code(|task| task.policy.max_attempts = limits::ATTEMPTS_MAX), None);
        for attempts in [0, limits::ATTEMPTS_MAX + 1] {
            assert_eq!(code(|task| task.policy.max_attempts = attempts), Some(Code::Invalid));
        }
        assert_eq!(code(|task| task.policy.timeout = limits::TIMEOUT_MAX), None);
        for timeout in [Duration::ZERO, limits::TIMEOUT_MAX + Duration::from_secs(1)] {
            assert_eq!(code(|task| task.policy.timeout = timeout), Some(Code::Invalid));
        }
        assert_eq!(code(|task| task.start = Start::After(limits::DELAY_MAX)), None);
        assert_eq!(
            code(|task| task.start = Start::After(limits::DELAY_MAX + Duration::from_secs(1))),
            Some(Code::Invalid)
        );
    }

    #[test]
    fn a_name_that_stands_twice_or_hides_a_control_character_is_refused() {
        let twice = [("a", "1"), ("a", "2")];
        assert_eq!(code(|task| task.labels = twice.into_iter().collect()), Some(Code::Invalid));
        let hostile = [("a\n", "1")];
        assert_eq!(code(|task| task.headers = hostile.into_iter().collect()), Some(Code::Invalid));
    }

    #[test]
    fn ids_carry_the_time_so_that_later_ones_sort_after_earlier_ones() {
        let clock = ManualClock::new();
        let dice = SeededEntropy::from_u64(3);
        let first = TaskId::generate(&clock, &dice);
        clock.advance(Duration::from_millis(1));
        let second = TaskId::generate(&clock, &dice);
        assert!(first < second);
        assert_eq!(TaskId::parse(&first.to_string()), Ok(first));
        assert_eq!(TaskId::parse("nonsense").unwrap_err().code, Code::Invalid);
    }

    #[test]
    fn a_payload_never_shows_its_bytes_in_debug_output() {
        assert_eq!(
            format!("{:?}", Payload::json("secret")),
            "Payload(6 bytes of application/json)"
        );
    }
}

//! A limit on everything, next to its proof. Beyond a limit stands a definite refusal, never a
//! truncation and never a loss. Whoever accepts data checks it here; nobody writes the numbers
//! again.

use std::time::Duration;

/// Longest name of a queue, kind or worker, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest unique key, in bytes.
pub const UNIQUE_KEY_BYTES_MAX: usize = 256;
/// Longest content type, in bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 128;
/// Largest payload or result unless configured otherwise, in bytes.
pub const PAYLOAD_BYTES_DEFAULT: usize = 1024 * 1024;
/// Largest payload or result that any configuration allows, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most headers of a task.
pub const HEADERS_MAX: usize = 32;
/// Most bytes of all header names and values of a task.
pub const HEADERS_BYTES_MAX: usize = 16 * 1024;
/// Most labels of a task.
pub const LABELS_MAX: usize = 32;
/// Most bytes of one label, name and value together.
pub const LABEL_BYTES_MAX: usize = 256;
/// Most bytes of an error's text or a progress note; longer ones are cut with a mark.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Most checkpoints of a task.
pub const CHECKPOINTS_MAX: usize = 64;
/// Most bytes of all checkpoints of a task, names included.
pub const CHECKPOINTS_BYTES_MAX: usize = 256 * 1024;
/// Deliveries of a task that are remembered, newest kept.
pub const DELIVERIES_MAX: usize = 20;
/// Most items of one call.
pub const ITEMS_MAX: usize = 1_000;
/// Most bytes of one frame or call, unless it carries a single larger task.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most queues or kinds of one want.
pub const WANT_NAMES_MAX: usize = 256;
/// Most tasks on one page of a listing.
pub const PAGE_MAX: usize = 1_000;
/// Most tasks that one page examines: a page may be short and still have a next one.
pub const PAGE_EXAMINED_MAX: usize = 10_000;
/// Most bytes of the tasks on a page ([`crate::TaskView::bytes`]), unless it is one larger task: a
/// page that would have more is short, and says where to go on.
pub const PAGE_BYTES_MAX: usize = FRAME_BYTES_MAX;
/// Most terms of a filter.
pub const FILTER_TERMS_MAX: usize = 16;
/// Longest that a call may wait for something to happen.
pub const WAIT_MAX: Duration = Duration::from_secs(30);
/// Most attempts that a task may ask for.
pub const ATTEMPTS_MAX: u32 = 1_000;
/// Leases of a task that may run out before it is given up as lost.
pub const LOSSES_MAX: u32 = 5;
/// Shortest time a lease may be granted for.
pub const LEASE_TTL_MIN: Duration = Duration::from_millis(100);
/// Longest time a lease may be granted for at once; beats renew it.
pub const LEASE_TTL_MAX: Duration = Duration::from_hours(1);
/// What a worker's lease lasts unless it asks otherwise.
pub const LEASE_TTL_DEFAULT: Duration = Duration::from_secs(30);
/// What is left of a lease whose worker's connection is gone.
pub const DISCONNECT_GRACE: Duration = Duration::from_secs(2);
/// What lies between two beats of a worker that holds no lease: they only show that it lives.
pub const BEAT_IDLE: Duration = Duration::from_secs(30);
/// What a handler gets to stop after its timeout or a cancellation, before its lease is revoked.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// Longest that one attempt may be allowed to run.
pub const TIMEOUT_MAX: Duration = Duration::from_hours(24 * 30);
/// Farthest future of `delay`, `run_at`, backoff, expiry and retention: ten years.
pub const DELAY_MAX: Duration = Duration::from_hours(24 * 3_653);
/// How long a task id is remembered after its task is gone, so that a repeated enqueue is harmless.
pub const DEDUP_WINDOW: Duration = Duration::from_mins(2);
/// Task ids remembered after their tasks are gone; beyond it the oldest are forgotten first.
pub const DEDUP_IDS_MAX: usize = 1_000_000;
/// How long a completed task is kept by default.
pub const RETAIN_COMPLETED: Duration = Duration::from_hours(1);
/// Completed tasks kept a queue by default; beyond it the oldest go first.
pub const RETAIN_COMPLETED_COUNT: u64 = 10_000;
/// How long a cancelled task is kept by default.
pub const RETAIN_CANCELLED: Duration = Duration::from_hours(24);
/// How long a dead task is kept by default.
pub const RETAIN_DEAD: Duration = Duration::from_hours(24 * 30);
/// How long a silent worker stays listed.
pub const WORKER_FORGOTTEN_AFTER: Duration = Duration::from_mins(5);
/// Most workers that a store lists; beyond it the longest silent go first.
pub const WORKERS_MAX: usize = 10_000;
/// Most queues that a store keeps settings or tasks for.
pub const QUEUES_MAX: usize = 1_000_000;

/// Everything of a task but its payload, at most, as it stands in a log or on a wire.
pub const ENVELOPE_BYTES_MAX: usize = 4 * NAME_BYTES_MAX
    + UNIQUE_KEY_BYTES_MAX
    + CONTENT_TYPE_BYTES_MAX
    + HEADERS_BYTES_MAX
    + LABELS_MAX * LABEL_BYTES_MAX
    + 1024;
/// Largest single message between any two of our processes.
pub const MESSAGE_BYTES_MAX: usize = 24 * 1024 * 1024;

const _: () = assert!(PAYLOAD_BYTES_DEFAULT <= PAYLOAD_BYTES_MAX);
const _: () = assert!(PAYLOAD_BYTES_MAX + ENVELOPE_BYTES_MAX <= MESSAGE_BYTES_MAX);
const _: () = assert!(
    PAYLOAD_BYTES_MAX + ENVELOPE_BYTES_MAX + CHECKPOINTS_BYTES_MAX + TEXT_BYTES_MAX
        <= MESSAGE_BYTES_MAX,
    "a lease with all its checkpoints fits a message"
);

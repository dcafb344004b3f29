//! The numbered promises. The conformance suite names them in its cases, the simulator's checker in
//! its findings, and ARCHITECTURE.md lists them for readers.

/// A promise that every store keeps, always (I) or eventually (L).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invariant {
    /// Its number, as in `I3`.
    pub id: &'static str,
    /// What it says.
    pub says: &'static str,
}

const fn invariant(id: &'static str, says: &'static str) -> Invariant {
    Invariant { id, says }
}

/// All of them, in order.
pub const ALL: [Invariant; 22] = [
    invariant("I1", "no acknowledged enqueue is lost"),
    invariant(
        "I2",
        "at most one live lease per task; epochs of a task strictly increase, across restart, failover and restore",
    ),
    invariant("I3", "beat or settle with a superseded key changes nothing and answers stale"),
    invariant(
        "I4",
        "the same id, and the same unique key within its window, give the same task; the same id with another payload is a conflict",
    ),
    invariant("I5", "nothing is leased before its run_at by the store's clock; jitter only delays"),
    invariant(
        "I6",
        "attempts never exceed max_attempts, losses never exceed five; then the task is dead",
    ),
    invariant(
        "I7",
        "final states are final: one final transition a generation; a rerun starts a new one",
    ),
    invariant(
        "I8",
        "repeating a settlement with the same key gives the same answer for as long as the delivery is remembered",
    ),
    invariant("I9", "what is delivered was enqueued, byte for byte"),
    invariant("I10", "a refused enqueue never runs"),
    invariant(
        "I11",
        "no lease passes to another worker earlier than its ttl after grant or last accepted beat",
    ),
    invariant("I12", "reads show only durable state"),
    invariant(
        "I13",
        "limits never drop a task: overflow refuses the enqueue, exhaustion goes to dead",
    ),
    invariant("I14", "conservation: the states add up to what was accepted less what was removed"),
    invariant(
        "I15",
        "after a cancel is acknowledged there is no later lease; a running holder learns of it at its next beat and its completion is refused",
    ),
    invariant("I16", "damage is reported, never hidden"),
    invariant("L1", "an eligible task is leased while a capable worker waits"),
    invariant("L2", "an expired lease is offered again within ttl + 1 s"),
    invariant("L3", "no task, dead or poison, blocks its queue"),
    invariant("L4", "a restart serves within the time stated for the log's size"),
    invariant("L5", "memory, descriptors and disk stay within configured bounds under every fault"),
    invariant("L6", "one misbehaving queue does not slow the others more than threefold"),
];

//! Where tests look into running code: planted bugs, rare states, points of failure.
//!
//! Without the feature `probes`, which no release has, each of these does nothing and costs
//! nothing. With it, one build runs all of them, chosen by the environment of the process:
//!
//! | variable | what it does |
//! |---|---|
//! | `HAULIER_PLANT=name` | [`planted`] is true for that bug |
//! | `HAULIER_FAILPOINT=name=exit@3` | the third time [`failpoint`] is reached, the process ends |
//! | `HAULIER_RARE=file` | rare states are appended: at once when first reached, and by `report` |
//!
//! [`PLANTS`], [`RARE`], [`FAILPOINTS`] and [`FAILPOINTS_POSTGRES`] name all there are; a name that
//! stands in none of them is a defect, and so is one that stands in no code.

/// A bug that can be planted, to see that the tests can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plant {
    /// What it is called.
    pub name: &'static str,
    /// The layer of the tests that has to catch it.
    pub layer: Layer,
    /// The promise that it breaks, as in [`mod@crate::invariant`].
    pub breaks: &'static str,
}

/// A layer of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Pure rules.
    Rules,
    /// The contract, case by case and in random histories.
    Conformance,
    /// A crash at every call of the disk.
    Crash,
    /// Nodes, load and faults from a seed.
    Simulation,
    /// Every order of what several threads do.
    Loom,
    /// Several servers on one database.
    Servers,
    /// The real program under real faults.
    Nemesis,
}

const fn plant(name: &'static str, layer: Layer, breaks: &'static str) -> Plant {
    Plant { name, layer, breaks }
}

/// Every bug that can be planted.
pub const PLANTS: &[Plant] = &[
    plant("jitter-downwards", Layer::Rules, "I5"),
    plant("attempts-off-by-one", Layer::Rules, "I6"),
    plant("settle-ignores-epoch", Layer::Conformance, "I3"),
    plant("sweep-ignores-epoch", Layer::Conformance, "I7"),
    plant("check-then-insert", Layer::Conformance, "I4"),
    plant("dedup-lost-at-reopen", Layer::Conformance, "I4"),
    plant("run-at-lost", Layer::Conformance, "I5"),
    plant("losses-in-memory", Layer::Conformance, "I6"),
    plant("repeat-answer-lost", Layer::Conformance, "I8"),
    plant("neighbours-swapped", Layer::Conformance, "I9"),
    plant("overflow-drops", Layer::Conformance, "I13"),
    plant("count-drifts", Layer::Conformance, "I14"),
    plant("timer-lost", Layer::Conformance, "L2"),
    plant("dead-blocks", Layer::Conformance, "L3"),
    plant("ack-before-sync", Layer::Crash, "I1"),
    plant("sync-retried", Layer::Crash, "I1"),
    plant("live-segment-freed", Layer::Crash, "I1"),
    plant("generation-not-raised", Layer::Crash, "I2"),
    plant("old-segment-replayed", Layer::Crash, "I7"),
    plant("refused-but-stored", Layer::Crash, "I10"),
    plant("read-before-sync", Layer::Crash, "I12"),
    plant("cut-in-the-middle", Layer::Crash, "I16"),
    plant("expiry-by-callers-clock", Layer::Simulation, "I11"),
    plant("deadline-from-reply", Layer::Simulation, "I11"),
    plant("cancel-lost", Layer::Simulation, "I15"),
    plant("wake-lost", Layer::Loom, "L1"),
    plant("old-key-settles", Layer::Servers, "I3"),
    plant("lease-ends-early", Layer::Servers, "I11"),
    plant("unknown-told-as-refused", Layer::Servers, "I10"),
    plant("generation-kept", Layer::Servers, "I2"),
    plant("news-lost", Layer::Servers, "L1"),
    plant("latecomer-missed", Layer::Servers, "L1"),
    plant("endless-inbox", Layer::Nemesis, "L5"),
];

/// Every rare state that a full run has to reach.
pub const RARE: &[&str] = &[
    "tail cut",
    "reordered tail",
    "tail rewritten",
    "ballast used",
    "record moved by the cleaner",
    "recycled segment",
    "hint rebuilt",
    "batch of many",
    "late settle accepted",
    "stale refused",
    "repeat answered",
    "settle races expiry",
    "cancel races complete",
    "conflict before the winner is durable",
    "losses used up",
    "clock held back",
    "credit spent",
    "send buffer full",
    "unknown commit resolved",
    "generation raised",
    "gap healed",
];

/// Every point of the embedded store at which a process can be made to fail.
pub const FAILPOINTS: &[&str] = &[
    "before write",
    "after write",
    "before sync",
    "after sync",
    "before segment begins",
    "after segment began",
    "before hint",
    "segment copied",
    "before segment is freed",
    "after segment is freed",
    "tail rewritten",
    "generation written",
    "opened",
];

/// Every point of the store in PostgreSQL.
pub const FAILPOINTS_POSTGRES: &[&str] = &["before commit", "after commit"];

/// The variables of the table above; none without the feature, so that a release refuses them like
/// any other that it does not know.
pub const VARIABLES: &[&str] = if cfg!(feature = "probes") {
    &["HAULIER_PLANT", "HAULIER_FAILPOINT", "HAULIER_RARE"]
} else {
    &[]
};

/// Whether a bug is planted: the code that asks does the wrong thing then.
#[cfg(not(feature = "probes"))]
#[inline]
pub const fn planted(_name: &'static str) -> bool {
    false
}

/// A rare state was reached.
#[cfg(not(feature = "probes"))]
#[inline]
pub const fn sometimes(_name: &'static str) {}

/// A point at which the process can be made to end, to pause, or to fail.
///
/// # Errors
/// Only when a test asked for it.
#[cfg(not(feature = "probes"))]
#[inline]
pub const fn failpoint(_name: &'static str) -> std::io::Result<()> {
    Ok(())
}

#[cfg(feature = "probes")]
pub use on::{counts, failpoint, planted, report, sometimes};

#[cfg(feature = "probes")]
mod on {
    use std::collections::BTreeMap;
    use std::io::{self, Write};
    use std::sync::{Mutex, OnceLock, PoisonError};
    use std::time::Duration;

    use super::{FAILPOINTS, FAILPOINTS_POSTGRES, PLANTS, RARE};

    /// Whether a bug is planted: the code that asks does the wrong thing then.
    pub fn planted(name: &'static str) -> bool {
        static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
        debug_assert!(PLANTS.iter().any(|plant| plant.name == name), "{name} stands in no list");
        let chosen = CHOSEN.get_or_init(|| std::env::var("HAULIER_PLANT").ok());
        chosen.as_deref() == Some(name)
    }

    static REACHED: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

    /// A rare state was reached. The first time is told at once: a process that is killed reports
    /// nothing any more.
    ///
    /// # Panics
    /// The file that `HAULIER_RARE` names cannot be written.
    pub fn sometimes(name: &'static str) {
        debug_assert!(RARE.contains(&name), "{name} stands in no list");
        let mut reached = REACHED.lock().unwrap_or_else(PoisonError::into_inner);
        let count = reached.entry(name).or_default();
        *count += 1;
        if *count == 1 {
            let told = tell(&[(name, 1)]);
            assert!(told.is_ok(), "HAULIER_RARE cannot be written: {told:?}");
        }
    }

    /// How often each rare state was reached in this process.
    pub fn counts() -> Vec<(&'static str, u64)> {
        let reached = REACHED.lock().unwrap_or_else(PoisonError::into_inner);
        RARE.iter().map(|name| (*name, reached.get(name).copied().unwrap_or(0))).collect()
    }

    /// Tells how often each rare state was reached since the first time.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn report() -> io::Result<()> {
        let again = counts().into_iter().map(|(name, count)| (name, count.saturating_sub(1)));
        tell(&again.filter(|(_, count)| *count > 0).collect::<Vec<_>>())
    }

    /// Appends `name<TAB>count` lines to the file that `HAULIER_RARE` names, if it does. What a
    /// process with a planted bug reaches is no proof of anything.
    fn tell(counts: &[(&'static str, u64)]) -> io::Result<()> {
        let Some(path) = std::env::var_os("HAULIER_RARE") else { return Ok(()) };
        if std::env::var_os("HAULIER_PLANT").is_some() {
            return Ok(());
        }
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        let mut lines = Vec::new();
        for (name, count) in counts {
            writeln!(lines, "{name}\t{count}")?;
        }
        file.write_all(&lines)
    }

    enum Action {
        Exit,
        Pause(Duration),
        Error,
    }

    struct Chosen {
        name: String,
        action: Action,
        /// Times that it is passed first.
        passes: u64,
    }

    /// `name=exit`, `name=error`, `name=pause:5` (seconds), each perhaps `@n` for the nth time.
    fn parse(text: &str) -> Option<Chosen> {
        let (name, rest) = text.split_once('=')?;
        let (action, nth) = rest.split_once('@').unwrap_or((rest, "1"));
        let action = match action.split_once(':').unwrap_or((action, "")) {
            ("exit", "") => Action::Exit,
            ("error", "") => Action::Error,
            ("pause", seconds) => Action::Pause(Duration::from_secs(seconds.parse().ok()?)),
            _ => return None,
        };
        let passes = nth.parse::<u64>().ok()?.checked_sub(1)?;
        Some(Chosen { name: name.to_owned(), action, passes })
    }

    /// A point at which the process can be made to end, to pause, or to fail.
    ///
    /// # Errors
    /// Only when a test asked for it.
    ///
    /// # Panics
    /// `HAULIER_FAILPOINT` is set and says nothing that can be done.
    #[expect(clippy::disallowed_methods, reason = "a real process is paused for real")]
    pub fn failpoint(name: &'static str) -> io::Result<()> {
        static CHOSEN: OnceLock<Option<Mutex<Chosen>>> = OnceLock::new();
        let known = FAILPOINTS.contains(&name) || FAILPOINTS_POSTGRES.contains(&name);
        debug_assert!(known, "{name} stands in no list");
        let chosen = CHOSEN.get_or_init(|| {
            let text = std::env::var("HAULIER_FAILPOINT").ok()?;
            let Some(chosen) = parse(&text) else { panic!("HAULIER_FAILPOINT={text}: no action") };
            Some(Mutex::new(chosen))
        });
        let Some(chosen) = chosen else { return Ok(()) };
        let mut chosen = chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if chosen.name != name {
            return Ok(());
        }
        if let Some(left) = chosen.passes.checked_sub(1) {
            chosen.passes = left;
            return Ok(());
        }
        // Whoever asked for it must be able to see that it was reached.
        writeln!(io::stderr(), "failpoint `{name}` was reached")?;
        match chosen.action {
            Action::Exit => std::process::abort(),
            Action::Error => Err(io::Error::other(format!("the test made `{name}` fail"))),
            Action::Pause(span) => {
                // Once: whoever waits behind it has waited long enough.
                chosen.passes = u64::MAX;
                drop(chosen);
                std::thread::sleep(span);
                Ok(())
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_failpoint_is_chosen_by_name_action_and_turn() {
            let third = parse("before-sync=exit@3").unwrap();
            assert_eq!((third.name.as_str(), third.passes), ("before-sync", 2));
            assert!(matches!(third.action, Action::Exit));
            let pause = parse("x=pause:5").unwrap();
            assert!(matches!(pause.action, Action::Pause(span) if span == Duration::from_secs(5)));
            assert!(parse("x=explode").is_none() && parse("x").is_none());
            assert!(parse("x=exit@0").is_none());
        }

        #[test]
        fn what_was_reached_is_counted() {
            sometimes("tail cut");
            let counted = counts().into_iter().find(|(name, _)| *name == "tail cut");
            assert!(counted.is_some_and(|(_, count)| count > 0));
        }
    }
}

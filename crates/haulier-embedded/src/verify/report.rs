//! What a check found, and how it is told.

use std::collections::BTreeMap;
use std::fmt;

use haulier_core::{State, StateCounts, TaskId};

/// Task ids that are told of one damage; their number is told in any case.
const TASKS_SHOWN: usize = 20;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The segments, by number.
    pub segments: Vec<SegmentReport>,
    /// The generation that wrote last.
    pub generation: u32,
    /// Records by kind.
    pub records: BTreeMap<&'static str, u64>,
    /// Tasks by state.
    pub tasks: StateCounts,
    /// Whether unfinished writes of a crash stand behind the log's end; a start cuts them.
    pub unfinished_tail: bool,
    /// Whether the log was closed in good order.
    pub closed: bool,
    /// Whether a start would refuse the directory. Then only the damage is told.
    pub refused: bool,
    /// What does not hold.
    pub damage: Vec<Damage>,
    /// What holds byte for byte and does not add up: a defect of the version that wrote it.
    pub contradictions: Vec<String>,
}

/// One segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its number.
    pub number: u32,
    /// Where it ends.
    pub end: u32,
    /// Frames that it holds.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Parts of records whose checksum holds.
    pub parts: u64,
    /// How its hint is.
    pub hint: HintState,
}

/// How the hint of a segment is. A hint is only ever a shortcut: without it a start reads the
/// segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HintState {
    /// It has none, and needs none: the segment is still being written.
    #[default]
    None,
    /// It says what its segment says.
    Sound,
    /// It is not there, as those of the newest segments.
    Missing,
    /// It is damaged, or says something else than its segment.
    Damaged,
}

/// A stretch of a file that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Its first byte.
    pub from: u64,
    /// The byte behind it.
    pub to: u64,
    /// What is wrong there.
    pub what: String,
    /// The tasks of which something stands there, as far as it can be known.
    pub tasks: Vec<TaskId>,
}

impl HintState {
    /// It as a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sound => "sound",
            Self::Missing => "missing",
            Self::Damaged => "damaged",
        }
    }
}

impl Report {
    /// Whether everything holds. A hint that does not is only slow.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.contradictions.is_empty()
    }

    /// What is wrong, a line each.
    pub fn findings(&self) -> impl Iterator<Item = String> {
        let damage = self.damage.iter().map(ToString::to_string);
        damage.chain(self.contradictions.iter().cloned())
    }

    /// Parts of all records.
    pub fn parts(&self) -> u64 {
        self.segments.iter().map(|segment| segment.parts).sum()
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, bytes {} to {}: {}", self.file, self.from, self.to, self.what)?;
        match self.tasks.len() {
            0 => return Ok(()),
            1 => f.write_str("; task")?,
            count => write!(f, "; {count} tasks:")?,
        }
        self.tasks.iter().take(TASKS_SHOWN).try_for_each(|id| write!(f, " {id}"))?;
        if self.tasks.len() > TASKS_SHOWN { f.write_str(" …") } else { Ok(()) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            let SegmentReport { number, end, frames, records, parts, hint } = segment;
            write!(f, "segment {number}: {end} bytes, {frames} frames, {records} records, ")?;
            write!(f, "{parts} parts")?;
            match hint {
                HintState::None => writeln!(f)?,
                HintState::Sound => writeln!(f, ", hint sound")?,
                HintState::Missing => writeln!(f, ", no hint")?,
                HintState::Damaged => {
                    writeln!(f, ", hint damaged: a start reads the segment instead")?;
                }
            }
        }
        if !self.refused {
            writeln!(f, "generation {}", self.generation)?;
            for (kind, count) in &self.records {
                writeln!(f, "  records {kind}: {count}")?;
            }
            for state in State::ALL.into_iter().filter(|state| self.tasks.get(*state) > 0) {
                writeln!(f, "  tasks {state}: {}", self.tasks.get(state))?;
            }
        }
        if self.unfinished_tail {
            writeln!(f, "unfinished writes of a crash stand at the end; a start cuts them")?;
        } else if !self.closed && !self.refused {
            writeln!(f, "it was not closed in good order; a start recovers it")?;
        }
        for finding in self.findings() {
            writeln!(f, "damaged: {finding}")?;
        }
        if self.refused {
            writeln!(f, "a server does not start on it")?;
        }
        f.write_str(if self.is_sound() { "sound" } else { "DAMAGED" })
    }
}

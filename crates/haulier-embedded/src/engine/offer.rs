//! Tasks on their way in: checked and encoded by the caller, so that the engine's thread, which
//! every caller shares, only has to decide.

use std::ops::Range;
use std::sync::Arc;

use haulier_core::{NewTask, Refusal, Start, Task, Unique};

use crate::log::Part;
use crate::parts;

/// A task that is offered.
#[derive(Debug)]
pub struct Offer {
    /// The task.
    pub task: Arc<Task>,
    /// When it may start.
    pub start: Start,
    /// Its unique key.
    pub unique: Option<Unique>,
    /// Why it breaks a rule, if it does.
    pub refusal: Option<Refusal>,
    /// Where its definition stands among those of the call.
    pub definition: Range<usize>,
    /// The definition's CRC-32C.
    pub crc: u32,
}

/// The tasks of one call.
#[derive(Debug)]
pub struct Offers {
    /// The tasks, in their order.
    pub tasks: Vec<Offer>,
    definitions: Vec<u8>,
}

impl Offers {
    /// Checks and encodes tasks.
    pub fn new(tasks: Vec<NewTask>, payload_bytes_max: usize) -> Self {
        let room = tasks.iter().map(|task| 64 + task.payload.bytes.len()).sum();
        let mut definitions = Vec::with_capacity(room);
        let offer = |task: NewTask| {
            let from = definitions.len();
            let refusal = task.check(payload_bytes_max).err();
            if refusal.is_none() {
                parts::put_definition(&mut definitions, &task);
            }
            let definition = from..definitions.len();
            let crc = crc32c::crc32c(&definitions[from..]);
            let NewTask { task, start, unique } = task;
            Offer { task: Arc::new(task), start, unique, refusal, definition, crc }
        };
        let tasks = tasks.into_iter().map(offer).collect();
        Self { tasks, definitions }
    }

    /// Bytes of all definitions.
    pub const fn byte_len(&self) -> usize {
        self.definitions.len()
    }

    /// The tasks, and how to find the definition of each.
    pub fn into_parts(self) -> (Vec<Offer>, Vec<u8>) {
        (self.tasks, self.definitions)
    }
}

impl Offer {
    /// Its definition, among those of its call.
    pub fn part<'a>(&self, definitions: &'a [u8]) -> Part<'a> {
        Part::known(&definitions[self.definition.clone()], self.crc)
    }
}

//! What the cleaner asks of the engine: which tasks still need an old segment, and to stand in a
//! new one instead.

use bytes::Bytes;
use haulier_core::TaskId;

use crate::engine::{Engine, Now};
use crate::index::SlotId;
use crate::log::{Part, Tail};
use crate::place::Extent;
use crate::record::Record;
use crate::snapshot::{Delivered, Snapshot};

/// Where all that a task has on the disk stands: its definition first, then in the order of
/// [`crate::detail::Detail::extents`].
pub type Parts = Vec<Extent>;

/// Ids that one record remembers.
const REMEMBERED_AT_ONCE: usize = 1_000;

impl Engine {
    /// Bytes that a copy of everything would take, about.
    pub const fn live_bytes(&self) -> u64 {
        self.live.bytes
    }

    /// The oldest segment that a task needs.
    pub fn oldest_needed(&self) -> Option<u32> {
        self.live.oldest()
    }

    /// What has to be copied if this definition is the one that its task stands on.
    pub fn parts_of(&self, id: TaskId, definition: Extent) -> Option<Parts> {
        let slot = self.index.find(id)?;
        if self.index[slot].definition() != definition {
            return None;
        }
        let rest = self.details.get(slot).map(|detail| detail.extents().collect::<Vec<_>>());
        Some(std::iter::once(definition).chain(rest.unwrap_or_default()).collect())
    }

    /// Writes a whole task at the end of the log, and lets it stand there. `bytes` are its parts.
    pub fn move_task(&mut self, now: Now, id: TaskId, bytes: &[Bytes], records: &mut Tail) {
        let Some(slot) = self.index.find(id) else { return };
        let envelope = self.envelope(slot);
        let (queue, kind) = (&envelope.queue, &envelope.kind);
        records.stand_in(queue, kind, envelope.priority);
        let record = Record::Snapshot(Box::new(self.snapshot(slot)));
        let parts: Vec<Part<'_>> = bytes.iter().map(|part| Part::new(part)).collect();
        let placed = records.push(&record, &parts, now.wall, self.last_order);
        let parts = placed.parts(bytes.iter().map(Bytes::len));
        self.stand_on(slot, &parts);
    }

    /// The task's parts stand there from now on.
    pub(super) fn stand_on(&mut self, slot: SlotId, parts: &[Extent]) {
        let mut parts = parts.iter().copied();
        let Some(definition) = parts.next() else { return };
        let before = self.index[slot].definition();
        self.live.move_definition(before, definition);
        self.index[slot].stand_on(definition);
        let Some(detail) = self.details.get_mut(slot) else { return };
        let steps = detail.checkpoints.iter_mut().map(|step| &mut step.value);
        let failures = detail.deliveries.iter_mut().filter_map(|it| it.failure.as_mut());
        let places = detail.result.iter_mut().chain(steps).chain(failures);
        places.zip(parts).for_each(|(place, part)| *place = part);
    }

    fn snapshot(&self, slot: SlotId) -> Snapshot {
        let place = &self.index[slot];
        let detail = self.details.get(slot).cloned().unwrap_or_default();
        let deliveries = detail.deliveries.iter().map(|delivery| Delivered {
            epoch: delivery.epoch,
            attempt: delivery.attempt,
            worker: delivery.worker.to_string(),
            leased_at: delivery.leased_at,
            end: delivery.end,
            has_failure: delivery.failure.is_some(),
        });
        Snapshot {
            id: place.id,
            enqueued_at: place.enqueued_at(),
            due_at: self.index.due_at(slot),
            order: place.order(),
            standing: detail.standing(place),
            epoch: detail.epoch,
            rules: self.rules(slot),
            expires_at: detail.expires_at,
            unique: detail.unique.clone(),
            finished_at: detail.finished_at,
            ttl: detail.lease.as_ref().map(|lease| lease.logged_ttl),
            has_result: detail.result.is_some(),
            checkpoints: detail.checkpoints.iter().map(|step| step.name.to_string()).collect(),
            deliveries: deliveries.collect(),
        }
    }

    /// Bytes that [`Engine::move_rest`] writes at most.
    pub fn rest_bytes(&self, through: u32) -> u64 {
        let old = |queue: &&crate::lines::QueueState| {
            queue.settings_at.is_some_and(|at| at.segment() <= through)
        };
        let settings = self.lines.queues.iter().filter(old).count() as u64;
        4_096 + 256 * settings + 40 * self.remembered.len_through(through) as u64
    }

    /// The place in a line that was given last.
    pub const fn last_order(&self) -> u64 {
        self.last_order
    }

    /// Writes settings and remembered ids that stand in old segments at the end of the log.
    pub fn move_rest(&mut self, now: Now, through: u32, records: &mut Tail) {
        let old = self
            .lines
            .queues
            .iter()
            .filter(|queue| queue.settings_at.is_some_and(|at| at.segment() <= through));
        let old: Vec<_> = old.map(|queue| (queue.name.clone(), queue.settings.clone())).collect();
        for (queue, settings) in old {
            self.write_settings(now, &queue, settings, records);
        }
        self.remembered.expire(now.wall);
        while let Some((batch, gone)) = self.remembered.through(through) {
            let mut segment = records.segment();
            for some in gone.chunks(REMEMBERED_AT_ONCE) {
                let record = Record::Remembered(some.to_vec());
                let placed = records.push(&record, &[], now.wall, self.last_order);
                segment = segment.min(placed.position().segment());
            }
            self.remembered.moved(batch, segment);
        }
    }
}

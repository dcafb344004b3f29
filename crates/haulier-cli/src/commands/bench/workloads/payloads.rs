//! Large payloads: whole lifecycles in which the bytes are what counts.

use async_trait::async_trait;

use super::{Case, Round, Value, float, flow, quantiles};
use crate::commands::bench::run::{Amount, Callers, Job, Run};
use crate::commands::bench::site::Site;
use crate::exit::Result;
use crate::text;

/// Bytes of one call, so that a batch of large payloads is small.
const CALL_BYTES: usize = 1024 * 1024;
const MIB: f64 = 1024.0 * 1024.0;

/// Lifecycles with payloads of that size.
#[derive(Debug)]
pub struct Payloads {
    /// Bytes of a payload.
    pub bytes: usize,
    /// Producers and workers; their batch at most.
    pub callers: Callers,
    /// How much.
    pub amount: Amount,
}

impl Payloads {
    fn callers(&self) -> Callers {
        let batch = (CALL_BYTES / self.bytes).clamp(1, self.callers.batch.max(1));
        Callers { batch, ..self.callers }
    }
}

#[async_trait]
impl Case for Payloads {
    fn label(&self) -> String {
        let Callers { count, batch } = self.callers();
        format!("{}, {count} × {count}, batch {batch}", text::bytes(self.bytes as u64))
    }

    fn payload_bytes(&self) -> Option<usize> {
        Some(self.bytes)
    }

    async fn round(&self, site: &mut Site) -> Result<Round> {
        let callers = self.callers();
        let run = site.run("payloads", Some(callers.window()))?;
        let work = (&Run::plain(), Job::COMPLETE);
        let (books, took) = flow(site, &run, callers, self.amount, work).await?;
        let audited = books.audit()?;
        let rate = Value::rate("tasks_per_second", audited.tasks, took);
        let mebibytes = rate.amount * float(self.bytes as u64) / MIB;
        let mut values = vec![Value::more("payload", "MiB/s", mebibytes), rate];
        values.extend(quantiles(&audited));
        Ok(Round { audited, values })
    }
}

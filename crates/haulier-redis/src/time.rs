//! Keeping the time by which leases live: whoever sweeps compares Redis's clock with its own, by
//! core's rule, and writes down what is certain. Scripts go a little beyond that, and let no lease
//! run out by it; see the prelude.

use haulier_core::Result;
use haulier_core::lease_time::{GAP, Moment, Seen, Time, Watch};
use haulier_core::probe::sometimes;
use tokio::sync::Mutex;

use crate::pack::{Pack, Value};
use crate::script;
use crate::store::Inner;

/// What a server remembers from one look at the clock to the next.
#[derive(Debug, Default)]
pub(crate) struct Timekeeper(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    watch: Option<Watch>,
    /// Whether the last look failed.
    failing: bool,
}

/// What a look shows.
struct Look {
    seen: Seen,
    /// When the first lease runs out.
    deadline: Option<i64>,
    /// Leases are being renewed.
    heals: bool,
}

/// The store was opened at this moment.
pub(crate) async fn begin(inner: &Inner, seen: &Seen, moment: Moment) {
    inner.time.0.lock().await.watch = Some(Watch::start(seen, moment));
}

/// Looks at the clock, and mends the time if it has to be.
pub(crate) async fn keep(inner: &Inner) -> Result<()> {
    // Tests tell scripts what time it is.
    if inner.options.time.is_some() {
        return Ok(());
    }
    let mut memory = inner.time.0.lock().await;
    let kept = look(inner, &mut memory).await;
    memory.failing = kept.is_err();
    drop(memory);
    if kept? { heal(inner).await } else { Ok(()) }
}

/// Whether leases are to be renewed.
async fn look(inner: &Inner, memory: &mut Memory) -> Result<bool> {
    loop {
        let before = inner.pace.monotonic();
        let Look { seen, deadline, heals } = read(inner).await?;
        let moment = Moment { before, after: inner.pace.monotonic() };
        let watch = memory.watch.unwrap_or_else(|| Watch::start(&seen, moment));
        let (time, watch) = watch.look(&seen, moment);
        // Nobody could look, and so nobody could renew. A look may take its time.
        let away = time.stood > if memory.failing { 0 } else { GAP };
        let due = deadline.is_some_and(|at| seen.leases < at && at <= time.leases);
        if !time.is_news(&seen) && !due && !away {
            memory.watch = Some(watch);
            return Ok(heals);
        }
        if write(inner, &time, &seen, away).await? {
            memory.watch = Some(watch);
            return Ok(heals || away);
        }
    }
}

async fn read(inner: &Inner) -> Result<Look> {
    let shown = inner.read(&script::CLOCK, empty()).await?;
    let [clock, wall, slip, leases, deadline, heals] = shown.tuple()?;
    let seen = self::seen(&clock, &wall, &slip, &leases)?;
    let deadline = deadline.int().map(|at| (at >= 0).then_some(at))?;
    Ok(Look { seen, deadline, heals: heals.bool()? })
}

/// The time as scripts tell it.
pub(crate) fn seen(clock: &Value, wall: &Value, slip: &Value, certain: &Value) -> Result<Seen> {
    let (clock, wall) = (clock.int()?, wall.int()?);
    Ok(Seen { clock, wall, slip: slip.int()?, leases: certain.int()? })
}

async fn write(inner: &Inner, time: &Time, seen: &Seen, heals: bool) -> Result<bool> {
    let mut args = Pack::new();
    args.array(5).int(time.wall).int(time.slip).int(time.leases).int(seen.slip).bool(heals);
    inner.write(&script::KEEP, args).await?.bool()
}

/// Lets each lease last its full ttl again, in short steps; whoever sweeps goes on with what others
/// have begun.
pub(crate) async fn heal(inner: &Inner) -> Result<()> {
    loop {
        let [more, renewed] = inner.write(&script::HEAL, empty()).await?.tuple()?;
        if renewed.int()? > 0 {
            sometimes("gap healed");
        }
        if !more.bool()? {
            return Ok(());
        }
    }
}

fn empty() -> Pack {
    let mut args = Pack::new();
    args.array(0);
    args
}

#[cfg(test)]
mod tests {
    use haulier_core::lease_time::STANDS;

    #[test]
    fn scripts_go_as_far_beyond_what_is_certain_as_the_rule_says() {
        let text = format!("store.certain + {STANDS})");
        assert!(include_str!("lua/prelude.lua").contains(&text), "{text}");
    }
}

//! What time alone does, a slice at a time.

use std::time::Duration;

use haulier_core::{Result, Swept};

use crate::db::whole;
use crate::pack::Pack;
use crate::store::Inner;
use crate::{script, time};

/// Tasks that one script may touch: Redis serves nobody else meanwhile.
const SLICE: usize = 1_000;

/// One bounded slice of promoting, expiring and pruning.
pub(crate) async fn sweep(inner: &Inner, budget: usize) -> Result<Swept> {
    time::keep(inner).await?;
    let mut args = Pack::new();
    args.array(1).int(whole(budget.min(SLICE) as u64));
    let [promoted, lost, expired, pruned, next] =
        inner.write(&script::SWEEP, args).await?.tuple()?;
    Ok(Swept {
        promoted: promoted.count()?,
        lost: lost.count()?,
        expired: expired.count()?,
        pruned: pruned.count()?,
        next: Duration::from_millis(next.count()?),
    })
}

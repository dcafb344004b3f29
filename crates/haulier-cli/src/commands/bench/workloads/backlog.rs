//! A deep backlog: tasks stand in one queue while another one is at work. What does it cost, and
//! how fast is it filled and drained? The rate beside it is compared with the rate without it, from
//! just before and just after, so that a machine that gets slower or faster meanwhile does not
//! count as the backlog's doing.

use async_trait::async_trait;

use super::{Case, Counting, Round, Value, drain, fill, flow};
use crate::commands::bench::books::Audited;
use crate::commands::bench::run::{Amount, Callers, Job, Run};
use crate::commands::bench::site::Site;
use crate::exit::Result;
use crate::text;

/// So many standing tasks, and lifecycles beside them.
#[derive(Debug)]
pub struct Backlog {
    /// Tasks that stand.
    pub standing: u64,
    /// Producers and workers, of both.
    pub callers: Callers,
    /// How much goes by, each time.
    pub amount: Amount,
}

#[async_trait]
impl Case for Backlog {
    fn label(&self) -> String {
        format!("{} standing", text::number(self.standing))
    }

    fn counting(&self) -> Counting {
        Counting::Not("its lifecycles are counted as such")
    }

    async fn round(&self, site: &mut Site) -> Result<Round> {
        let mut all = Audited::default();
        let before = self.rate(site, &mut all).await?;
        let standing = site.run("backlog", None)?;
        let amount = Amount::Tasks(self.standing);
        let (mut books, filled) =
            fill(site, &standing, self.callers, amount, &Run::plain()).await?;
        let beside = self.rate(site, &mut all).await?;
        let (drained_books, drained) = drain(site, &standing, self.callers, Job::COMPLETE).await?;
        books.add(drained_books);
        all.add(&books.audit()?);
        let after = self.rate(site, &mut all).await?;
        let without = f64::midpoint(before, after);
        let values = vec![
            Value::more("beside_to_without", "×", beside / without),
            Value::more("without", "/s", without),
            Value::more("beside", "/s", beside),
            Value::rate("filled", self.standing, filled),
            Value::rate("drained", self.standing, drained),
        ];
        Ok(Round { audited: all, values })
    }
}

impl Backlog {
    async fn rate(&self, site: &Site, all: &mut Audited) -> Result<f64> {
        let run = site.run("beside", Some(self.callers.window()))?;
        let work = (&Run::plain(), Job::COMPLETE);
        let (books, took) = flow(site, &run, self.callers, self.amount, work).await?;
        let audited = books.audit()?;
        all.add(&audited);
        Ok(Value::rate("", audited.tasks, took).amount)
    }
}

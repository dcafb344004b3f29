//! Which completed tasks of a queue are kept no longer: a pure decision.
//!
//! A queue keeps completed tasks for a time, and so many of the newest at most. Tasks whose unique
//! key is held are never removed for being too many; but they count.

/// Some tasks of a queue that were completed together, in the order of their completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch {
    /// Where it begins in the order of completions.
    pub first: i64,
    /// When they were completed.
    pub at: i64,
    pub tasks: usize,
    /// It is one task, which is removed by itself.
    pub single: bool,
}

/// A queue's completed tasks, and what it says about them.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    /// What has a `finish` below is gone.
    pub below: i64,
    /// How long, and how many, it keeps.
    pub retain: i64,
    pub most: i64,
    /// How many there are.
    pub completed: i64,
    /// The first that go by the queue's word alone.
    pub plain: Vec<Batch>,
    /// The first that may go if there are too many.
    pub free: Vec<Batch>,
    /// There may be more of either than were read.
    pub more_plain: bool,
    pub more_free: bool,
}

/// What goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whole batches.
    pub whole: Vec<Batch>,
    /// Tasks that are removed by themselves.
    pub singles: Vec<Batch>,
    /// The first tasks of a batch, and how many.
    pub part: Option<(Batch, usize)>,
    /// When to look again; `None`: when something completes.
    pub look_at: Option<i64>,
}

impl Queue {
    /// At most `budget` tasks go now.
    pub fn plan(&self, wall: i64, budget: usize) -> Plan {
        let mut plan = Plan::default();
        let mut left = budget;
        let is_over = |batch: &Batch| {
            // A batch below the mark was committed after the mark had passed it.
            batch.first < self.below || batch.at.saturating_add(self.retain) <= wall
        };
        let over = self.plain.iter().take_while(|batch| is_over(batch)).count();
        for batch in &self.plain[..over] {
            if !plan.take(*batch, batch.tasks, &mut left) {
                return plan.again();
            }
        }
        let gone = usize::try_from(self.completed).unwrap_or_default();
        let most = usize::try_from(self.most).unwrap_or_default();
        let mut excess = gone.saturating_sub(plan.tasks()).saturating_sub(most);
        let over: Vec<i64> = plan.whole.iter().map(|batch| batch.first).collect();
        for batch in self.free.iter().filter(|batch| !over.contains(&batch.first)) {
            if excess == 0 {
                break;
            }
            let tasks = batch.tasks.min(excess);
            if !plan.take(*batch, tasks, &mut left) {
                return plan.again();
            }
            excess -= tasks;
        }
        let gone = |batch: &&Batch| plan.whole.iter().any(|gone| gone.first == batch.first);
        let next = self.plain.iter().find(|batch| !gone(batch));
        if (self.more_free && excess > 0) || (self.more_plain && next.is_none()) {
            return plan.again();
        }
        plan.look_at = next.map(|batch| batch.at.saturating_add(self.retain));
        plan
    }
}

impl Plan {
    /// The first tasks of a batch go; `false` if that is too much for now.
    fn take(&mut self, batch: Batch, tasks: usize, left: &mut usize) -> bool {
        let going = tasks.min(*left);
        *left -= going;
        match () {
            () if going == batch.tasks && batch.single && going > 0 => self.singles.push(batch),
            () if going == batch.tasks => self.whole.push(batch),
            () if going > 0 => self.part = Some((batch, going)),
            () => {}
        }
        going == tasks
    }

    fn again(mut self) -> Self {
        self.look_at = Some(0);
        self
    }

    /// How many tasks go.
    pub fn tasks(&self) -> usize {
        let part = self.part.map_or(0, |(_, going)| going);
        self.whole.iter().chain(&self.singles).map(|batch| batch.tasks).sum::<usize>() + part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(first: i64, at: i64, tasks: usize) -> Batch {
        Batch { first, at, tasks, single: false }
    }

    fn single(first: i64, at: i64) -> Batch {
        Batch { single: true, ..batch(first, at, 1) }
    }

    /// A queue that keeps three for ten milliseconds.
    fn queue(plain: &[Batch], singles: &[Batch]) -> Queue {
        let mut free = [plain, singles].concat();
        free.sort_by_key(|batch| batch.first);
        let completed = free.iter().map(|batch| batch.tasks).sum::<usize>();
        Queue {
            retain: 10,
            most: 3,
            completed: i64::try_from(completed).unwrap(),
            plain: plain.to_vec(),
            free,
            ..Queue::default()
        }
    }

    #[test]
    fn what_is_old_goes_and_the_next_look_is_when_the_next_one_is() {
        let queue = queue(&[batch(1, 0, 1), batch(2, 5, 1)], &[]);
        assert_eq!(queue.plan(9, 99), Plan { look_at: Some(10), ..Plan::default() });
        let plan = queue.plan(10, 99);
        assert_eq!((plan.whole, plan.look_at), (vec![batch(1, 0, 1)], Some(15)));
        assert_eq!(queue.plan(15, 99).look_at, None);
    }

    #[test]
    fn what_is_too_much_goes_oldest_first_whether_it_is_alone_or_one_of_many() {
        let queue = queue(&[batch(1, 0, 2), batch(4, 0, 4)], &[single(3, 0), single(9, 0)]);
        let plan = queue.plan(0, 99);
        assert_eq!(plan.whole, [batch(1, 0, 2)]);
        assert_eq!(plan.singles, [single(3, 0)]);
        assert_eq!(plan.part, Some((batch(4, 0, 4), 2)));
        assert_eq!((plan.tasks(), plan.look_at), (5, Some(10)));
    }

    #[test]
    fn those_that_cannot_go_count() {
        let mut queue = queue(&[batch(5, 0, 2)], &[]);
        queue.completed += 2;
        let plan = queue.plan(0, 99);
        assert_eq!((plan.part, plan.look_at), (Some((batch(5, 0, 2), 1)), Some(10)));
        queue.completed += 9;
        assert_eq!(queue.plan(0, 99).whole, [batch(5, 0, 2)]);
    }

    #[test]
    fn those_that_went_by_time_do_not_count() {
        let queue = queue(&[batch(1, 0, 3), batch(2, 9, 3)], &[]);
        assert_eq!(queue.plan(10, 99).whole, [batch(1, 0, 3)]);
    }

    #[test]
    fn a_batch_that_came_in_below_the_mark_is_gone() {
        let queue = Queue { below: 9, ..queue(&[batch(1, 8, 1)], &[]) };
        assert_eq!(queue.plan(9, 99).whole, [batch(1, 8, 1)]);
    }

    #[test]
    fn a_budget_is_kept_and_the_rest_is_done_at_once() {
        let queue = queue(&[batch(1, 0, 3), batch(2, 0, 3), batch(3, 0, 3)], &[]);
        let plan = queue.plan(10, 4);
        assert_eq!(plan.whole, [batch(1, 0, 3)]);
        assert_eq!((plan.part, plan.look_at), (Some((batch(2, 0, 3), 1)), Some(0)));
        let plan = Queue { more_plain: true, ..queue.clone() }.plan(10, 99);
        assert_eq!((plan.tasks(), plan.look_at), (9, Some(0)));
        assert_eq!(queue.plan(10, 0).tasks(), 0);
    }
}

//! Whoever waits is served as soon as there is something for him.

use haulier_core::{Result, TaskId, Want, WorkerId};

use super::{Held, Runner, answer};
use crate::cost;
use crate::engine::{Command, Granted, Now};
use crate::error::Fatal;
use crate::inbox::{Answered, Reception};
use crate::waiters::Wish;

impl Runner {
    /// Tells everybody who waits what has happened.
    pub(super) fn serve(&mut self, now: Now) -> Result<(), Fatal> {
        let mut news = self.engine.take_news();
        news.ready.sort_unstable();
        news.ready.dedup();
        for queue in news.ready {
            // So many tasks are handed out at once, and no more.
            while self.engine.has_ready(queue) {
                let waiting = self.waiters.for_queue(queue);
                if !self.serve_leases(now, &waiting)? {
                    break;
                }
            }
        }
        for id in news.finished {
            for number in self.waiters.for_task(id) {
                self.serve_get(now, number)?;
            }
        }
        for worker in news.workers {
            self.serve_watch(&worker);
        }
        Ok(())
    }

    /// Whether anybody got anything.
    fn serve_leases(&mut self, now: Now, waiting: &[u64]) -> Result<bool, Fatal> {
        let mut wants: Vec<Want> = Vec::new();
        let mut owners: Vec<(u64, usize)> = Vec::new();
        for number in waiting {
            if let Some(Wish::Lease(its, _)) = self.waiters.get(*number).map(|it| &it.wish) {
                wants.extend(its.iter().cloned());
                owners.push((*number, its.len()));
            }
        }
        if wants.is_empty() {
            return Ok(false);
        }
        let bytes = cost::leases(wants.iter().map(|want| want.max), self.engine.task_count());
        if !self.log.reserve(bytes + 1_024)? {
            return Ok(false);
        }
        let mut got = false;
        let mut granted = self.engine.share(now, &wants, &mut self.log.tail).into_iter();
        for (number, count) in owners {
            let its: Vec<Vec<Granted>> = granted.by_ref().take(count).collect();
            if its.iter().any(|leases| !leases.is_empty())
                && let Some(waiter) = self.waiters.remove(number)
            {
                got = true;
                self.hold_leases(waiter.reply, its);
            }
        }
        Ok(got)
    }

    fn serve_get(&mut self, now: Now, number: u64) -> Result<(), Fatal> {
        let over = |ids: &[TaskId]| ids.iter().all(|id| self.engine.is_over(*id));
        match self.waiters.get(number).map(|waiter| &waiter.wish) {
            Some(Wish::Get(ids)) if over(ids) => {}
            _ => return Ok(()),
        }
        let waiter = self.waiters.remove(number);
        if let Some((Wish::Get(ids), reply)) = waiter.map(|waiter| (waiter.wish, waiter.reply)) {
            self.carry_out(now, Command::Get(ids), reply)?;
        }
        Ok(())
    }

    fn serve_watch(&mut self, worker: &WorkerId) {
        let waiting = self.waiters.for_worker(worker);
        if waiting.is_empty() {
            self.engine.note_worker_news(worker);
        }
        for number in waiting {
            if let Some(waiter) = self.waiters.remove(number) {
                answer(waiter.reply, Ok(Answered::Noted(true)));
            }
        }
    }

    /// Somebody has waited long enough.
    pub(super) fn answer_late(&mut self, now: Now, wish: Wish, reply: Reception) {
        match wish {
            Wish::Lease(wants, _) => {
                self.deliver(reply, wants.iter().map(|_| Vec::new()).collect());
            }
            Wish::Get(ids) => {
                let done = self.engine.apply(now, Command::Get(ids), &mut self.log.tail);
                let rests_on = self.log.tail.end();
                match done {
                    Ok(done) => self.hold(rests_on, Held::Reply(reply, done)),
                    Err(error) => answer(reply, Err(error)),
                }
            }
            Wish::Watch(_) => answer(reply, Ok(Answered::Noted(false))),
        }
    }
}

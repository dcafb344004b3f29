//! The reckoning: what was handed over, what the server recorded, what the workers recorded, and
//! what the files really are, compared. Pure; it knows no process and no clock.

use std::collections::{BTreeMap, BTreeSet};

use haulier_core::{DeadReason, Ended, Epoch, LeaseKey, State, TaskId, TaskView};
use serde::Serialize;

/// What the run came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Account {
    /// Files whose digest was asked for.
    pub files: u64,
    /// Their bytes, as the workers read them.
    pub bytes: u64,
    /// Leases that were granted.
    pub deliveries: u64,
    /// Leases that ran out because their worker was gone.
    pub losses: u64,
    /// Completions that the server accepted.
    pub completions: u64,
    /// Completions that came after their lease had run out and were still accepted.
    pub late: u64,
    /// Files that somebody changed or removed while the quickstart ran: nobody's fault.
    pub changed: u64,
    /// Tasks with more than one accepted completion, by the server's or the workers' records.
    pub accepted_twice: u64,
    /// Tasks that the server does not know, that did not end, or whose completion one record lacks.
    pub missing: u64,
    /// Digests that differ from our own.
    pub mismatches: u64,
}

impl Account {
    /// Whether everything that was promised was kept.
    pub fn holds(&self) -> bool {
        self.accepted_twice == 0 && self.missing == 0 && self.mismatches == 0
    }
}

/// What a worker returns for a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Digested {
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Bytes that were read.
    pub bytes: u64,
}

/// Our own pass over a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Own {
    /// It is as it was; this is its digest.
    Same(String),
    /// It was changed or removed since the work was handed over.
    Changed,
}

/// Reckons. `views` are the server's answers for `ids`, in the same order as `own`; `ledgers` are
/// all completions that the workers say were accepted from them.
pub fn reckon(
    ids: &[TaskId],
    views: &[Option<TaskView>],
    own: &[Own],
    ledgers: &[LeaseKey],
) -> Account {
    let mut epochs: BTreeMap<TaskId, BTreeSet<Epoch>> = BTreeMap::new();
    for key in ledgers {
        epochs.entry(key.task).or_default().insert(key.epoch);
    }
    let mut account = Account { files: ids.len() as u64, ..Account::default() };
    for ((id, view), own) in ids.iter().zip(views).zip(own) {
        match view {
            Some(view) => take(&mut account, view, own, &epochs.remove(id).unwrap_or_default()),
            None => account.missing += 1,
        }
    }
    // Completions of tasks that nobody handed over: no file stands for them.
    account.mismatches += epochs.len() as u64;
    account
}

fn take(account: &mut Account, view: &TaskView, own: &Own, witnessed: &BTreeSet<Epoch>) {
    let ended = |how| view.deliveries.iter().filter(move |delivery| delivery.ended == Some(how));
    let recorded: BTreeSet<Epoch> = ended(Ended::Complete).map(|delivery| delivery.epoch).collect();
    account.deliveries += view.deliveries.len() as u64;
    account.losses += ended(Ended::Lost).count() as u64;
    account.completions += recorded.len() as u64;
    account.late += ended(Ended::Complete).filter(|delivery| delivery.late).count() as u64;
    // A worker that was killed between the server's answer and its ledger lacks a line; it never
    // has one that the server lacks.
    if recorded.union(witnessed).count() > 1 {
        account.accepted_twice += 1;
    }
    let rejected = view.standing.reason == Some(DeadReason::Rejected);
    match (view.state(), own) {
        (State::Completed, _) if recorded.is_empty() => account.missing += 1,
        (State::Completed, own) => compare(account, view, own),
        // The file was gone when a worker looked, and still is.
        (State::Dead, Own::Changed) if rejected => account.changed += 1,
        _ => account.missing += 1,
    }
}

fn compare(account: &mut Account, view: &TaskView, own: &Own) {
    let result = view.result.as_ref().map(|result| &result.bytes[..]).unwrap_or_default();
    match (serde_json::from_slice::<Digested>(result), own) {
        (Ok(theirs), own) => {
            account.bytes += theirs.bytes;
            match own {
                Own::Same(ours) if *ours == theirs.sha256 => {}
                Own::Same(_) => account.mismatches += 1,
                Own::Changed => account.changed += 1,
            }
        }
        (Err(_), _) => account.missing += 1,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use haulier_core::{
        Delivery, Kind, NewTask, Payload, SeededEntropy, Standing, SystemClock, Timestamp, WorkerId,
    };

    use super::*;

    const DIGEST: &str = "ba78";

    fn view(ended: &[Ended]) -> TaskView {
        let id = TaskId::generate(&SystemClock::new(), &SeededEntropy::from_u64(1));
        let task = NewTask::new(id, Kind::new("k").unwrap(), Payload::json("{}")).task;
        let delivery = |(at, ended): (usize, &Ended)| Delivery {
            epoch: Epoch(at as u64 + 1),
            attempt: 1,
            worker: WorkerId::new("w").unwrap(),
            leased_at: Timestamp(0),
            ended_at: None,
            ended: Some(*ended),
            failure: None,
            late: false,
        };
        let result = format!("{{\"sha256\":\"{DIGEST}\",\"bytes\":3}}");
        TaskView {
            task: Arc::new(task),
            standing: Standing { state: State::Completed, ..Standing::new(true) },
            epoch: Epoch(1),
            enqueued_at: Timestamp(0),
            due_at: Timestamp(0),
            finished_at: None,
            unique: None,
            lease: None,
            progress: None,
            checkpoints: Vec::new(),
            result: Some(Payload::json(result)),
            deliveries: ended.iter().enumerate().map(delivery).collect(),
        }
    }

    fn reckon_one(view: Option<TaskView>, own: Own, epochs: &[u64]) -> Account {
        let id = view.as_ref().map_or(TaskId::from_bytes([0; 16]), |view| view.task.id);
        let keys: Vec<_> =
            epochs.iter().map(|epoch| LeaseKey { task: id, epoch: Epoch(*epoch) }).collect();
        reckon(&[id], &[view], &[own], &keys)
    }

    fn same() -> Own {
        Own::Same(DIGEST.to_owned())
    }

    #[test]
    fn a_task_that_was_lost_once_and_completed_once_holds() {
        let account = reckon_one(Some(view(&[Ended::Lost, Ended::Complete])), same(), &[2]);
        let expected = Account {
            files: 1,
            bytes: 3,
            deliveries: 2,
            losses: 1,
            completions: 1,
            ..Account::default()
        };
        assert_eq!(account, expected);
        assert!(account.holds());
    }

    #[test]
    fn a_second_completion_in_either_record_is_found() {
        let twice = reckon_one(Some(view(&[Ended::Complete, Ended::Complete])), same(), &[]);
        assert_eq!(twice.accepted_twice, 1);
        let only_in_a_ledger = reckon_one(Some(view(&[Ended::Complete])), same(), &[1, 9]);
        assert_eq!(only_in_a_ledger.accepted_twice, 1);
        let repeated = reckon_one(Some(view(&[Ended::Complete])), same(), &[1, 1]);
        assert!(repeated.holds(), "the same answer heard twice is one completion");
    }

    #[test]
    fn a_task_that_is_unknown_or_did_not_end_is_missing() {
        assert_eq!(reckon_one(None, same(), &[]).missing, 1);
        assert_eq!(reckon_one(Some(view(&[Ended::Lost])), same(), &[]).missing, 1);
        let mut running = view(&[]);
        running.standing.state = State::Running;
        assert_eq!(reckon_one(Some(running), same(), &[]).missing, 1);
    }

    #[test]
    fn another_digest_is_a_mismatch_unless_the_file_was_changed() {
        let other = Own::Same("ffff".to_owned());
        assert_eq!(reckon_one(Some(view(&[Ended::Complete])), other, &[1]).mismatches, 1);
        let changed = reckon_one(Some(view(&[Ended::Complete])), Own::Changed, &[1]);
        assert!(changed.holds());
        assert_eq!(changed.changed, 1);
    }

    #[test]
    fn a_completion_of_a_task_that_nobody_handed_over_is_found() {
        let stranger = LeaseKey { task: TaskId::from_bytes([7; 16]), epoch: Epoch(1) };
        assert!(!reckon(&[], &[], &[], &[stranger]).holds());
    }
}

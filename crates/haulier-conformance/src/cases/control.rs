//! Operators: doing again, forgetting.

use bytes::Bytes;
use haulier_core::{
    Beat, Changed, Checkpoint, Code, Ended, LeaseBeat, Outcome, Payload, Progress, Start, State,
};

use crate::Rig;
use crate::prelude::*;

/// I7: a new generation, whose epochs go on rising.
pub async fn a_rerun_task_has_all_its_attempts_again(rig: &mut impl Rig) {
    let id = put(rig, task_with(|task| task.policy.max_attempts = 1)).await;
    let first = take_one(rig).await;
    settle(rig, first.key, fail(None)).await;
    assert_eq!(rerun(rig, id).await, Changed::Done(State::Available));
    let again = view(rig, id).await;
    assert_eq!((again.standing.attempt, again.standing.losses), (0, 0));
    assert_eq!((again.standing.reason, again.finished_at), (None, None));
    assert_eq!(again.deliveries[0].ended, Some(Ended::Fail), "what happened stays on record");
    let second = take_one(rig).await;
    assert!(second.key.epoch > first.key.epoch);
    assert_eq!((second.attempt, second.losses), (1, 0));
    assert_eq!(settle(rig, second.key, COMPLETE).await, applied(State::Completed));
}

/// I7: from each final state, and from no other.
pub async fn only_final_tasks_are_rerun(rig: &mut impl Rig) {
    let completed = put_completed(rig, task()).await;
    let cancelled = put(rig, task()).await;
    cancel(rig, cancelled).await;
    let available = put(rig, task()).await;
    let scheduled = put(rig, task_with(|task| task.start = Start::After(SECOND))).await;
    let running = take_one(rig).await.key.task;
    assert_eq!(running, available);
    let asked = vec![running, completed, new_id(), scheduled, cancelled];
    let answers = rig.control().rerun(asked).await.must();
    assert_eq!(refused_change(answers[0].clone()), Code::Final);
    assert_eq!(answers[1], Changed::Done(State::Available));
    assert_eq!(answers[2], Changed::NotFound);
    assert_eq!(refused_change(answers[3].clone()), Code::Final);
    assert_eq!(answers[4], Changed::Done(State::Available));
    assert_eq!(ids(&take(rig, 9).await), [completed, cancelled]);
}

/// Everything is done again: no step counts as done.
pub async fn a_rerun_forgets_result_progress_and_checkpoints(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let held = take_one(rig).await;
    let said = LeaseBeat {
        key: held.key,
        progress: Some(Progress { fraction: 0.5, note: "half".into() }),
        checkpoints: vec![Checkpoint { name: "charge".into(), value: Bytes::from_static(b"1") }],
    };
    let beat = Beat { worker: worker("w"), about: None, ttl: TTL, leases: vec![said] };
    rig.queue().beat(vec![beat]).await.must();
    let outcome = Outcome::Complete { result: Some(Payload::json("1")) };
    settle(rig, held.key, outcome).await;
    assert_eq!(view(rig, id).await.checkpoints.len(), 1);
    rerun(rig, id).await;
    for _ in 0..2 {
        let again = view(rig, id).await;
        assert!(again.result.is_none() && again.progress.is_none());
        assert!(again.checkpoints.is_empty());
        rig.reopen().await;
    }
    assert!(take_one(rig).await.checkpoints.is_empty());
}

/// Whoever is done again waits for its turn again.
pub async fn a_rerun_task_stands_at_the_end_of_its_line(rig: &mut impl Rig) {
    let first = put_completed(rig, task()).await;
    let second = put(rig, task()).await;
    rig.elapse(SECOND).await;
    rerun(rig, first).await;
    let again = view(rig, first).await;
    assert_eq!(again.due_at, again.enqueued_at.after(SECOND));
    assert_eq!(ids(&take(rig, 9).await), [second, first]);
}

/// A task is deleted in any state but running, and answers with the state it had.
pub async fn any_task_that_does_not_run_is_deleted(rig: &mut impl Rig) {
    let completed = put_completed(rig, task()).await;
    let running = put(rig, task()).await;
    let held = take_one(rig).await;
    let scheduled = put(rig, task_with(|task| task.start = Start::After(SECOND))).await;
    let available = put(rig, task()).await;
    let asked = vec![running, completed, scheduled, available, new_id(), available];
    let answers = rig.control().delete(asked).await.must();
    assert_eq!(refused_change(answers[0].clone()), Code::Final);
    assert_eq!(answers[1], Changed::Done(State::Completed));
    assert_eq!(answers[2], Changed::Done(State::Scheduled));
    assert_eq!(answers[3], Changed::Done(State::Available));
    assert_eq!(answers[4..], [Changed::NotFound, Changed::NotFound]);
    rig.elapse(SECOND).await;
    assert!(take(rig, 9).await.is_empty());
    for id in [completed, scheduled, available] {
        assert!(find(rig, id).await.is_none());
    }
    assert_eq!(settle(rig, held.key, COMPLETE).await, applied(State::Completed));
}

/// I7: what was forgotten does not rise from the dead.
pub async fn a_deleted_task_stays_away_after_reopening(rig: &mut impl Rig) {
    let gone = put(rig, task()).await;
    let kept = put(rig, task()).await;
    delete(rig, gone).await;
    rig.reopen().await;
    rig.reopen().await;
    assert!(find(rig, gone).await.is_none());
    assert_eq!(ids(&take(rig, 9).await), [kept]);
}

//! Input that breaks a rule is refused with the path of its field.

use haulier_core::{Code, Error};
use haulier_wire::settle::Ending;
use haulier_wire::{beat, control, enqueue, inspect, lease, pb, settle, task};

fn task() -> pb::Task {
    pb::Task { id: vec![1; 16].into(), kind: "k".into(), ..pb::Task::default() }
}

/// The field that is wrong with a task after a change.
fn wrong(change: impl FnOnce(&mut pb::NewTask)) -> String {
    let mut new = pb::NewTask { task: Some(task()), ..pb::NewTask::default() };
    change(&mut new);
    let good = pb::NewTask { task: Some(task()), ..pb::NewTask::default() };
    let request = pb::EnqueueRequest { tasks: vec![good, new] };
    field(&enqueue::decode_tasks(request).unwrap_err())
}

fn field(error: &Error) -> String {
    assert_eq!(error.code(), Code::Invalid);
    error.fields()[0].field.clone()
}

#[test]
fn a_wrong_field_of_a_task_is_named_with_its_index() {
    assert_eq!(wrong(|new| new.task = None), "tasks[1].task");
    let change = |change: fn(&mut pb::Task)| wrong(|new| change(new.task.as_mut().unwrap()));
    assert_eq!(change(|task| task.id = vec![1; 15].into()), "tasks[1].task.id");
    assert_eq!(change(|task| task.id = vec![1; 17].into()), "tasks[1].task.id");
    assert_eq!(change(|task| task.kind = bytes::Bytes::new()), "tasks[1].task.kind");
    assert_eq!(change(|task| task.queue = "a/b".into()), "tasks[1].task.queue");
    let garbled = bytes::Bytes::from_static(b"\xff");
    assert_eq!(wrong(|new| new.task.as_mut().unwrap().kind = garbled), "tasks[1].task.kind");
    assert_eq!(change(|task| task.priority = Some(10)), "tasks[1].task.priority");
    assert_eq!(change(|task| task.priority = Some(260)), "tasks[1].task.priority");
    let unique = pb::Unique { until: 9, ..pb::Unique::default() };
    assert_eq!(wrong(|new| new.unique = Some(unique)), "tasks[1].unique.until");
}

#[test]
fn a_wrong_field_of_a_settlement_is_named_with_its_index() {
    let end = |outcome| pb::Settlement { task: vec![1; 16].into(), epoch: 1, outcome };
    let wrong = |end| field(&settle::decode_settlements(vec![end]).unwrap_err());
    assert_eq!(wrong(end(None)), "settlements[0].outcome");
    assert_eq!(wrong(pb::Settlement::default()), "settlements[0].task");
    let failure = pb::Failure { cause: 17, ..pb::Failure::default() };
    let reject = pb::settlement::Outcome::Reject(pb::Reject { failure: Some(failure) });
    assert_eq!(wrong(end(Some(reject))), "settlements[0].failure.cause");
}

#[test]
fn a_failure_without_a_decision_is_left_to_the_server() {
    let fail = pb::Fail { failure: Some(pb::Failure::default()), decision: None };
    let end = pb::Settlement {
        task: vec![1; 16].into(),
        epoch: 1,
        outcome: Some(pb::settlement::Outcome::Fail(fail)),
    };
    let ends = settle::decode_settlements(vec![end]).unwrap();
    assert!(matches!(ends[..], [Ending::Undecided { .. }]));
}

#[test]
fn a_beat_may_not_speak_for_another_worker() {
    let own = lease::decode_worker("w-1").unwrap();
    let beat = |name: &str| Some(pb::Beat { worker: name.to_owned(), ..pb::Beat::default() });
    assert_eq!(beat::decode_own_beat(beat(""), &own).unwrap().worker, own);
    assert_eq!(beat::decode_own_beat(beat("w-1"), &own).unwrap().worker, own);
    assert_eq!(field(&beat::decode_own_beat(beat("w-2"), &own).unwrap_err()), "beat.worker");
}

#[test]
fn ids_filters_settings_and_directives_are_checked() {
    assert_eq!(field(&task::decode_ids(vec![vec![1; 3].into()]).unwrap_err()), "ids[0].id");
    let list = pb::ListRequest { filter: "colour:red".to_owned(), ..pb::ListRequest::default() };
    assert_eq!(field(&inspect::decode_list(list).unwrap_err()), "filter");
    let limit = Some(pb::Limit { max: Some(1 << 32) });
    let patch = pb::SettingsPatch { concurrency: limit, ..pb::SettingsPatch::default() };
    let configure = pb::ConfigureRequest { queue: "q".to_owned(), patch: Some(patch) };
    let error = control::decode_configure(configure).unwrap_err();
    assert_eq!(field(&error), "patch.concurrency.max");
    assert_eq!(field(&beat::decode_directive(0).unwrap_err()), "directive");
}

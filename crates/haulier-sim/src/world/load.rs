//! What producers and operators ask. A call that may have been carried out is repeated with the
//! same ids, as clients do; some are repeated although they were answered.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{
    Backoff, Clock, Code, Control, Enqueued, Error, Kind, NewTask, OnConflict, Payload, Priority,
    Queue, QueueName, Result, SettingsPatch, Start, TaskId, Unique, Until,
};
use tokio::task::JoinHandle;

use super::dice::Dice;
use super::{Node, World};
use crate::recorded::Recorded;

/// The queues of every world. The last one has limits, sometimes.
pub const QUEUES: [&str; 3] = ["q0", "q1", "q2"];

/// How often a call is repeated before its caller gives up.
const TRIES_MAX: usize = 12;
const DAY: Duration = Duration::from_hours(24);

/// Starts everybody who asks.
pub fn begin(world: &Arc<World>) -> Vec<JoinHandle<()>> {
    let dice = Dice::new(world.seed, "load");
    let mut parts = Vec::new();
    for number in 1..=dice.within(1, 3) {
        parts.push(tokio::spawn(produce(Arc::clone(world), world.node(&format!("p{number}")))));
    }
    parts.push(tokio::spawn(operate(Arc::clone(world), world.node("o1"))));
    parts
}

async fn produce(world: Arc<World>, node: Node) {
    let queue = Recorded::new(&node.name, world.recorder.clone(), Arc::new(node.net.clone()));
    for _ in 0..node.dice.within(5, 25) {
        node.clock.sleep(node.dice.span(0, 1_500)).await;
        let tasks: Vec<NewTask> =
            (0..node.dice.within(1, 4)).filter_map(|_| task(&node).ok()).collect();
        world.add(tasks.iter().map(|task| task.id));
        hand_over(&node, &queue, tasks.clone()).await;
        if node.dice.permille(100) {
            node.clock.sleep(node.dice.span(0, 2_000)).await;
            hand_over(&node, &queue, tasks.clone()).await;
        }
        if node.dice.permille(50) {
            let other = tasks.into_iter().map(|mut task| {
                task.task.payload = Payload::json("\"other work\"");
                task
            });
            hand_over(&node, &queue, other.collect()).await;
        }
    }
}

/// Hands tasks over until the store has said yes or no to each.
async fn hand_over(node: &Node, queue: &dyn Queue, mut tasks: Vec<NewTask>) {
    for _ in 0..TRIES_MAX {
        if tasks.is_empty() {
            return;
        }
        match queue.enqueue(tasks.clone()).await {
            Ok(answers) => {
                let mut answers = answers.iter();
                tasks.retain(|_| answers.next().is_some_and(is_for_later));
            }
            Err(error) if error.is_retryable() => {}
            Err(error) => panic!("{}: {error}", node.name),
        }
        node.clock.sleep(node.dice.span(50, 1_000)).await;
    }
}

fn is_for_later(answer: &Enqueued) -> bool {
    matches!(answer, Enqueued::Refused(refusal) if refusal.code.is_retryable())
}

fn task(node: &Node) -> Result<NewTask> {
    let dice = &node.dice;
    let id = TaskId::generate(&*node.clock, &**dice);
    let kind = Kind::new(dice.one_of(&["mail", "video", "index"]).unwrap_or(&"mail"))?;
    let size = if dice.permille(30) { 20_000 } else { 40 };
    let text = format!("\"{}\"", "x".repeat(usize::try_from(dice.within(0, size)).unwrap_or(0)));
    let mut task = NewTask::new(id, kind, Payload::json(text));
    task.queue = QueueName::new(dice.one_of(&QUEUES).unwrap_or(&"q0"))?;
    if dice.permille(300) {
        task.priority = Priority::new(u8::try_from(dice.within(0, 9)).unwrap_or(4))?;
    }
    let policy = &mut task.task.policy;
    policy.max_attempts = u32::try_from(dice.within(1, 4)).unwrap_or(1);
    policy.timeout = dice.span(2_000, 8_000);
    policy.retain = Some(DAY * 30);
    policy.backoff = Backoff {
        base: dice.span(50, 1_000),
        max: Duration::from_secs(4),
        factor_permille: 2_000,
        jitter_permille: 200,
    };
    if dice.permille(250) {
        task.start = Start::After(Duration::from_millis(dice.within(1, 12_000)));
    }
    if dice.permille(50) {
        task.task.expires_in = Some(dice.span(500, 20_000));
    }
    if dice.permille(150) {
        let mut unique = Unique::new(format!("u{}", dice.within(1, 4)));
        unique.window = if dice.permille(500) { dice.span(0, 8_000) } else { Duration::ZERO };
        unique.until = if dice.permille(300) { Until::Start } else { Until::Finish };
        let conflicts = [OnConflict::Return, OnConflict::Reject, OnConflict::Replace];
        unique.on_conflict = dice.one_of(&conflicts).copied().unwrap_or_default();
        task.unique = Some(unique);
    }
    Ok(task)
}

async fn operate(world: Arc<World>, node: Node) {
    let net = Arc::new(node.net.clone());
    let control = Recorded::new(&node.name, world.recorder.clone(), net);
    for _ in 0..node.dice.within(0, 60) {
        node.clock.sleep(node.dice.span(0, 1_000)).await;
        let ids = world.ids();
        // What was handed over lately is what still goes on.
        let lately = &ids[ids.len().saturating_sub(20)..];
        let Some(id) = node.dice.one_of(if node.dice.permille(700) { lately } else { &ids }) else {
            continue;
        };
        let ids = vec![*id];
        // What an operator is told is written down; he does not insist.
        let _recorded = match node.dice.within(0, 99) {
            0..45 => control.cancel(ids).await.is_ok(),
            45..70 => control.rerun(ids).await.is_ok(),
            70..74 => control.delete(ids).await.is_ok(),
            74..82 => control.get(ids).await.is_ok(),
            82..91 => pause(&node, &control).await.is_ok(),
            _ => limit(&node, &control).await.is_ok(),
        };
    }
}

async fn pause(node: &Node, control: &Recorded<super::Net>) -> Result<()> {
    let queue = QueueName::new(node.dice.one_of(&QUEUES).unwrap_or(&"q0"))?;
    let paused = |paused| SettingsPatch { paused: Some(paused), ..SettingsPatch::default() };
    control.configure(queue.clone(), paused(true)).await?;
    node.clock.sleep(node.dice.span(0, 3_000)).await;
    control.configure(queue, paused(false)).await.map(drop)
}

async fn limit(node: &Node, control: &Recorded<super::Net>) -> Result<()> {
    let queue = QueueName::new(QUEUES[2])?;
    let limited = node.dice.permille(600);
    let patch = SettingsPatch {
        concurrency: Some(limited.then_some(1)),
        max_tasks: Some(limited.then_some(8)),
        ..SettingsPatch::default()
    };
    control.configure(queue, patch).await.map(drop)
}

/// Opens every queue, so that everything can be finished. A store that goes down at this moment is
/// asked again.
pub async fn reopen_queues(world: &World) {
    for name in QUEUES {
        let patch = SettingsPatch {
            paused: Some(false),
            concurrency: Some(None),
            max_tasks: Some(None),
            ..SettingsPatch::default()
        };
        let opened = async || {
            let queue = QueueName::new(name)?;
            let away = || Error::new(Code::Unavailable, "the store is down");
            let store: Arc<dyn Control> = world.port.store().ok_or_else(away)?;
            let control = Recorded::new("o0", world.recorder.clone(), store);
            control.configure(queue, patch.clone()).await
        };
        for second in 1.. {
            let Err(why) = opened().await else { break };
            assert!(why.is_retryable() && second < 30, "{name} cannot be opened: {why}");
            world.clock.sleep(Duration::from_secs(1)).await;
        }
    }
}

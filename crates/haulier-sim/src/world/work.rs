//! The workers: real run loops on clocks and ways of their own, with handlers that do anything that
//! handlers do. One that is killed goes without a word, and comes back as another incarnation.

use std::sync::Arc;
use std::time::Duration;

use haulier::{Ctx, Link, Raw, TaskError, Worker};
use haulier_core::{Clock, Payload, WorkerId};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::dice::Dice;
use super::load::QUEUES;
use super::{Node, World};
use crate::history::{Fault, Key, Recorder};
use crate::recorded::{Recorded, Running};

/// What workers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Work,
    Die,
    Stop,
}

/// One worker, as faults strike it.
#[derive(Debug)]
pub struct Hand {
    /// What it is.
    pub node: Node,
    /// How long its leases last.
    pub ttl: Duration,
    word: watch::Sender<Word>,
    work: JoinHandle<()>,
}

/// All workers.
#[derive(Debug)]
pub struct Crew(Vec<Hand>);

impl Crew {
    /// Starts the workers of a world.
    pub fn hire(world: &Arc<World>) -> Self {
        let dice = Dice::new(world.seed, "crew");
        let hands = (1..=dice.within(1, 3)).map(|number| {
            let node = world.node(&format!("w{number}"));
            let ttl = dice.one_of(&[1, 2, 3, 5]).map_or(3, |seconds| *seconds);
            let ttl = Duration::from_secs(ttl);
            let (word, told) = watch::channel(Word::Work);
            let life = live(node.clone(), ttl, world.recorder.clone(), told);
            Hand { node, ttl, word, work: tokio::spawn(life) }
        });
        Self(hands.collect())
    }

    /// One that a fault strikes.
    pub fn any(&self, dice: &Dice) -> Option<&Hand> {
        dice.one_of(&self.0)
    }

    /// Has all of them end in good order.
    pub async fn dismiss(self) {
        for hand in &self.0 {
            hand.word.send_replace(Word::Stop);
        }
        for hand in self.0 {
            hand.work.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        }
    }
}

impl Hand {
    /// Kills it, for a while.
    pub async fn die(&self, clock: &dyn Clock, span: Duration) {
        self.word.send_if_modified(|word| {
            let lives = *word == Word::Work;
            if lives {
                *word = Word::Die;
            }
            lives
        });
        clock.sleep(span).await;
        self.word.send_if_modified(|word| {
            let dead = *word == Word::Die;
            if dead {
                *word = Word::Work;
            }
            dead
        });
    }
}

async fn live(node: Node, ttl: Duration, recorder: Recorder, mut told: watch::Receiver<Word>) {
    for incarnation in 1.. {
        let worker = worker(&node, incarnation, ttl, &recorder);
        let mut stop = told.clone();
        let stop = async move {
            // The crew lives as long as its workers.
            let _stop = stop.wait_for(|word| *word == Word::Stop).await.is_ok();
        };
        tokio::select! {
            biased;
            _dies = told.wait_for(|word| *word == Word::Die) => {}
            ended = worker.run_until(stop) => {
                assert!(ended.is_ok(), "{} ended: {ended:?}", node.name);
                return;
            }
        }
        recorder.fault(&node.name, Fault::Crash);
        let next = told.wait_for(|word| *word != Word::Die).await;
        let word = next.map_or(Word::Stop, |word| *word);
        recorder.heal(&node.name, Fault::Crash);
        if word == Word::Stop {
            return;
        }
    }
}

fn worker(node: &Node, incarnation: u32, ttl: Duration, recorder: &Recorder) -> Worker {
    let id = WorkerId::new(format!("{}-{incarnation}", node.name)).ok();
    let net = id.map_or_else(|| node.net.clone(), |id| node.net.of_worker(id));
    let link = Link {
        queue: Arc::new(Recorded::new(&node.name, recorder.clone(), Arc::new(net))),
        clock: node.clock.clone(),
        entropy: node.dice.clone(),
    };
    let (name, recorder, dice) = (Arc::clone(&node.name), recorder.clone(), Arc::clone(&node.dice));
    let handler = move |_: Raw, ctx: Ctx| {
        let running = Running::begin(&name, &recorder, Key::from(ctx.key()));
        let dice = Arc::clone(&dice);
        async move {
            let ended = handle(&ctx, &dice).await;
            drop(running);
            ended
        }
    };
    let slots = u32::try_from(node.dice.within(1, 6)).unwrap_or(1);
    let worker = Worker::new(link).name(&*node.name).concurrency(slots).ttl(ttl);
    let worker = QUEUES.iter().fold(worker, Worker::queue);
    worker.register_raw(None, handler)
}

/// What a handler does: it takes its time, and then ends in one of all ways.
async fn handle(ctx: &Ctx, dice: &Dice) -> Result<Option<Payload>, TaskError> {
    let long = dice.permille(150);
    let span = if long { dice.span(500, 7_000) } else { dice.span(0, 300) };
    if dice.permille(100) {
        ctx.step("first", async { Ok::<_, TaskError>(1) }).await?;
    }
    if dice.permille(100) {
        ctx.progress(0.5, "half").await?;
    }
    if dice.permille(500) {
        tokio::select! {
            biased;
            () = ctx.cancelled() => return Err(TaskError::cancelled()),
            () = ctx.clock().sleep(span) => {}
        }
    } else {
        ctx.clock().sleep(span).await;
    }
    match dice.within(0, 99) {
        0..70 => Ok(Some(Payload::json("1"))),
        70..85 => Err(TaskError::fail("it failed")),
        85..89 => Err(TaskError::reject("it never will")),
        89..95 => Err(TaskError::snooze(dice.span(0, 3_000))),
        _ => Err(TaskError::release()),
    }
}

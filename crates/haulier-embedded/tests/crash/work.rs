//! A little of everything, in an order that never changes: what a crash may interrupt.

use std::time::Duration;

use haulier_conformance::prelude::Must;
use haulier_core::{
    Clock, Control, Enqueued, Failure, Include, Inspect, Kind, Lease, Maintain, NewTask, Outcome,
    Payload, Queue, QueueName, Result, SettingsPatch, Settlement, Start, TaskId, Unique, Want,
    WorkerId,
};
use haulier_embedded::disk::SimDisk;

use crate::ledger::{Ledger, Said, cancel, delete};
use crate::machine::{Machine, Pending};

const ROUNDS: u64 = 12;

pub fn id(number: u64) -> TaskId {
    let mut bytes = [7; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TaskId::from_bytes(bytes)
}

pub fn task(number: u64, bytes: usize) -> NewTask {
    let fill = u8::try_from(number % 251).must();
    let payload = Payload::new(vec![fill; bytes], Payload::BINARY);
    let mut task = NewTask::new(id(number), Kind::new("work").must(), payload);
    task.task.policy.max_attempts = 5;
    task
}

fn within(mut task: NewTask, queue: &str) -> NewTask {
    task.task.queue = QueueName::new(queue).must();
    task
}

/// Asks for tasks, each in a call of its own and all at the same time, while somebody looks.
pub fn put(machine: &mut Machine, ledger: &mut Ledger, tasks: Vec<NewTask>) -> Result<()> {
    let now = machine.clock.monotonic();
    for task in &tasks {
        ledger.asks(task, now);
    }
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.task.id).collect();
    let mut calls: Vec<Pending<Heard>> = Vec::new();
    for task in tasks {
        let store = machine.store.clone();
        calls.push(Box::pin(async move {
            store.enqueue(vec![task]).await.map(|mut answers| Heard::Answer(answers.remove(0)))
        }));
    }
    let (store, looked) = (machine.store.clone(), ids.clone());
    calls.push(Box::pin(async move {
        let views = store.get(looked, Include::default(), Duration::ZERO).await?;
        Ok(Heard::Seen(views.into_iter().flatten().map(|view| view.task.id).collect()))
    }));
    let heard = machine.all(calls);
    let mut failed = Ok(());
    for (at, one) in heard.into_iter().enumerate() {
        match one {
            Ok(Heard::Answer(answer)) => ledger.answered(ids[at], &answer),
            Ok(Heard::Seen(seen)) => seen.iter().for_each(|id| ledger.entry(*id).seen = true),
            Err(error) => failed = Err(error),
        }
    }
    failed
}

enum Heard {
    Answer(Enqueued),
    Seen(Vec<TaskId>),
}

fn settle(
    machine: &mut Machine,
    ledger: &mut Ledger,
    lease: &Lease,
    outcome: Outcome,
) -> Result<()> {
    let key = lease.key;
    for outcome in [outcome, Outcome::Release] {
        // The second time changes nothing.
        let end = Settlement { key, outcome };
        let answer = machine.call(|store| async move { store.settle(vec![end]).await })?;
        if let Some((_, before)) = ledger.entry(key.task).settled.iter().find(|(it, _)| *it == key)
        {
            assert_eq!(answer[0], *before, "I8: {key:?}");
        } else {
            ledger.settled(key, &answer[0]);
        }
    }
    Ok(())
}

fn outcome(number: u64, lease: &Lease) -> Outcome {
    let failure = || Failure::new(haulier_core::Cause::Error, "the handler says no");
    match number % 9 {
        3 => Outcome::Fail { failure: failure(), retry_in: Some(Duration::from_millis(20)) },
        5 => Outcome::Release,
        6 => Outcome::Snooze { delay: Duration::from_millis(15) },
        7 => Outcome::Reject { failure: failure() },
        _ => Outcome::Complete { result: Some(lease.task.payload.clone()) },
    }
}

fn take(machine: &mut Machine, ledger: &mut Ledger, queue: &str, max: u32) -> Result<Vec<Lease>> {
    let want = Want::new(WorkerId::new("w").must(), QueueName::new(queue).must(), max);
    let leases =
        machine.call(|store| async move { store.lease(vec![want], Duration::ZERO).await })?;
    let now = machine.clock.monotonic();
    Ok(leases.into_iter().flatten().inspect(|lease| ledger.leased(lease, now)).collect())
}

/// The whole of it, until the disk says no.
pub fn work(machine: &mut Machine, disk: &SimDisk, ledger: &mut Ledger) -> Result<()> {
    let small = QueueName::new("small").must();
    let patch = SettingsPatch { max_tasks: Some(Some(1)), ..SettingsPatch::default() };
    machine.call(|store| async move { store.configure(small, patch).await })?;
    for round in 0..ROUNDS {
        let base = round * 100;
        let mut tasks: Vec<NewTask> = (0..4).map(|one| task(base + one, 1_500)).collect();
        let mut later = task(base + 10, 200);
        later.start = Start::After(Duration::from_millis(25));
        tasks.push(later);
        for one in 20..22 {
            let mut keyed = within(task(base + one, 100), "keys");
            keyed.unique = Some(Unique::new(format!("key-{round}")));
            tasks.push(keyed);
        }
        tasks.push(within(task(base + 30, 300), "small"));
        if round == 3 {
            tasks.push(task(base + 40, 20_000));
        }
        put(machine, ledger, tasks)?;
        let number = |lease: &Lease| {
            let bytes = lease.key.task.to_bytes();
            u64::from(bytes[15]) + round
        };
        for lease in take(machine, ledger, "default", 5)? {
            let outcome = outcome(number(&lease), &lease);
            settle(machine, ledger, &lease, outcome)?;
        }
        if round % 4 == 1 {
            take(machine, ledger, "keys", 1)?;
        }
        cancel(machine, ledger, id(base + 3))?;
        tidy(machine, ledger, round)?;
        if round == 6 {
            fill(machine, disk, ledger)?;
        }
        machine.pass(Duration::from_millis(10));
        machine.call(|store| async move { store.sweep(100).await })?;
    }
    machine.call(|store| async move { store.close().await })
}

/// Deletes what is over, but for a little.
fn tidy(machine: &mut Machine, ledger: &mut Ledger, round: u64) -> Result<()> {
    let over: Vec<TaskId> = ledger
        .tasks
        .iter()
        .filter(|(_, entry)| entry.over.is_some() && !entry.deleting)
        .map(|(id, _)| *id)
        .collect();
    for id in over.into_iter().skip(usize::from(round.is_multiple_of(3))).take(4) {
        delete(machine, ledger, id)?;
    }
    Ok(())
}

/// The disk is full for a while.
fn fill(machine: &mut Machine, disk: &SimDisk, ledger: &mut Ledger) -> Result<()> {
    disk.set_bytes_max(Some(disk.reserved()));
    for number in 0..60 {
        let number = 50_000 + number;
        put(machine, ledger, vec![task(number, 2_500)])?;
        if ledger.entry(id(number)).said == Said::Refused {
            break;
        }
    }
    for lease in take(machine, ledger, "default", 2)? {
        let outcome = Outcome::Complete { result: None };
        settle(machine, ledger, &lease, outcome)?;
    }
    disk.set_bytes_max(None);
    machine.pass(Duration::from_secs(2));
    Ok(())
}

/// Everything of one size, again and again: what a segment held before, good records of tasks that
/// are gone, stands exactly behind what it holds now.
pub fn work_in_rings(machine: &mut Machine, ledger: &mut Ledger) -> Result<()> {
    for round in 0..12_u64 {
        for one in 0..12 {
            put(machine, ledger, vec![task(1_000 + round * 100 + one, 1_500)])?;
        }
        for lease in take(machine, ledger, "default", 20)? {
            let outcome = Outcome::Complete { result: None };
            settle(machine, ledger, &lease, outcome)?;
            delete(machine, ledger, lease.key.task)?;
        }
        machine.pass(Duration::from_millis(10));
    }
    for one in 0..5 {
        put(machine, ledger, vec![task(90_000 + one, 1_500)])?;
    }
    Ok(())
}

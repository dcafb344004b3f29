//! The whole of it against stores in this process: books that balance, and those that do not.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::ValueEnum;
use haulier::store::StoreOptions;
use haulier_core::{
    Beat, BeatReply, Capabilities, Clock, Durability, Enqueued, Lease, NewTask, Queue, Settled,
    Settlement, State, SystemClock, Want, WorkerId,
};

use super::plan::{Plan, Workload};
use super::report::{Counted, Measured};
use super::rounds::{self, Row};
use super::run::{Amount, Callers};
use super::site::{Ground, Site, Target};
use super::workloads::Case;
use super::workloads::lifecycle::Lifecycle;
use crate::exit::{Exit, Result};

/// A queue that acknowledges, and forgets every tenth task of what it was asked to keep.
#[derive(Debug)]
struct Forgetful(Arc<dyn Queue>);

#[async_trait]
impl Queue for Forgetful {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> haulier_core::Result<Vec<Enqueued>> {
        let acknowledge = |task: &NewTask| Enqueued::Inserted {
            id: task.id,
            state: State::Available,
            durability: Durability::D2,
        };
        let answers = tasks.iter().map(acknowledge).collect();
        let kept = tasks.into_iter().enumerate().filter(|(place, _)| place % 10 != 9);
        self.0.enqueue(kept.map(|(_, task)| task).collect()).await?;
        Ok(answers)
    }
    async fn lease(
        &self,
        wants: Vec<Want>,
        wait: Duration,
    ) -> haulier_core::Result<Vec<Vec<Lease>>> {
        self.0.lease(wants, wait).await
    }
    async fn beat(&self, beats: Vec<Beat>) -> haulier_core::Result<Vec<BeatReply>> {
        self.0.beat(beats).await
    }
    async fn watch(&self, worker: WorkerId, wait: Duration) -> haulier_core::Result<bool> {
        self.0.watch(worker, wait).await
    }
    async fn settle(&self, ends: Vec<Settlement>) -> haulier_core::Result<Vec<Settled>> {
        self.0.settle(ends).await
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
}

async fn memory() -> Arc<dyn Queue> {
    haulier::store::open("memory:", StoreOptions::default()).await.unwrap().store
}

fn lifecycle() -> Lifecycle {
    Lifecycle { callers: Callers { count: 2, batch: 10 }, amount: Amount::Tasks(60) }
}

async fn measure(target: Target, workloads: &[Workload]) -> Result<Vec<Measured>> {
    let dir = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ground = Ground {
        target,
        clock,
        dir: dir.path().to_owned(),
        connections: 2,
        payload_bytes: 100,
        opened: 0.into(),
    };
    let plan = Plan { tasks: Some(30), seconds: Some(1), in_process: true, ..Plan::default() };
    let rows = workloads.iter().flat_map(|workload| {
        let cases = plan.cases(*workload).into_iter().filter(|case| !case.needs_server());
        cases.map(|case| Row::new(*workload, case))
    });
    rounds::measure(&ground, rows.collect(), 1).await
}

#[tokio::test]
async fn a_task_that_was_acknowledged_and_forgotten_fails_the_run() {
    let mut sound = Site::over(memory().await);
    assert_eq!(lifecycle().round(&mut sound).await.unwrap().audited.tasks, 60);
    let mut site = Site::over(Arc::new(Forgetful(memory().await)));
    let failed = lifecycle().round(&mut site).await.unwrap_err();
    assert_eq!(failed.exit(), Exit::No);
    let said = failed.to_string();
    assert!(said.contains("6 missing") && said.contains("nothing is published"), "{said}");
}

#[tokio::test]
async fn every_workload_balances_in_memory() {
    let rows = measure(Target::Url("memory:".to_owned()), Workload::value_variants());
    for row in rows.await.unwrap() {
        assert_eq!((row.durability.as_str(), row.duplicates), ("D0", 0), "{row:?}");
        assert!(row.tasks > 0 && row.figures[0].median > 0.0, "{row:?}");
        assert!(matches!(row.disk, Counted::Not { .. }), "memory syncs nothing: {row:?}");
    }
}

#[tokio::test]
async fn in_one_process_syncs_and_bytes_are_counted_at_the_disk() {
    let workloads = [Workload::Lifecycle, Workload::Single, Workload::Retries];
    for row in measure(Target::InProcess, &workloads).await.unwrap() {
        let Counted::Counted { syncs_per_task, bytes_per_task } = row.disk else {
            panic!("{row:?}");
        };
        assert_eq!(row.durability, "D2");
        assert!(syncs_per_task > 0.0, "{row:?}");
        assert!(bytes_per_task >= 100.0, "a payload has 100 bytes: {row:?}");
    }
}

#[test]
fn a_database_s_password_is_not_published() {
    let shown =
        super::without_password("postgres://me:secret@db.example:5432/work?sslmode=require");
    assert_eq!(shown, "postgres://me:***@db.example:5432/work?sslmode=require");
    for word in ["postgres://me@db.example/work", "http://127.0.0.1:7420", "--tasks"] {
        assert_eq!(super::without_password(word), word);
    }
}

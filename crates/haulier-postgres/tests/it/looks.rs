//! Looking at a store that holds a lot.

use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::Rig;
use haulier_conformance::prelude::*;
use haulier_core::{Filter, Inspect, NewTask, Outcome, Page, PageRequest, Start, State, TaskId};

use crate::rig::PgRig;

async fn page(inspect: &Arc<dyn Inspect>, filter: &str) -> Page {
    let request = PageRequest { size: 5, ..PageRequest::default() };
    inspect.list(Filter::parse(filter).must(), request).await.must()
}

fn shown(page: &Page) -> Vec<TaskId> {
    page.tasks.iter().map(|view| view.task.id).collect()
}

/// More of them than one page examines, all newer than what is looked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_wait_is_found_on_one_page_among_all_that_waits() {
    let mut rig = PgRig::fresh().await;
    put(&rig, task()).await;
    let dead = take_one(&rig).await.key;
    settle(&rig, dead, Outcome::Reject { failure: failure() }).await;
    put(&rig, task()).await;
    let running = take_one(&rig).await.key.task;
    put(&rig, task()).await;
    let retryable = take_one(&rig).await.key;
    settle(&rig, retryable, fail(Some(Duration::from_hours(1)))).await;
    let cancelled = put(&rig, task()).await;
    cancel(&rig, cancelled).await;
    rig.elapse(SECOND).await;
    for _ in 0..=limits::PAGE_EXAMINED_MAX / limits::ITEMS_MAX {
        put_all(&rig, (0..limits::ITEMS_MAX).map(|_| task()).collect()).await;
    }
    let inspect = rig.inspect();
    for (filter, id) in [
        ("state:dead", dead.task),
        ("reason:rejected queue:default", dead.task),
        ("state:running", running),
        ("state:retryable kind:work", retryable.task),
        ("state:cancelled,retryable age:<1h", retryable.task),
        ("age:>999ms state:available,cancelled", cancelled),
    ] {
        let page = page(&inspect, filter).await;
        assert!(shown(&page).contains(&id), "{filter}: {:?}", shown(&page));
        assert_eq!(page.next, None, "{filter}");
    }
    // Among those that wait for their time, too.
    let later = || task_with(|task: &mut NewTask| task.start = Start::After(SECOND * 600));
    for _ in 0..=limits::PAGE_EXAMINED_MAX / limits::ITEMS_MAX {
        put_all(&rig, (0..limits::ITEMS_MAX).map(|_| later()).collect()).await;
    }
    assert_eq!(shown(&page(&inspect, "state:dead").await), [dead.task]);
}

/// What is done stands at the head of its line until it is removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_available_task_is_found_behind_all_that_is_done() {
    let mut rig = PgRig::fresh().await;
    for _ in 0..3 {
        put_all(&rig, (0..500).map(|_| task()).collect()).await;
        for lease in take(&rig, 500).await {
            settle(&rig, lease.key, COMPLETE).await;
        }
        rig.elapse(SECOND).await;
        put(&rig, task()).await;
        rig.elapse(3 * SECOND).await;
        let stats = stats(&rig, "default").await;
        assert_eq!(stats.oldest_available, Some(3 * SECOND));
        assert_eq!(stats.counts.get(State::Available), 1);
        take_one(&rig).await;
        assert_eq!(self::stats(&rig, "default").await.oldest_available, None);
    }
}

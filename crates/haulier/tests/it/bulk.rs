//! Actions on all tasks that a filter matches.

use haulier::bulk::{self, Action};
use haulier::core::Filter;
use haulier::testing::TestWorld;

use crate::mail;

#[tokio::test]
async fn an_action_reaches_every_task_that_matches_page_by_page_and_no_other() {
    let world = TestWorld::new();
    let client = world.client();
    let many = (0..2_500).map(|_| client.task(&mail("a")).unwrap()).collect();
    client.enqueue_many(many).await.unwrap();
    let other = client.enqueue(mail("b")).queue("other").await.unwrap();
    let (inspect, control) = (client.inspect().unwrap(), client.control().unwrap());
    let filter: Filter = "queue:mail state:available".parse().unwrap();

    let dry = bulk::all((&*inspect, &*control), Action::Cancel, &filter, true).await.unwrap();
    assert_eq!((dry.matched, dry.changed), (2_500, 0));
    let done = bulk::all((&*inspect, &*control), Action::Cancel, &filter, false).await.unwrap();
    assert_eq!((done.matched, done.changed, done.refused.len()), (2_500, 2_500, 0));
    let none = bulk::all((&*inspect, &*control), Action::Cancel, &filter, false).await.unwrap();
    assert_eq!(none.matched, 0);
    assert!(!other.state().await.unwrap().is_final());
}

#[tokio::test]
async fn what_a_state_forbids_is_told_task_by_task() {
    let world = TestWorld::new();
    let client = world.client();
    let sent = client.enqueue(mail("a")).await.unwrap();
    let (inspect, control) = (client.inspect().unwrap(), client.control().unwrap());
    let every = Filter::default();
    let done = bulk::all((&*inspect, &*control), Action::Rerun, &every, false).await.unwrap();
    assert_eq!((done.matched, done.changed), (1, 0));
    let (id, refusal) = done.refused.into_iter().next().unwrap();
    assert_eq!((id, refusal.unwrap().code), (sent.id(), haulier::Code::Final));
}

//! Looking: single tasks, waiting for them, pages, queues.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use haulier_core::{
    Beat, Checkpoint, Code, Filter, Include, Lease, LeaseBeat, Outcome, Page, PageRequest, Payload,
    Settled, Settlement, Start, State, TaskId, TaskView,
};

use crate::Rig;
use crate::prelude::*;

/// Many in, one answer each, in the same order.
pub async fn tasks_are_shown_in_the_order_of_their_ids_in_the_request(rig: &mut impl Rig) {
    let put_in = put_all(rig, vec![task(), task()]).await;
    let asked = vec![put_in[1], new_id(), put_in[0], put_in[1]];
    let views = rig.inspect().get(asked, Include::default(), Duration::ZERO).await.must();
    let shown: Vec<Option<TaskId>> =
        views.iter().map(|view| view.as_ref().map(|view| view.task.id)).collect();
    assert_eq!(shown, [Some(put_in[1]), None, Some(put_in[0]), Some(put_in[1])]);
}

/// Large parts are read along only if they are asked for; what they are is always told.
pub async fn large_parts_are_shown_only_if_asked_for(rig: &mut impl Rig) {
    let new = task_with(|task| {
        task.payload = Payload::new("payload", "text/plain");
        task.headers = [("h", "1")].into_iter().collect();
        task.labels = [("l", "1")].into_iter().collect();
    });
    let id = put(rig, new.clone()).await;
    let held = take_one(rig).await;
    let saved = Checkpoint { name: "charge".into(), value: Bytes::from_static(b"1") };
    let said = LeaseBeat { checkpoints: vec![saved.clone()], ..LeaseBeat::renew(held.key) };
    let beat = Beat { worker: worker("w"), about: None, ttl: TTL, leases: vec![said] };
    rig.queue().beat(vec![beat]).await.must();
    let outcome = Outcome::Complete { result: Some(Payload::json("7")) };
    settle(rig, held.key, outcome).await;
    let get = async |include| {
        only(rig.inspect().get(vec![id], include, Duration::ZERO).await.must()).must()
    };

    let bare = get(Include::default()).await;
    assert_eq!(bare.task.payload, Payload::new("", "text/plain"));
    assert_eq!((&bare.task.headers, &bare.task.labels), (&new.headers, &new.labels));
    assert!(bare.result.is_none());
    assert_eq!(bare.checkpoints, [Checkpoint { value: Bytes::new(), ..saved.clone() }]);

    let result = get(Include::RESULT).await;
    assert_eq!(result.result, Some(Payload::json("7")));
    assert!(result.task.payload.bytes.is_empty());

    let all = get(Include::ALL).await;
    assert_eq!((&*all.task, all.checkpoints), (&new.task, vec![saved]));
}

/// Who holds it, and how much is left of the lease.
pub async fn a_running_task_shows_its_holder(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    assert!(view(rig, id).await.lease.is_none());
    let held = take_as(rig, "somebody").await;
    rig.elapse(10 * SECOND).await;
    let lease = view(rig, id).await.lease.must();
    assert_eq!((lease.worker.as_str(), lease.expires_in), ("somebody", TTL - 10 * SECOND));
    settle(rig, held.key, COMPLETE).await;
    assert!(view(rig, id).await.lease.is_none());
}

/// Whoever waits for a result gets it when it is there.
pub async fn a_waiting_get_answers_when_every_task_is_final(rig: &mut impl Rig) {
    let put_in = put_all(rig, vec![task(), task()]).await;
    let held = take(rig, 2).await;
    let mut asked = put_in.clone();
    asked.push(new_id());
    let inspect = rig.inspect();
    let waiting =
        tokio::spawn(
            async move { inspect.get(asked, Include::RESULT, limits::WAIT_MAX).await.must() },
        );
    let outcome = Outcome::Complete { result: Some(Payload::json("7")) };
    settle(rig, held[0].key, outcome).await;
    assert_eq!(state(rig, put_in[1]).await, State::Running);
    assert!(!waiting.is_finished(), "one of them runs");
    settle(rig, held[1].key, fail(None)).await;
    let views = answer(waiting).await;
    let states: Vec<_> = views.iter().map(|view| view.as_ref().map(TaskView::state)).collect();
    assert_eq!(states, [Some(State::Completed), Some(State::Dead), None]);
    assert_eq!(views[0].as_ref().must().result, Some(Payload::json("7")));
}

/// A wait ends, and then the task is shown as it stands; what is final or unknown is not waited
/// for.
pub async fn a_waiting_get_ends_when_its_wait_is_over(rig: &mut impl Rig) {
    let id = put(rig, task()).await;
    let done = put_completed(rig, task_in("done")).await;
    let get = |ids: Vec<TaskId>| {
        let inspect = rig.inspect();
        tokio::spawn(
            async move { inspect.get(ids, Include::RESULT, limits::WAIT_MAX).await.must() },
        )
    };
    let (at_once, unknown, pending) = (get(vec![done]), get(vec![new_id()]), get(vec![id]));
    assert_eq!(only(answer(at_once).await).must().state(), State::Completed);
    assert!(only(answer(unknown).await).is_none());
    let views = elapse_until_answered(rig, pending).await;
    assert_eq!(only(views).must().state(), State::Available);
}

async fn page(rig: &impl Rig, filter: &str, size: usize, after: Option<String>) -> Page {
    let filter = Filter::parse(filter).must();
    let request = PageRequest { size, after, include: Include::default() };
    rig.inspect().list(filter, request).await.must()
}

/// Every id of a listing, page by page.
async fn list(rig: &impl Rig, filter: &str, size: usize) -> Vec<TaskId> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = page(rig, filter, size, after).await;
        assert!(page.tasks.len() <= size);
        all.extend(page.tasks.iter().map(|view| view.task.id));
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

/// Newest first, in pages that neither skip nor repeat, whatever their size.
pub async fn a_listing_shows_every_task_once_newest_first(rig: &mut impl Rig) {
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.extend(put_all(rig, (0..5).map(|_| task()).collect()).await);
        rig.elapse(SECOND).await;
    }
    expected.reverse();
    for size in [1, 4, 5, 24, 25, 26, limits::PAGE_MAX] {
        assert_eq!(list(rig, "", size).await, expected, "in pages of {size}");
    }
    rig.reopen().await;
    assert_eq!(list(rig, "", 7).await, expected);
}

/// New tasks come in front of the page that is being read, and old ones may go: nothing else moves.
pub async fn a_listing_stands_still_while_tasks_come_and_go(rig: &mut impl Rig) {
    let old = put_all(rig, (0..20).map(|_| task()).collect()).await;
    rig.elapse(SECOND).await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = page(rig, "", 3, after).await;
        seen.extend(page.tasks.iter().map(|view| view.task.id));
        after = page.next;
        if after.is_none() {
            break;
        }
        put(rig, task()).await;
        if let Some(last) = page.tasks.last() {
            delete(rig, last.task.id).await;
        }
    }
    let expected: Vec<TaskId> = old.into_iter().rev().collect();
    assert_eq!(seen, expected);
}

/// One grammar for everybody.
pub async fn a_listing_shows_what_its_filter_matches(rig: &mut impl Rig) {
    let mail = put(
        rig,
        task_with(|task| {
            task.queue = queue("mail");
            task.kind = kind("email.send");
            task.labels = [("tenant", "acme")].into_iter().collect();
        }),
    );
    let mail = mail.await;
    rig.elapse(60 * SECOND).await;
    let dead = put(rig, task()).await;
    let held = take_one(rig).await;
    settle(rig, held.key, Outcome::Reject { failure: failure() }).await;
    let scheduled = put(rig, task_with(|task| task.start = Start::After(SECOND))).await;
    for (filter, expected) in [
        ("", vec![scheduled, dead, mail]),
        ("queue:mail", vec![mail]),
        ("queue:default", vec![scheduled, dead]),
        ("queue:ma*,default state:dead,available", vec![dead, mail]),
        ("kind:email.*", vec![mail]),
        ("state:dead reason:rejected", vec![dead]),
        ("state:dead reason:lost", vec![]),
        ("label.tenant:acme", vec![mail]),
        ("label.tenant:other", vec![]),
        ("age:>30s", vec![mail]),
        ("age:<30s", vec![scheduled, dead]),
    ] {
        assert_eq!(list(rig, filter, 2).await, expected, "{filter:?}");
    }
}

/// A bounded number of tasks is examined for a page: even an empty one says how to go on.
pub async fn a_page_that_finds_nothing_says_where_to_go_on(rig: &mut impl Rig) {
    let rare = put(rig, task_in("rare")).await;
    for _ in 0..=limits::PAGE_EXAMINED_MAX / limits::ITEMS_MAX {
        put_all(rig, (0..limits::ITEMS_MAX).map(|_| task()).collect()).await;
    }
    assert_eq!(list(rig, "queue:rare", 10).await, [rare]);
    assert!(list(rig, "queue:nowhere", 10).await.is_empty());
}

/// The pages of all tasks, with their payloads.
async fn pages(rig: &impl Rig) -> Vec<Vec<TaskView>> {
    let include = Include { payload: true, ..Include::default() };
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let request = PageRequest { size: limits::PAGE_MAX, after, include };
        let page = rig.inspect().list(Filter::default(), request).await.must();
        pages.push(page.tasks);
        after = page.next;
        if after.is_none() {
            return pages;
        }
    }
}

/// Large tasks make a page short, and it says where to go on: whoever reads pages needs no more
/// memory than for one (L5). What was not asked for takes nothing.
pub async fn a_page_holds_a_bounded_number_of_bytes(rig: &mut impl Rig) {
    let each = rig.capabilities().payload_bytes_max.min(limits::PAGE_BYTES_MAX / 5);
    let count = 2 * limits::PAGE_BYTES_MAX / each + 3;
    let mut ids = Vec::new();
    for _ in 0..count {
        let large = task_with(|task| task.payload = Payload::new(vec![b'x'; each], "text/plain"));
        ids.push(put(rig, large).await);
    }
    let pages = pages(rig).await;
    assert!(pages.len() > 2, "{} pages", pages.len());
    for page in &pages {
        let bytes: usize = page.iter().map(|view| view.task.payload.bytes.len()).sum();
        assert!(bytes <= limits::PAGE_BYTES_MAX, "L5: {bytes} bytes on a page");
    }
    let mut shown: Vec<TaskId> = pages.iter().flatten().map(|view| view.task.id).collect();
    shown.sort_unstable();
    ids.sort_unstable();
    assert_eq!(shown, ids, "each once");
    assert_eq!(list(rig, "", limits::PAGE_MAX).await.len(), count);
    assert!(page(rig, "", limits::PAGE_MAX, None).await.next.is_none(), "all fit without payloads");
}

/// Whatever was accepted can be listed.
pub async fn a_page_holds_one_task_however_large_it_is(rig: &mut impl Rig) {
    let most = rig.capabilities().payload_bytes_max;
    for _ in 0..3 {
        put(rig, task_with(|task| task.payload = Payload::new(vec![0; most], "text/plain"))).await;
    }
    let shown: Vec<TaskView> = pages(rig).await.into_iter().flatten().collect();
    assert_eq!(shown.len(), 3);
    assert!(shown.iter().all(|view| view.task.payload.bytes.len() == most));
}

/// A page is asked for as it was offered, and of a size that can be given.
pub async fn a_page_that_cannot_be_is_refused(rig: &mut impl Rig) {
    put(rig, task()).await;
    let ask = async |size, after: Option<&str>| {
        let request =
            PageRequest { size, after: after.map(str::to_owned), include: Include::default() };
        rig.inspect().list(Filter::default(), request).await
    };
    for token in ["nonsense", "", "1.2.3", "💥"] {
        assert_eq!(failed(ask(1, Some(token)).await), Code::Invalid, "{token:?}");
    }
    assert_eq!(failed(ask(0, None).await), Code::Invalid);
    assert!(is_too_much(ask(limits::PAGE_MAX + 1, None).await));
    assert_eq!(ask(limits::PAGE_MAX, None).await.must().tasks.len(), 1);
}

/// I14: the states add up to what was accepted less what was removed, at every step of a life.
pub async fn the_states_add_up_to_what_was_accepted(rig: &mut impl Rig) {
    let check = async |rig: &_, states: &[State], removed: u64, finished: u64| {
        let stats = stats(rig, "default").await;
        for state in State::ALL {
            let expected = states.iter().filter(|other| **other == state).count() as u64;
            assert_eq!(stats.counts.get(state), expected, "I14: {state}");
        }
        let sum = stats.counts.total() + stats.removed;
        assert_eq!(stats.accepted, sum, "I14: the states add up to what was accepted");
        assert_eq!(
            (stats.removed, stats.finished),
            (removed, finished),
            "I14: what went is counted"
        );
    };
    let scheduled = task_with(|task| task.start = Start::After(60 * SECOND));
    let put_in = put_all(rig, vec![task(), task(), task(), scheduled]).await;
    check(rig, &[State::Available, State::Available, State::Available, State::Scheduled], 0, 0)
        .await;
    let held = take(rig, 2).await;
    check(rig, &[State::Running, State::Running, State::Available, State::Scheduled], 0, 0).await;
    settle(rig, held[0].key, COMPLETE).await;
    settle(rig, held[1].key, fail(Some(60 * SECOND))).await;
    cancel(rig, put_in[2]).await;
    let states = [State::Completed, State::Retryable, State::Cancelled, State::Scheduled];
    check(rig, &states, 0, 2).await;
    delete(rig, put_in[0]).await;
    offer(rig, task_with(|task| task.policy.max_attempts = 0)).await;
    check(rig, &states[1..], 1, 2).await;
    rerun(rig, put_in[2]).await;
    check(rig, &[State::Available, State::Retryable, State::Scheduled], 1, 2).await;
    rig.reopen().await;
    // It begins to count anew, or goes on where it was.
    let went_on = stats(rig, "default").await.removed > 0;
    let (removed, finished) = if went_on { (1, 2) } else { (0, 0) };
    check(rig, &[State::Available, State::Retryable, State::Scheduled], removed, finished).await;
    delete(rig, put_in[2]).await;
    check(rig, &[State::Retryable, State::Scheduled], removed + 1, finished).await;
}

/// I1, I2, I7, I14: whatever happens at the same time, nothing is lost and nothing counted twice.
pub async fn the_states_add_up_after_many_callers(rig: &mut impl Rig) {
    const EACH: usize = 8;
    let done = all_at_once(|number| {
        let queue = rig.queue();
        Box::pin(async move {
            queue.enqueue((0..EACH).map(|_| task()).collect()).await.must();
            let mut done = Vec::new();
            loop {
                let want = want_of(&format!("w{number}"), 3);
                let leases = only(queue.lease(vec![want], Duration::ZERO).await.must());
                if leases.is_empty() {
                    return done;
                }
                done.extend(ids(&leases));
                let end = |lease: &Lease| Settlement { key: lease.key, outcome: COMPLETE };
                let answers = queue.settle(leases.iter().map(end).collect()).await.must();
                assert!(answers.iter().all(|answer| *answer == applied(State::Completed)));
            }
        })
    })
    .await;
    let done = done.concat();
    let distinct: BTreeSet<TaskId> = done.iter().copied().collect();
    assert_eq!((done.len(), distinct.len()), (CALLERS * EACH, CALLERS * EACH));
    let stats = stats(rig, "default").await;
    let all = (CALLERS * EACH) as u64;
    assert_eq!((stats.counts.get(State::Completed), stats.counts.total()), (all, all));
    assert_eq!((stats.accepted, stats.finished, stats.removed), (all, all, 0));
}

/// How long the head of the line has been waiting.
pub async fn a_queue_shows_how_long_its_oldest_task_is_available(rig: &mut impl Rig) {
    put(rig, task_with(|task| task.start = Start::After(10 * SECOND))).await;
    assert_eq!(stats(rig, "default").await.oldest_available, None);
    rig.elapse(10 * SECOND).await;
    assert_eq!(stats(rig, "default").await.oldest_available, Some(Duration::ZERO));
    put(rig, task()).await;
    rig.elapse(5 * SECOND).await;
    assert_eq!(stats(rig, "default").await.oldest_available, Some(5 * SECOND));
    take(rig, 2).await;
    assert_eq!(stats(rig, "default").await.oldest_available, None);
}

/// I12: nothing is shown that a restart could take back, at no step of a life.
pub async fn what_was_seen_is_still_there_after_reopening(rig: &mut impl Rig) {
    let id = put(rig, task_with(|task| task.start = Start::After(SECOND))).await;
    let mut key = None;
    for step in 0..6 {
        match step {
            1 => rig.elapse(SECOND).await,
            2 | 4 => key = Some(take_one(rig).await.key),
            3 => assert_ne!(settle(rig, key.must(), Outcome::Release).await, Settled::Stale),
            5 => {
                let outcome = Outcome::Complete { result: Some(Payload::json("7")) };
                assert_eq!(settle(rig, key.must(), outcome).await, applied(State::Completed));
            }
            _ => {}
        }
        let mut seen = view(rig, id).await;
        rig.reopen().await;
        let mut again = view(rig, id).await;
        // A lease may last longer than it was shown to, never shorter.
        let left = |view: &TaskView| view.lease.as_ref().map(|lease| lease.expires_in);
        assert!(left(&seen) <= left(&again));
        (seen.lease, again.lease) = (None, None);
        assert_eq!(seen, again, "at step {step}");
    }
}

/// By name, and only those that have something to show.
pub async fn queues_are_listed_by_name(rig: &mut impl Rig) {
    put_all(rig, vec![task_in("b"), task_in("a-1"), task_in("c"), task_in("A")]).await;
    let names = async |rig: &_| {
        let queues = Rig::inspect(rig).queues().await.must();
        queues.iter().map(|stats| stats.queue.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(rig).await, ["A", "a-1", "b", "c"]);
    let gone = take_from(rig, "c").await;
    settle(rig, gone.key, COMPLETE).await;
    delete(rig, gone.key.task).await;
    assert_eq!(names(rig).await, ["A", "a-1", "b"], "an empty queue costs nothing");
    let distinct: BTreeSet<String> = names(rig).await.into_iter().collect();
    assert_eq!(distinct.len(), 3);
}

async fn take_from(rig: &impl Rig, name: &str) -> haulier_core::Lease {
    only(lease(rig, want_from("w", &[name], 1)).await)
}

//! What happens between the server and everybody else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use haulier::Client;
use haulier_core::{
    Beat, Changed, Enqueued, Include, LeaseBeat, LeaseKey, NewTask, Outcome, Progress, Settled,
    Settlement, State, TaskId, TaskView, Want, WorkerId,
};
use haulier_sim::history::Fault;
use haulier_sim::nemesis::{Load, Proxy, Shape, schedule};

use crate::kit::{alone, connect, full, millis, rest, run, seed, times, until};
use crate::servers::{load, task};
use crate::site::{PORT, Setup, Site};

fn server() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], PORT))
}

#[derive(Debug, Clone, Copy)]
enum Cut {
    /// Nothing passes.
    Drop,
    /// What the worker sends does not arrive.
    Questions,
    /// What the server sends does not arrive.
    Answers,
    /// Connections are reset.
    Reset,
}

impl Cut {
    /// The rules of the packet filter against the way through this port.
    fn rules(self, port: u16) -> Vec<String> {
        let (to, from) = (format!("tcp dport {port}"), format!("tcp sport {port}"));
        match self {
            Self::Drop => vec![format!("{to} drop"), format!("{from} drop")],
            Self::Questions => vec![format!("{to} drop")],
            Self::Answers => vec![format!("{from} drop")],
            Self::Reset => vec![format!("{to} reject with tcp reset")],
        }
    }
}

pub fn filter(rules: &[String]) {
    run("nft", &["add table inet f"]);
    run("nft", &["add chain inet f i { type filter hook input priority 0; }"]);
    for rule in rules {
        run("nft", &[&format!("add rule inet f i {rule}")]);
    }
}

pub fn unfilter() {
    run("nft", &["delete table inet f"]);
}

#[test]
fn f12_a_worker_that_is_cut_off_loses_its_leases_and_no_more() {
    alone(module_path!(), "f12_a_worker_that_is_cut_off_loses_its_leases_and_no_more", async {
        cut_off(&Site::new()).await;
    });
}

/// A worker cannot be reached, in several ways.
pub async fn cut_off(site: &Site) {
    let at = site.serve(&Setup::default()).await;
    // One worker goes through a port of its own, where it can be cut off alone.
    let way = Proxy::to(server()).await.unwrap();
    let ttl = Duration::from_secs(1);
    let mut load = Load::new(seed(), Shape::default());
    load.produce("p1", &site.client().await);
    load.work("w1", &connect(&format!("http://{}", way.address)).await, 4, ttl);
    load.work("w2", &site.client().await, 4, ttl);
    let cuts = [Cut::Drop, Cut::Questions, Cut::Answers, Cut::Reset];
    let strikes = schedule(seed(), times(60, 4), &[()], (200, 600), (500, 3_000));
    for (strike, cut) in strikes.iter().zip(cuts.into_iter().cycle()) {
        rest(strike.after).await;
        load.recorder.fault("w1", Fault::Cut);
        filter(&cut.rules(way.address.port()));
        rest(strike.lasts / if full() { 1 } else { 2 }).await;
        unfilter();
        load.recorder.heal("w1", Fault::Cut);
    }
    site.finish("F12", load, at).await;
}

#[test]
fn f14_lost_packets_and_a_slow_link_only_make_it_slow() {
    alone(module_path!(), "f14_lost_packets_and_a_slow_link_only_make_it_slow", async {
        lossy_net(&Site::new()).await;
    });
}

/// Packets get lost; then all links are slow.
pub async fn lossy_net(site: &Site) {
    run("ip", &["link", "set", "lo", "mtu", "1500"]);

    let at = site.serve(&Setup::default()).await;
    let load = load(site, Shape::default()).await;
    load.reach(100).await;
    load.recorder.fault("net", Fault::Slow);
    filter(&["numgen random mod 20 == 0 drop".to_owned()]);
    rest(millis(if full() { 60_000 } else { 2_500 })).await;
    unfilter();
    let slow = "qdisc add dev lo root tbf rate 1mbit burst 32k latency 400ms";
    run("tc", &slow.split(' ').collect::<Vec<_>>());
    rest(millis(if full() { 60_000 } else { 2_500 })).await;
    run("tc", &["qdisc", "del", "dev", "lo", "root"]);
    load.recorder.heal("net", Fault::Slow);
    site.finish("F14", load, at).await;
}

/// A client behind a proxy, whose answers get lost, and somebody who sees what was done.
struct Lossy {
    proxy: Proxy,
    far: Client,
    near: Client,
    worker: WorkerId,
}

impl Lossy {
    async fn new(site: &Site) -> Self {
        let proxy = Proxy::to(server()).await.unwrap();
        let far = connect(&format!("http://{}", proxy.address)).await;
        let worker = WorkerId::new("w-1").unwrap();
        Self { proxy, far, near: site.client().await, worker }
    }

    async fn see(&self, id: TaskId) -> Option<TaskView> {
        let inspect = self.near.inspect().unwrap();
        inspect.get(vec![id], Include::default(), millis(0)).await.unwrap().remove(0)
    }

    /// Sends a call whose answer is lost, waits until it was carried out, and cuts the connection.
    /// The caller repeats by itself if that is harmless, or it is told that nothing is known.
    async fn lose<T: Send + 'static>(
        &self,
        id: TaskId,
        call: impl Future<Output = T> + Send + 'static,
        done: fn(Option<&TaskView>) -> bool,
    ) -> T {
        let before = self.proxy.swallowed();
        self.proxy.swallow_answers(true);
        let call = tokio::spawn(call);
        until("the call is carried out", || async { done(self.see(id).await.as_ref()) }).await;
        until("its answer is lost", || {
            std::future::ready(self.proxy.swallowed() > before || call.is_finished())
        })
        .await;
        self.proxy.swallow_answers(false);
        self.proxy.cut();
        tokio::time::timeout(Duration::from_mins(1), call).await.unwrap().unwrap()
    }

    async fn enqueue(&self) -> NewTask {
        let (queue, new) = (self.far.queue(), task(&self.far));
        let tasks = vec![new.clone()];
        let call = async move { queue.enqueue(tasks).await };
        let first = self.lose(new.id, call, |view| view.is_some()).await;
        let again = asked_again(async || self.far.queue().enqueue(vec![new.clone()]).await).await;
        let same = matches!(&again[0], Enqueued::Existing { id, .. } if *id == new.id);
        assert!(same, "I4: {first:?}, then {again:?}");
        new
    }

    async fn lease(&self, id: TaskId) -> LeaseKey {
        let queue = self.far.queue();
        let wants = vec![self.want()];
        let call = async move { queue.lease(wants, millis(0)).await };
        let running = |view: Option<&TaskView>| view.is_some_and(|v| v.epoch.0 > 0);
        let lost = self.lose(id, call, running).await;
        if let Ok(leases) = &lost
            && let Some(lease) = leases.iter().flatten().next()
        {
            // It was repeated, and got what the lost answer carried, or what came back since.
            return lease.key;
        }
        // Nobody holds it who knows of it: it comes back, and counts as nobody's attempt.
        let queue = self.near.queue();
        let leases = queue.lease(vec![self.want()], Duration::from_secs(30)).await.unwrap();
        let lease = leases.into_iter().flatten().next().unwrap();
        assert_eq!((lease.key.task, lease.attempt), (id, 1), "I6: {lease:?}");
        lease.key
    }

    fn want(&self) -> Want {
        let name = haulier_core::QueueName::new("default").unwrap();
        Want { ttl: Duration::from_secs(3), ..Want::new(self.worker.clone(), name, 1) }
    }

    async fn beat(&self, key: LeaseKey) {
        let queue = self.far.queue();
        let progress = Some(Progress { fraction: 0.5, note: Arc::from("half") });
        let leases = vec![LeaseBeat { progress, ..LeaseBeat::renew(key) }];
        let (worker, ttl) = (self.worker.clone(), Duration::from_mins(1));
        let beats = vec![Beat { worker, about: None, ttl, leases }];
        let again = beats.clone();
        let call = async move { queue.beat(beats).await };
        let told = |view: Option<&TaskView>| view.is_some_and(|view| view.progress.is_some());
        let first = self.lose(key.task, call, told).await;
        let again = asked_again(async || self.far.queue().beat(again.clone()).await).await;
        assert_eq!(again[0].held, [haulier_core::Held::Yes], "I8: {first:?}, then {again:?}");
    }

    async fn settle(&self, key: LeaseKey, outcome: Outcome, done: fn(Option<&TaskView>) -> bool) {
        let queue = self.far.queue();
        let ends = vec![Settlement { key, outcome }];
        let again = ends.clone();
        let call = async move { queue.settle(ends).await };
        let first = self.lose(key.task, call, done).await;
        let again = asked_again(async || self.far.queue().settle(again.clone()).await).await;
        assert!(matches!(again[0], Settled::Applied { .. }), "I8: {first:?}, then {again:?}");
        if let Ok(first) = first {
            assert_eq!(first, again, "I8");
        }
    }

    async fn operate(&self, id: TaskId) {
        let is = |view: Option<&TaskView>, state| view.is_some_and(|view| view.state() == state);
        let control = self.far.control().unwrap();
        let call = async move { control.rerun(vec![id]).await };
        self.lose(id, call, |view| view.is_some_and(|v| v.state() == State::Available)).await.ok();
        let control = self.far.control().unwrap();
        let call = async move { control.cancel(vec![id]).await };
        self.lose(id, call, |view| view.is_some_and(|v| v.state() == State::Cancelled)).await.ok();
        assert!(is(self.see(id).await.as_ref(), State::Cancelled), "I15");
        let leases = self.near.queue().lease(vec![self.want()], millis(0)).await.unwrap();
        assert!(leases.iter().all(Vec::is_empty), "I15: {leases:?}");
        let control = self.far.control().unwrap();
        let call = async move { control.delete(vec![id]).await };
        let first = self.lose(id, call, |view| view.is_none()).await;
        let control = self.far.control().unwrap();
        let again = asked_again(async || control.delete(vec![id]).await).await;
        assert_eq!(again, [Changed::NotFound], "{first:?}");
    }
}

/// Whoever is not told the outcome of a call asks again: the connection may still be going down on
/// which the answer was lost.
async fn asked_again<T>(ask: impl AsyncFn() -> haulier_core::Result<T>) -> T {
    for _ in 0..100 {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) if error.is_retryable() => rest(millis(20)).await,
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("no answer came")
}

#[test]
fn f13_a_lost_answer_to_any_verb_does_nothing_twice() {
    alone(module_path!(), "f13_a_lost_answer_to_any_verb_does_nothing_twice", async {
        answers_lost(&Site::new()).await;
    });
}

/// The answer to each verb is lost once.
pub async fn answers_lost(site: &Site) {
    let _at = site.serve(&Setup::default()).await;
    let lossy = Lossy::new(site).await;
    for _ in 0..times(20, 1) {
        let new = lossy.enqueue().await;
        let key = lossy.lease(new.id).await;
        lossy.beat(key).await;
        let outcome = Outcome::Complete { result: None };
        let completed =
            |view: Option<&TaskView>| view.is_some_and(|view| view.state() == State::Completed);
        lossy.settle(key, outcome, completed).await;
        lossy.operate(new.id).await;
    }
    println!("── F13: {} bytes of answers were lost", lossy.proxy.swallowed());
}

#[test]
fn f13_connections_cut_after_any_byte_of_an_answer_do_nothing_twice() {
    alone(
        module_path!(),
        "f13_connections_cut_after_any_byte_of_an_answer_do_nothing_twice",
        async {
            let site = Site::new();
            let at = site.serve(&Setup::default()).await;
            let way = Proxy::to(server()).await.unwrap();
            let through = format!("http://{}", way.address);
            let mut load = Load::new(seed(), Shape::default());
            load.produce("p1", &connect(&through).await);
            load.work("w1", &connect(&through).await, 4, Duration::from_secs(2));
            load.work("w2", &site.client().await, 4, Duration::from_secs(2));
            for bytes in 0..times(600, 30) {
                load.recorder.fault("p1", Fault::Cut);
                load.recorder.fault("w1", Fault::Cut);
                way.cut_after(bytes as u64 * if full() { 7 } else { 67 });
                rest(millis(60)).await;
                way.lift();
                way.cut();
                load.recorder.heal("p1", Fault::Cut);
                load.recorder.heal("w1", Fault::Cut);
            }
            load.reach(200).await;
            site.finish("F13 byte by byte", load, at).await;
        },
    );
}

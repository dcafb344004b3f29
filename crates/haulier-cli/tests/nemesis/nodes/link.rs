//! What happens between the servers and their database.

use haulier_sim::history::Fault;
use haulier_sim::nemesis::{Break, Dice, Load, Proxy};

use super::{Backend, DATABASE, Fleet, Nodes};
use crate::kit::{alone, full, millis, rest, seed, times, until};
use crate::network::{filter, unfilter};

/// The message that commits a transaction: the simple query `COMMIT`.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
/// Its answer: the command is complete, and the session is ready again.
const ANSWER_BYTES: u64 = 12 + 6;
/// What ends a statement that is a transaction of its own.
const SYNC: &[u8] = b"S\0\0\0\x04";

#[test]
fn f15_a_link_cut_at_any_byte_of_a_commit_does_nothing_twice() {
    alone(module_path!(), "f15_a_link_cut_at_any_byte_of_a_commit_does_nothing_twice", async {
        let (nodes, proxy) = Nodes::behind_a_proxy().await;
        let load = nodes.load().await;
        load.reach(60).await;
        let questions = (0..COMMIT.len() as u64).map(Break::Question);
        let answers = (0..ANSWER_BYTES).map(Break::Answer);
        let step = times(1, 3);
        for _ in 0..times(10, 1) {
            for at in questions.clone().chain(answers.clone()).step_by(step) {
                cut(&nodes, &load, &proxy, COMMIT, at).await;
            }
        }
        nodes.finish("F15, commits", load).await;
    });
}

#[test]
fn f15_a_link_cut_anywhere_in_what_a_statement_is_answered_does_nothing_twice() {
    alone(
        module_path!(),
        "f15_a_link_cut_anywhere_in_what_a_statement_is_answered_does_nothing_twice",
        async {
            let (nodes, proxy) = Nodes::behind_a_proxy().await;
            let load = nodes.load().await;
            load.reach(60).await;
            let dice = Dice::new(seed());
            for _ in 0..times(500, 12) {
                let at = match dice.within(0, 2) {
                    0 => Break::Question(dice.within(0, 5)),
                    _ => Break::Answer(dice.within(0, 60)),
                };
                cut(&nodes, &load, &proxy, SYNC, at).await;
            }
            nodes.finish("F15, statements", load).await;
        },
    );
}

/// Breaks one connection there, and goes on once it was broken.
pub async fn cut<D: Backend>(nodes: &Fleet<D>, load: &Load, proxy: &Proxy, mark: &[u8], at: Break) {
    load.recorder.fault(DATABASE, Fault::Cut);
    spring(proxy, mark, at).await;
    nodes.listen().await;
    load.recorder.heal(DATABASE, Fault::Cut);
}

pub async fn spring(proxy: &Proxy, mark: &[u8], at: Break) {
    let before = proxy.sprung();
    proxy.trap(mark, at);
    until(&format!("a connection breaks at {at:?}"), || {
        std::future::ready(proxy.sprung() > before)
    })
    .await;
}

#[test]
fn f15_a_commit_whose_answer_never_comes_is_not_waited_for_for_ever() {
    alone(
        module_path!(),
        "f15_a_commit_whose_answer_never_comes_is_not_waited_for_for_ever",
        async {
            let (nodes, proxy) = Nodes::behind_a_proxy().await;
            let load = nodes.load().await;
            load.reach(60).await;
            for _ in 0..times(20, 1) {
                load.recorder.fault(DATABASE, Fault::Cut);
                for _ in 0..2 {
                    spring(&proxy, SYNC, Break::Silence).await;
                }
                load.reach(load.ids().len() + 60).await;
                // Nobody cuts these connections: the servers give them up by themselves.
                until("whoever is not answered gives up", || {
                    std::future::ready(proxy.silent() == 0)
                })
                .await;
                nodes.listen().await;
                load.recorder.heal(DATABASE, Fault::Cut);
            }
            load.reach(load.ids().len() + 30).await;
            nodes.finish("F15, silence", load).await;
        },
    );
}

#[test]
fn f12_servers_that_cannot_reach_their_database_go_on_when_they_can() {
    alone(
        module_path!(),
        "f12_servers_that_cannot_reach_their_database_go_on_when_they_can",
        async {
            unreachable(Nodes::new().await).await;
        },
    );
}

/// Servers cannot reach their database, in one way or the other.
pub async fn unreachable<D: Backend>(nodes: Fleet<D>) {
    let load = nodes.load().await;
    let port = nodes.db.port();
    let (to, from) = (format!("tcp dport {port}"), format!("tcp sport {port}"));
    let ways = [
        vec![format!("{to} drop"), format!("{from} drop")],
        vec![format!("{to} drop")],
        vec![format!("{from} drop")],
        vec![format!("{to} reject with tcp reset")],
    ];
    for rules in ways.iter().cycle().take(times(40, 4)) {
        load.reach(load.ids().len() + 40).await;
        load.recorder.fault(DATABASE, Fault::Cut);
        filter(rules);
        rest(millis(if full() { 6_000 } else { 1_000 })).await;
        unfilter();
        nodes.listen().await;
        load.recorder.heal(DATABASE, Fault::Cut);
    }
    nodes.finish("F12, the database", load).await;
}

#[test]
fn f14_a_lossy_and_slow_link_to_the_database_only_makes_it_slow() {
    alone(module_path!(), "f14_a_lossy_and_slow_link_to_the_database_only_makes_it_slow", async {
        slow(Nodes::behind_a_proxy().await).await;
    });
}

/// The link to the database loses packets, and is slow.
pub async fn slow<D: Backend>((nodes, proxy): (Fleet<D>, Proxy)) {
    let load = nodes.load().await;
    load.reach(60).await;
    load.recorder.fault(DATABASE, Fault::Slow);
    let to = format!("tcp dport {} numgen random mod 20 == 0 drop", nodes.db.port());
    filter(&[to]);
    rest(millis(if full() { 60_000 } else { 2_000 })).await;
    unfilter();
    // Each piece of an answer comes late, as from another continent.
    proxy.delay(millis(80));
    rest(millis(if full() { 60_000 } else { 2_000 })).await;
    proxy.delay(millis(0));
    load.recorder.heal(DATABASE, Fault::Slow);
    nodes.finish("F14", load).await;
}

//! Rows that ask the same of every store: workers, callers and the net between them and a server.
//! The bodies are those of the embedded store's column; here clients are spread over three servers.

use haulier_sim::nemesis::{PgServer, RedisServer};

use super::{Backend, Fleet};
use crate::kit::alone;
use crate::site::{PORT, Running, Setup, Site};

/// Two servers that take calls, on a database to which the test adds a third one.
async fn two_others<D: Backend>() -> (Site, (D, Vec<Running>)) {
    let (site, db) = Fleet::<D>::site().await;
    let mut others: Vec<_> =
        [PORT + 1, PORT + 2].map(|port| site.launch_at(port, &Setup::default())).into();
    for other in &mut others {
        assert!(other.ready().await.is_none(), "{}", site.said());
    }
    let url = db.url();
    (site.on(url, vec![PORT, PORT + 1, PORT + 2]), (db, others))
}

macro_rules! rows {
    ($($name:ident => $body:path;)*) => {
        $(
            #[test]
            fn $name() {
                alone(module_path!(), stringify!($name), async {
                    let (site, _rest) = two_others::<PgServer>().await;
                    $body(&site).await;
                });
            }
        )*

        /// The same on Redis.
        mod redis {
            use super::*;

            $(
                #[test]
                fn $name() {
                    alone(module_path!(), stringify!($name), async {
                        let (site, _rest) = two_others::<RedisServer>().await;
                        $body(&site).await;
                    });
                }
            )*
        }
    };
}

rows! {
    f09_the_tasks_of_a_killed_worker_go_to_a_worker_at_another_server => crate::workers::killed;
    f09_the_tasks_of_a_vanished_http_worker_are_offered_again => crate::workers::vanished;
    f10_a_worker_that_was_frozen_changes_nothing_when_it_wakes => crate::workers::frozen;
    f11_a_task_that_kills_its_worker_at_any_server_is_dead_after_five => crate::workers::poisoned;
    f13_a_lost_answer_to_any_verb_does_nothing_twice => crate::network::answers_lost;
    f26_one_key_and_64_callers_at_three_servers_make_one_task => crate::callers::one_key;
    f27_readers_that_stop_reading_cost_neither_memory_nor_others_time => crate::callers::readers;
    f29_a_payload_of_the_limit_comes_back_whole => crate::callers::payloads;
    f33_a_server_without_descriptors_serves_again => crate::callers::descriptors;
    f34_handlers_that_all_fail_slow_nobody => crate::workers::failing;
}

#[test]
fn f12_a_worker_that_is_cut_off_loses_its_leases_and_no_more() {
    alone(module_path!(), "f12_a_worker_that_is_cut_off_loses_its_leases_and_no_more", async {
        let (site, _rest) = two_others::<PgServer>().await;
        crate::network::cut_off(&site).await;
    });
}

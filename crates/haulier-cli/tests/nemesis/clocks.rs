//! What happens to the server's clocks.

use haulier_sim::check::STORE;
use haulier_sim::history::Fault;
use haulier_sim::nemesis::{Shape, schedule};

use crate::kit::{alone, faketime, millis, rest, seed, times};
use crate::servers::load;
use crate::site::{Setup, Site};

const HOUR_MS: i64 = 3_600_000;

#[test]
fn f20_a_calendar_that_jumps_takes_no_lease_and_starts_nothing_early() {
    alone(
        module_path!(),
        "f20_a_calendar_that_jumps_takes_no_lease_and_starts_nothing_early",
        async {
            let site = Site::new();
            let offset = site.path().join("offset");
            std::fs::write(&offset, "+0\n").unwrap();
            let setup = Setup::default()
                .env("LD_PRELOAD", faketime().unwrap().to_str().unwrap())
                .env("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap())
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            let server = site.serve(&setup).await;
            let load = load(&site, Shape::default()).await;
            let mut now = 0;
            // An hour forth and back, then a strobe.
            for jump in
                schedule(seed(), times(60, 8), &[HOUR_MS, -HOUR_MS, 0, 200], (50, 400), (0, 1))
            {
                rest(jump.after).await;
                let (sign, by) =
                    if jump.fault < 0 { ('-', -jump.fault) } else { ('+', jump.fault) };
                // Whole: the server never reads half of it.
                let new = site.path().join("offset.new");
                std::fs::write(&new, format!("{sign}{}\n", by / 1_000)).unwrap();
                load.recorder.fault(STORE, Fault::Jump { ms: jump.fault - now });
                std::fs::rename(&new, &offset).unwrap();
                now = jump.fault;
            }
            std::fs::write(&offset, "+0\n").unwrap();
            load.recorder.fault(STORE, Fault::Jump { ms: -now });
            site.finish("F20", load, server).await;
        },
    );
}

#[test]
fn f20_a_monotonic_clock_that_begins_again_after_a_reboot_takes_no_lease() {
    alone(
        module_path!(),
        "f20_a_monotonic_clock_that_begins_again_after_a_reboot_takes_no_lease",
        async {
            let site = Site::new();
            let mut server = site.serve(&Setup::default()).await;
            let load = load(&site, Shape::default()).await;
            for turn in 0..times(20, 2) {
                rest(millis(400)).await;
                load.recorder.fault(STORE, Fault::Crash);
                server.kill().await;
                // Another machine's uptime: much shorter, or much longer.
                let offset = if turn % 2 == 0 { "-50" } else { "100000" };
                let words = ["unshare", "--time", "--monotonic", offset, "--boottime", offset];
                let words = words.into_iter().chain(["--fork", "--kill-child"]);
                server = site.serve(&Setup::under(words)).await;
                load.recorder.heal(STORE, Fault::Crash);
            }
            rest(millis(400)).await;
            site.finish("F20 after a reboot", load, server).await;
        },
    );
}

//! What happens to the disk.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use haulier_core::{Code, Enqueued, Include, Outcome, Queue as _, Settled, Settlement};
use haulier_sim::check::STORE;
use haulier_sim::history::Fault;
use haulier_sim::nemesis::{Load, Shape, schedule};

use crate::disk::FaultDisk;
use crate::kit::{alone, full, millis, rest, run, seed, times, until};
use crate::servers::load;
use crate::site::{Running, Setup, Site};

#[test]
fn f03_a_power_cut_takes_nothing_that_was_acknowledged() {
    alone(module_path!(), "f03_a_power_cut_takes_nothing_that_was_acknowledged", async {
        let site = Site::new();
        let mut disk = FaultDisk::new(site.path(), &site.disk()).await;
        let mut server = site.serve(&Setup::default()).await;
        let load = load(&site, Shape::default()).await;
        for cut in schedule(seed(), times(300, 3), &[()], (100, 700), (0, 1)) {
            rest(cut.after).await;
            server = power_cut(&site, &load, &mut disk, server).await;
        }
        site.finish("F3", load, server).await;
    });
}

async fn power_cut(site: &Site, load: &Load, disk: &mut FaultDisk, server: Running) -> Running {
    load.recorder.fault(STORE, Fault::Crash);
    server.kill().await;
    disk.cut();
    disk.restore().await;
    let server = site.serve(&Setup::default()).await;
    load.recorder.heal(STORE, Fault::Crash);
    server
}

/// The newest segment of a store that lies still.
fn segment(site: &Site) -> PathBuf {
    let names = std::fs::read_dir(&site.data).unwrap().map(|entry| entry.unwrap().path());
    let segments = names.filter(|path| path.extension().is_some_and(|e| e == "segment"));
    segments.max().unwrap()
}

#[test]
fn f05_a_byte_that_rotted_in_the_middle_of_the_log_stops_the_start_with_65() {
    alone(
        module_path!(),
        "f05_a_byte_that_rotted_in_the_middle_of_the_log_stops_the_start_with_65",
        async {
            let site = Site::new();
            let mut server = site.serve(&Setup::default()).await;
            let client = site.client().await;
            for _ in 0..20 {
                let tasks = vec![crate::servers::task(&client); 1];
                client.enqueue_many(tasks).await.unwrap();
            }
            drop(client);
            server.signal(rustix::process::Signal::TERM);
            assert_eq!(server.ended().await, Some(0));
            let path = segment(&site);
            let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let written = std::fs::read(&path).unwrap();
            let end = written.iter().rposition(|byte| *byte != 0).unwrap();
            for share in 1..times(40, 5) {
                // What fills a frame up to its border is zero, and means nothing.
                let near = end * share / times(40, 5);
                let at = (near..=end).find(|at| written[*at] != 0).unwrap();
                file.write_all_at(&[!written[at]], at as u64).unwrap();
                let mut server = site.launch(&Setup::default());
                let ended = server.ready().await;
                assert_eq!(ended, Some(Some(65)), "I16: byte {at} of {end}: {}", site.said());
                std::fs::write(&path, &written).unwrap();
            }
            let server = site.serve(&Setup::default()).await;
            println!("── F5: {} bytes rotted, one at a time", times(40, 5) - 1);
            drop(server);
        },
    );
}

#[test]
fn f05_a_write_that_the_disk_swallowed_is_reported_and_never_hidden() {
    alone(
        module_path!(),
        "f05_a_write_that_the_disk_swallowed_is_reported_and_never_hidden",
        async {
            let site = Site::new();
            let trace = site.path().join("trace");
            let words = ["strace", "-D", "-f", "-qq", "-e", "trace=pwrite64", "-o"];
            let watched = Setup::under(words.into_iter().chain(trace.to_str()));
            assert_eq!(one_by_one(&site, &watched).await, Some(0), "{}", site.said());
            let sizes = writes(&std::fs::read_to_string(&trace).unwrap());
            let mut reported = 0;
            let step = if full() { 1 } else { sizes.len().div_ceil(4) };
            for (at, size) in sizes.iter().enumerate().skip(1).step_by(step) {
                let site = Site::new();
                // The nth write of each thread: says yes, and writes nothing.
                let lost = format!("retval={size}:when={}", at + 1);
                let first = one_by_one(&site, &Setup::inject("pwrite64", &lost)).await;
                let again = site.launch(&Setup::default()).ready().await;
                let (_, said) = site.run(&["verify", site.data.to_str().unwrap()]).await;
                // The lie was met while running, or the next start stops at it; a write that
                // nothing needs any more leaves a store that is whole.
                let whole = again.is_none() && said.contains("sound");
                let told = first != Some(0) || again == Some(Some(65));
                assert!(told || whole, "I16: write {at}: {first:?}, {again:?}, {said}");
                reported += usize::from(told);
            }
            assert!(reported > 0, "I16: no swallowed write was ever reported");
            println!("── F5: {reported} of {} swallowed writes were reported", sizes.len());
        },
    );
}

#[test]
fn f05_an_answer_that_no_disk_can_give_ends_the_server_instead_of_hanging_it() {
    alone(
        module_path!(),
        "f05_an_answer_that_no_disk_can_give_ends_the_server_instead_of_hanging_it",
        async {
            let site = Site::new();
            // More than was asked: whoever writes panics.
            let lie = Setup::inject("pwrite64", "retval=1000000:when=8");
            let code = one_by_one(&site, &lie).await;
            assert_eq!(code, Some(74), "I16: {}", site.said());
            let _server = site.serve(&Setup::default()).await;
        },
    );
}

/// A server that is given twenty tasks, one after the other, and is told to stop: its exit code.
async fn one_by_one(site: &Site, setup: &Setup) -> Option<i32> {
    let mut server = site.launch(setup);
    if server.ready().await.is_none() {
        let client = site.client().await;
        for _ in 0..20 {
            if client.enqueue_many(vec![crate::servers::task(&client)]).await.is_err() {
                break;
            }
        }
        server.signal(rustix::process::Signal::TERM);
    }
    server.ended().await
}

/// How much each write of the thread that writes most wrote.
fn writes(trace: &str) -> Vec<u64> {
    let mut threads: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for line in trace.lines() {
        let size = line.rsplit(" = ").next().and_then(|size| size.trim().parse().ok());
        if let (Some((thread, _)), Some(size)) = (line.split_once(' '), size) {
            threads.entry(thread).or_default().push(size);
        }
    }
    threads.into_values().max_by_key(Vec::len).unwrap_or_default()
}

#[test]
fn f06_a_failed_sync_ends_the_server_with_74_and_loses_nothing() {
    alone(module_path!(), "f06_a_failed_sync_ends_the_server_with_74_and_loses_nothing", async {
        let site = Site::new();
        let mut server = site.serve(&Setup::default()).await;
        let load = load(&site, Shape::default()).await;
        let step = times(1, 9);
        for turn in 0..times(60, 4) {
            load.recorder.fault(STORE, Fault::Crash);
            server.kill().await;
            // Once, or from then on.
            let for_ever = if turn % 2 == 0 { "" } else { "+" };
            let how = format!("error=EIO:when={}{for_ever}", 1 + turn * step);
            let mut failing = site.launch(&Setup::inject("fdatasync", &how));
            let code = match failing.ready().await {
                Some(code) => code,
                None => failing.ended().await,
            };
            assert_eq!(code, Some(74), "I1: a failed sync, {how}: {}", site.said());
            server = site.serve(&Setup::default()).await;
            load.recorder.heal(STORE, Fault::Crash);
        }
        site.finish("F6", load, server).await;
    });
}

#[test]
fn f06_a_disk_that_refuses_to_write_ends_the_server_with_74_and_loses_nothing() {
    alone(
        module_path!(),
        "f06_a_disk_that_refuses_to_write_ends_the_server_with_74_and_loses_nothing",
        async {
            let site = Site::new();
            let mut disk = FaultDisk::new(site.path(), &site.disk()).await;
            let mut server = site.serve(&Setup::default()).await;
            let load = load(&site, Shape::default()).await;
            for turn in 0..times(30, 1) {
                load.reach(load.ids().len() + 60).await;
                load.recorder.fault(STORE, Fault::Crash);
                disk.fail(true);
                assert_eq!(server.ended().await, Some(74), "I1: turn {turn}: {}", site.said());
                // The page cache still shows what was never written; a new mount does not.
                disk.cut();
                disk.restore().await;
                server = site.serve(&Setup::default()).await;
                load.recorder.heal(STORE, Fault::Crash);
            }
            site.finish("F6 on a disk", load, server).await;
        },
    );
}

#[test]
fn f07_a_full_disk_refuses_new_tasks_alone_until_there_is_room() {
    alone(module_path!(), "f07_a_full_disk_refuses_new_tasks_alone_until_there_is_room", async {
        let site = Site::new();
        let at = site.disk();
        run("mount", &["-t", "tmpfs", "-o", "size=256m", "none", at.to_str().unwrap()]);
        let server = site.serve(&Setup::default()).await;
        let client = site.client().await;
        let queue = client.queue();
        // Somebody else takes what is left.
        let mut filler = std::fs::File::create(at.join("filler")).unwrap();
        let block = vec![1; 1 << 20];
        while filler.write_all(&block).is_ok() {}
        drop(filler);
        let mut accepted = Vec::new();
        let refused = loop {
            let mut task = crate::servers::task(&client);
            task.task.payload = haulier_core::Payload::new(vec![b'x'; 500_000], "text/plain");
            let id = task.id;
            match queue.enqueue(vec![task]).await {
                Ok(answers) => match &answers[0] {
                    Enqueued::Refused(refusal) => break refusal.code,
                    _ => accepted.push(id),
                },
                Err(error) => break error.code(),
            }
            assert!(accepted.len() < 2_000, "L5: the disk never fills");
        };
        assert_eq!(refused, Code::StorageFull, "I10: {}", site.said());
        complete(&client, accepted.len() / 2).await;
        std::fs::remove_file(at.join("filler")).unwrap();
        until("there is room again", || async {
            let task = crate::servers::task(&client);
            let answer = queue.enqueue(vec![task]).await;
            answer.is_ok_and(|answers| !matches!(answers[0], Enqueued::Refused(_)))
        })
        .await;
        server.kill().await;
        let server = site.serve(&Setup::default()).await;
        let inspect = client.inspect().unwrap();
        let found = inspect.get(accepted.clone(), Include::default(), millis(0)).await.unwrap();
        let there = found.iter().flatten().count();
        assert_eq!(there, accepted.len(), "I1: {there} of {} are there", accepted.len());
        println!("── F7: {} tasks of 500 kB until the disk was full", accepted.len());
        drop(server);
    });
}

/// On a full disk, too: tasks are leased and completed.
async fn complete(client: &haulier::Client, count: usize) {
    let queue = client.queue();
    for _ in 0..count {
        let name = haulier_core::QueueName::new("default").unwrap();
        let worker = haulier_core::WorkerId::new("w-1").unwrap();
        let want = haulier_core::Want::new(worker, name, 1);
        let lease = queue.lease(vec![want], millis(0)).await.unwrap().remove(0).remove(0);
        let outcome = Outcome::Complete { result: None };
        let ends = vec![Settlement { key: lease.key, outcome }];
        let settled = queue.settle(ends).await.unwrap();
        assert!(matches!(settled[0], Settled::Applied { .. }), "I13: {settled:?}");
    }
}

#[test]
fn f08_a_disk_that_stands_still_takes_no_lease_away() {
    alone(module_path!(), "f08_a_disk_that_stands_still_takes_no_lease_away", async {
        let site = Site::new();
        let disk = FaultDisk::new(site.path(), &site.disk()).await;
        let server = site.serve(&Setup::default()).await;
        let load = load(&site, Shape::default()).await;
        load.reach(200).await;
        for _ in 0..times(5, 1) {
            load.recorder.fault(STORE, Fault::Disk);
            disk.stall(true);
            rest(millis(if full() { 10_000 } else { 3_000 })).await;
            disk.stall(false);
            load.recorder.heal(STORE, Fault::Disk);
            load.reach(load.ids().len() + 100).await;
        }
        let (memory, _) = server.holds();
        assert!(memory < 600 << 20, "L5: {memory} bytes");
        let client = site.client().await;
        let seen = load.read(&client).await.unwrap();
        let lost = seen.iter().filter(|seen| seen.counts.1 > 0).count();
        assert_eq!(lost, 0, "I11: leases ran out while the disk stood still");
        site.finish("F8", load, server).await;
        drop(disk);
    });
}

//! What happens to the database and to what it stands on.

use std::io::Write as _;
use std::process::{Command, Stdio};

use haulier_core::{Code, Enqueued, Include, Payload, QueueName, Want, WorkerId};
use haulier_sim::history::Fault;
use haulier_sim::nemesis::{Load, PgServer, Shape, schedule};

use super::{Backend, DATABASE, Fleet, Nodes, TTL, database};
use crate::callers::{Flood, ROOM};
use crate::disk::FaultDisk;
use crate::kit::{alone, faketime, full, millis, rest, run, seed, times, until};
use crate::servers::task;
use crate::site::{Setup, Site};

/// What a server may hold whatever its database does.
const MEMORY_MAX: u64 = 400 << 20;

#[test]
fn f03_a_power_cut_of_the_database_takes_nothing_that_was_acknowledged() {
    alone(
        module_path!(),
        "f03_a_power_cut_of_the_database_takes_nothing_that_was_acknowledged",
        async {
            let (mut nodes, mut disk) = on_a_fault_disk().await;
            let load = nodes.load().await;
            for cut in schedule(seed(), times(50, 2), &[()], (300, 1_200), (0, 1)) {
                rest(cut.after).await;
                load.recorder.fault(DATABASE, Fault::Crash);
                nodes.db.kill();
                disk.cut();
                disk.restore().await;
                nodes.db.start().await.unwrap();
                nodes.listen().await;
                load.recorder.heal(DATABASE, Fault::Crash);
            }
            load.reach(load.ids().len() + 100).await;
            nodes.finish("F3", load).await;
            drop(disk);
        },
    );
}

/// Three servers, whose database stands on a disk that fails when it is told to.
async fn on_a_fault_disk() -> (Nodes, FaultDisk) {
    let site = Site::new();
    let disk = FaultDisk::new(site.path(), &site.disk()).await;
    let db = PgServer::create(&site.disk().join("pg")).await.unwrap();
    // What was made without syncing is synced now, as an installation would have been.
    run("sync", &["-f", site.disk().to_str().unwrap()]);
    let url = db.url();
    (Nodes::on(site, db, &url, 3).await, disk)
}

#[test]
fn f05_a_byte_that_rotted_in_a_table_is_an_error_and_never_a_delivery() {
    alone(
        module_path!(),
        "f05_a_byte_that_rotted_in_a_table_is_an_error_and_never_a_delivery",
        async {
            let (site, mut db) = Nodes::site().await;
            let server = site.serve(&Setup::default()).await;
            let client = site.client().await;
            // Others fill the first pages: whether there are tasks is seen there at every start.
            let others = (0..500).map(|_| task(&client)).collect();
            client.enqueue_many(others).await.unwrap();
            let mark = "a payload whose bytes are easily found in a file";
            let mut new = task(&client);
            new.task.queue = QueueName::new("rotten").unwrap();
            new.task.payload = Payload::new(mark.as_bytes(), "text/plain");
            let id = new.id;
            client.enqueue_many(vec![new]).await.unwrap();
            server.kill().await;
            rot(&mut db, mark).await;
            let server = site.serve(&Setup::default()).await;
            let client = site.client().await;
            let lease = async |queue| {
                let queue = QueueName::new(queue).unwrap();
                let want = Want::new(WorkerId::new("w-1").unwrap(), queue, 1);
                client.queue().lease(vec![want], millis(0)).await
            };
            let rotten = lease("rotten").await;
            assert!(rotten.is_err(), "I9, I16: {rotten:?}");
            let read = client.inspect().unwrap().get(vec![id], Include::ALL, millis(0)).await;
            assert!(read.is_err(), "I16: {read:?}");
            let other = lease("default").await.unwrap();
            assert_eq!(other.iter().map(Vec::len).sum::<usize>(), 1, "L6: another queue goes on");
            drop(server);
        },
    );
}

/// Changes one byte of what stands there, on the disk.
async fn rot(db: &mut PgServer, mark: &str) {
    db.sql("checkpoint").unwrap();
    let table = db.sql("select pg_relation_filepath('haulier.task')").unwrap();
    db.stop().unwrap();
    let path = db.data().join(table);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(mark.len()).position(|bytes| bytes == mark.as_bytes()).unwrap();
    bytes[at] = b'A';
    std::fs::write(&path, bytes).unwrap();
    db.start().await.unwrap();
}

#[test]
fn f06_a_sync_that_fails_in_the_database_loses_nothing() {
    alone(module_path!(), "f06_a_sync_that_fails_in_the_database_loses_nothing", async {
        let nodes = Nodes::new().await;
        let load = nodes.load().await;
        for _ in 0..times(20, 2) {
            load.reach(load.ids().len() + 60).await;
            load.recorder.fault(DATABASE, Fault::Disk);
            // It panics, and recovers by itself.
            failing_syncs(&nodes.db).await;
            nodes.listen().await;
            load.recorder.heal(DATABASE, Fault::Disk);
        }
        load.reach(load.ids().len() + 60).await;
        nodes.finish("F6", load).await;
    });
}

/// Every sync of the write-ahead log fails until one has.
async fn failing_syncs(db: &PgServer) {
    let panics = || db.text().matches("PANIC").count();
    let before = panics();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"]);
    strace.args(["-e", "inject=fdatasync:error=EIO"]);
    for process in db.processes() {
        strace.args(["-p", &process.to_string()]);
    }
    let mut strace = strace.stderr(Stdio::null()).spawn().unwrap();
    until("a sync fails", || std::future::ready(panics() > before)).await;
    // On its end it lets go of all, and nothing fails any more.
    run("kill", &["-TERM", &strace.id().to_string()]);
    strace.wait().unwrap();
}

#[test]
fn f07_a_full_disk_of_the_database_refuses_tasks_until_there_is_room() {
    alone(
        module_path!(),
        "f07_a_full_disk_of_the_database_refuses_tasks_until_there_is_room",
        async {
            let site = Site::new();
            let at = site.disk();
            run("mount", &["-t", "tmpfs", "-o", "size=160m", "none", at.to_str().unwrap()]);
            let db = PgServer::create(&at.join("pg")).await.unwrap();
            let url = db.url();
            let mut nodes = Nodes::on(site, db, &url, 3).await;
            let load = nodes.load().await;
            load.reach(100).await;
            load.recorder.fault(DATABASE, Fault::Disk);
            let filler = nodes.site.disk().join("filler");
            fill(&filler);
            let refused = until_refused(&nodes).await;
            let expected = [Code::StorageFull, Code::Unavailable, Code::UnknownOutcome];
            assert!(expected.contains(&refused), "I10: {refused:?}: {}", nodes.site.said());
            std::fs::remove_file(filler).unwrap();
            // Without room for its log it may have ended; whoever frees the disk starts it again.
            if nodes.db.sql("select 1").is_err() {
                nodes.db.kill();
                nodes.db.start().await.unwrap();
            }
            nodes.listen().await;
            load.recorder.heal(DATABASE, Fault::Disk);
            load.reach(load.ids().len() + 50).await;
            nodes.finish("F7", load).await;
        },
    );
}

/// Somebody else takes what is left.
fn fill(path: &std::path::Path) {
    let mut filler = std::fs::File::create(path).unwrap();
    let mut size = 1 << 20;
    while size > 0 {
        if filler.write_all(&vec![1; size]).is_err() {
            size /= 2;
        }
    }
}

/// Hands tasks over until one is not taken, and says why.
async fn until_refused(nodes: &Nodes) -> Code {
    let client = nodes.client().await;
    for _ in 0..2_000 {
        let mut task = task(&client);
        task.task.payload = Payload::new(vec![b'x'; 100_000], "text/plain");
        match client.queue().enqueue(vec![task]).await {
            Ok(answers) => {
                if let Enqueued::Refused(refusal) = &answers[0] {
                    return refusal.code;
                }
            }
            Err(error) => return error.code(),
        }
    }
    panic!("L5: the disk never fills");
}

#[test]
fn f08_a_disk_of_the_database_that_stands_still_takes_no_lease_away() {
    alone(
        module_path!(),
        "f08_a_disk_of_the_database_that_stands_still_takes_no_lease_away",
        async {
            let (nodes, disk) = on_a_fault_disk().await;
            let load = nodes.load_for(millis(30_000)).await;
            load.reach(150).await;
            for _ in 0..times(5, 1) {
                load.recorder.fault(DATABASE, Fault::Disk);
                disk.stall(true);
                rest(millis(if full() { 10_000 } else { 3_000 })).await;
                disk.stall(false);
                load.recorder.heal(DATABASE, Fault::Disk);
                load.reach(load.ids().len() + 100).await;
            }
            no_lease_was_lost(&nodes, &load).await;
            nodes.finish("F8", load).await;
            drop(disk);
        },
    );
}

pub async fn no_lease_was_lost<D: Backend>(nodes: &Fleet<D>, load: &Load) {
    let seen = load.read(&nodes.client().await).await.unwrap();
    let lost = seen.iter().filter(|seen| seen.counts.1 > 0).count();
    assert_eq!(lost, 0, "I11: leases ran out although every worker was there");
}

#[test]
fn f16_a_database_killed_again_and_again_loses_nothing() {
    alone(module_path!(), "f16_a_database_killed_again_and_again_loses_nothing", async {
        killed(Nodes::new().await).await;
    });
}

/// The database is killed, again and again.
pub async fn killed<D: Backend>(mut nodes: Fleet<D>) {
    let load = nodes.load().await;
    // Every 5 s for 3 min; the short form begins sooner and ends sooner.
    let every = if full() { (4_500, 5_500) } else { (600, 1_200) };
    for kill in schedule(seed(), times(36, 3), &[()], every, (0, 800)) {
        rest(kill.after).await;
        nodes.strike_database(&load, kill.lasts).await;
    }
    load.reach(load.ids().len() + 100).await;
    nodes.finish("F16", load).await;
}

#[test]
fn f17_a_database_that_stands_still_costs_no_memory_and_no_lease() {
    alone(module_path!(), "f17_a_database_that_stands_still_costs_no_memory_and_no_lease", async {
        still(Nodes::new().await).await;
    });
}

/// The database stands still.
pub async fn still<D: Backend>(nodes: Fleet<D>) {
    let load = nodes.load_for(millis(120_000)).await;
    load.reach(100).await;
    load.recorder.fault(DATABASE, Fault::Pause);
    nodes.db.freeze(true);
    let crowd = crowd(&nodes, times(2_000, 200)).await;
    let mut most = 0;
    for _ in 0..times(600, 30) {
        rest(millis(100)).await;
        let held = nodes.servers.iter().map(|server| server.holds().0);
        most = held.max().unwrap_or(0).max(most);
        assert!(most < MEMORY_MAX, "L5: {} MiB", most >> 20);
    }
    nodes.db.freeze(false);
    nodes.listen().await;
    load.recorder.heal(DATABASE, Fault::Pause);
    for caller in crowd {
        // Each is told something: that it is stored, or that it may or may not be.
        let _told = caller.await.unwrap();
    }
    load.reach(load.ids().len() + 50).await;
    no_lease_was_lost(&nodes, &load).await;
    println!("── F17: {} MiB at most", most >> 20);
    nodes.finish("F17", load).await;
}

/// So many callers at once, who all want an answer.
async fn crowd<D: Backend>(nodes: &Fleet<D>, count: usize) -> Vec<tokio::task::JoinHandle<bool>> {
    let mut callers = Vec::new();
    let clients = [nodes.client().await, nodes.client().await, nodes.client().await];
    for client in clients.iter().cycle().take(count) {
        let client = client.clone();
        callers.push(tokio::spawn(async move {
            let task = task(&client);
            client.queue().enqueue(vec![task]).await.is_ok()
        }));
    }
    callers
}

#[test]
fn f20_a_calendar_of_the_database_that_jumps_takes_no_lease_and_starts_nothing_early() {
    alone(
        module_path!(),
        "f20_a_calendar_of_the_database_that_jumps_takes_no_lease_and_starts_nothing_early",
        async {
            let (site, mut db) = database::<PgServer>().await;
            let offset = site.path().join("offset");
            std::fs::write(&offset, "+0\n").unwrap();
            db.stop().unwrap();
            let (library, file) = (faketime().unwrap(), offset.to_str().unwrap());
            db.start_under(&[
                "env",
                &format!("LD_PRELOAD={}", library.display()),
                &format!("FAKETIME_TIMESTAMP_FILE={file}"),
                "FAKETIME_NO_CACHE=1",
                "FAKETIME_DONT_FAKE_MONOTONIC=1",
            ]);
            db.start().await.unwrap();
            let url = db.url();
            let nodes = Nodes::on(site, db, &url, 3).await;
            let load = nodes.load_for(millis(5_000)).await;
            let hour = 3_600_000;
            let mut now: i64 = 0;
            let jumps = schedule(seed(), times(60, 6), &[hour, -hour, 0], (300, 900), (0, 1));
            for (after, to) in jumps.iter().map(|j| (j.after, j.fault)).chain([(millis(500), 0)]) {
                rest(after).await;
                // Whole: the database never reads half of it.
                let new = nodes.site.path().join("offset.new");
                std::fs::write(&new, format!("{:+}\n", to / 1_000)).unwrap();
                load.recorder.fault(DATABASE, Fault::Jump { ms: to - now });
                std::fs::rename(&new, &offset).unwrap();
                now = to;
            }
            load.reach(load.ids().len() + 50).await;
            no_lease_was_lost(&nodes, &load).await;
            nodes.finish("F20", load).await;
        },
    );
}

#[test]
fn f25_a_transaction_that_stays_open_holds_up_no_task() {
    alone(module_path!(), "f25_a_transaction_that_stays_open_holds_up_no_task", async {
        let nodes = Nodes::new().await;
        let mut load = nodes.load_of(Shape { pause_ms: 5, ..Shape::default() }, TTL).await;
        load.reach(200).await;
        // It sees everything, keeps vacuum from removing anything, and writes, too.
        let begin = "create table theirs (n int); begin isolation level repeatable read; \
                     insert into theirs values (1); select count(*) from pg_class;";
        let mut session = nodes.db.session(begin).unwrap();
        until("the transaction is open", || {
            let open = "select count(*) from pg_stat_activity where state = 'idle in transaction'";
            std::future::ready(nodes.db.sql(open).is_ok_and(|count| count != "0"))
        })
        .await;
        load.reach(load.ids().len() + times(100_000, 800)).await;
        // Everything ends while it is still open.
        nodes.drained(&mut load).await;
        assert!(session.try_wait().unwrap().is_none(), "the transaction did not stay open");
        session.kill().unwrap();
        session.wait().unwrap();
        nodes.finish("F25", load).await;
    });
}

#[test]
fn f28_megabytes_for_a_database_that_stands_still_are_refused() {
    alone(module_path!(), "f28_megabytes_for_a_database_that_stands_still_are_refused", async {
        flooded(Nodes::many(1).await).await;
    });
}

/// Megabytes come in while the database stands still.
pub async fn flooded<D: Backend>(nodes: Fleet<D>) {
    nodes.db.freeze(true);
    let calls = times(2_000, 300);
    let flood = Flood::of(calls);
    let mut most = 0;
    until("what finds no room is refused", || {
        most = most.max(nodes.servers[0].holds().0);
        assert!(most < MEMORY_MAX, "L5: {} MiB", most >> 20);
        std::future::ready(flood.refused() >= calls - ROOM)
    })
    .await;
    nodes.db.freeze(false);
    flood.end().await;
    until("it serves again", || async {
        let client = nodes.client().await;
        client.enqueue_many(vec![task(&client)]).await.is_ok()
    })
    .await;
    println!("── F28 on {}: {} MiB at most", D::NAME, most >> 20);
}

#[test]
fn f33_servers_that_want_more_connections_than_there_are_serve_with_those() {
    alone(
        module_path!(),
        "f33_servers_that_want_more_connections_than_there_are_serve_with_those",
        async {
            let (site, mut db) = database::<PgServer>().await;
            db.stop().unwrap();
            db.configure("max_connections = 20").unwrap();
            db.start().await.unwrap();
            // Three servers want sixteen each, and those for notifications besides.
            let url = db.url();
            let nodes = Nodes::on(site, db, &url, 3).await;
            let load = nodes.load_of(Shape { pause_ms: 5, ..Shape::default() }, TTL).await;
            load.reach(times(20_000, 300)).await;
            nodes.finish("F33", load).await;
        },
    );
}

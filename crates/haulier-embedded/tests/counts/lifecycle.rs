//! What a lifecycle costs.

use std::process::Command;

use crate::bounds::check;
use crate::world::World;

const ROUNDS: u32 = 3;
const BATCH: u32 = 1_000;

/// A world in which everything that grows at first has grown.
fn warm() -> World {
    let mut world = World::new();
    (0..4).for_each(|_| world.live(BATCH));
    world
}

#[test]
fn a_lifecycle_takes_no_more_allocations_than_recorded() {
    let mut world = warm();
    let many = allocation_counter::measure(|| (0..ROUNDS).for_each(|_| world.live(BATCH)));
    check("batch.allocations", per(many.count_total, ROUNDS * BATCH), 5.0);
    let one = allocation_counter::measure(|| (0..BATCH).for_each(|_| world.live(1)));
    check("single.allocations", per(one.count_total, BATCH), 5.0);
}

#[test]
fn a_lifecycle_takes_no_more_syncs_and_log_bytes_than_recorded() {
    let mut world = warm();
    let mut count = |name: &str, batch: u32, rounds: u32| {
        let (syncs, bytes) = (world.counts.syncs(), world.counts.bytes());
        (0..rounds).for_each(|_| world.live(batch));
        let tasks = batch * rounds;
        let syncs = per((world.counts.syncs() - syncs) * 1_000, tasks);
        check(&format!("{name}.syncs-a-thousand"), syncs, 0.0);
        let bytes = per(world.counts.bytes() - bytes, tasks);
        check(&format!("{name}.log-bytes"), bytes, 2.0);
        bytes
    };
    let bytes = count("batch", BATCH, ROUNDS);
    assert!(
        bytes <= 350.0,
        "a lifecycle of 200 bytes takes {bytes:.0} in the log; 350 are promised"
    );
    count("single", 1, BATCH);
}

#[test]
fn a_lifecycle_takes_no_more_instructions_than_recorded() {
    for (name, batch, few, many) in [("batch", BATCH, 2, 6), ("single", 1, 500, 1_500)] {
        // What starts and ends the program falls out of the difference.
        let more = instructions(batch, many) - instructions(batch, few);
        check(&format!("{name}.instructions"), per(more, batch * (many - few)), 8.0);
    }
}

fn per(total: u64, tasks: u32) -> f64 {
    f64::from(u32::try_from(total).unwrap_or(u32::MAX)) / f64::from(tasks)
}

/// Counts the instructions of this program when it runs [`some_lifecycles`].
fn instructions(batch: u32, rounds: u32) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["lifecycle::some_lifecycles", "--exact", "--test-threads=1"])
        .env("HAULIER_COUNTS", format!("{batch} {rounds}"))
        .current_dir(directory.path())
        .output();
    let output = output.unwrap_or_else(|error| {
        panic!("valgrind could not be started ({error}); install it: apt-get install valgrind")
    });
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let Some((_, count)) = collected else { panic!("valgrind counted nothing: {said}") };
    count.trim().parse().unwrap()
}

/// The program whose instructions are counted; by itself, it shows that its lifecycles go through.
#[test]
fn some_lifecycles() {
    let plan = std::env::var("HAULIER_COUNTS").unwrap_or_else(|_| "10 2".to_owned());
    let mut words = plan.split(' ').map(|word| word.parse::<u32>().unwrap());
    let (batch, rounds) = (words.next().unwrap(), words.next().unwrap());
    let mut world = warm();
    (0..rounds).for_each(|_| world.live(batch));
    assert!(world.counts.syncs() > 0);
}

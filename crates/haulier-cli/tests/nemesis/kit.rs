//! A test alone in its namespaces, and the tools that break things for it.

use std::future::Future;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use haulier::Client;
use haulier_core::{Clock, SystemClock};
use haulier_sim::nemesis::{PgServer, RedisServer};

/// The program under test.
pub const HAULIER: &str = env!("CARGO_BIN_EXE_haulier");

/// What the tests need of a machine: a program, and the Debian package that has it.
const TOOLS: [(&str, &str); 16] = [
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("losetup", "util-linux"),
    ("flock", "util-linux"),
    ("mount", "mount"),
    ("mkfs.ext4", "e2fsprogs"),
    ("strace", "strace"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("nft", "nftables"),
    ("nbdkit", "nbdkit"),
    ("nbdfuse", "libnbd-bin"),
    ("fusermount3", "fuse3"),
    ("timeout", "coreutils"),
    ("sh", "dash"),
    ("pgbouncer", "pgbouncer"),
];

const INSIDE: &str = "HAULIER_INSIDE";

/// Whether the long form was asked for.
pub fn full() -> bool {
    std::env::var("HAULIER_CAMPAIGN").is_ok_and(|form| form == "full")
}

/// How often: the long form, or the short one.
pub fn times(long: usize, short: usize) -> usize {
    if full() { long } else { short }
}

/// What decides the schedule and the load.
pub fn seed() -> u64 {
    std::env::var("HAULIER_SEED").ok().map_or(1, |seed| seed.parse().unwrap())
}

/// Waits on the machine's clock.
pub async fn rest(span: Duration) {
    SystemClock::new().sleep(span).await;
}

pub fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Asks again and again, less and less often, until the answer is yes.
#[track_caller]
pub fn until<F: Future<Output = bool>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    let what = what.to_owned();
    async move {
        let clock = SystemClock::new();
        let mut pause = millis(5);
        while !ask().await {
            assert!(clock.monotonic() < Duration::from_mins(2), "{place}: never: {what}");
            clock.sleep(pause).await;
            pause = (pause * 2).min(millis(100));
        }
    }
}

/// Runs a command to its end; it must succeed.
#[track_caller]
pub fn run(program: &str, args: &[&str]) -> String {
    let output = output(program, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {} {said}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs a command to its end, whatever that is.
#[track_caller]
pub fn output(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).output();
    output.unwrap_or_else(|error| panic!("{program} cannot be started: {error}"))
}

/// Runs a test in its own mount, network and process namespaces: what it mounts, cuts and starts is
/// gone when it ends, however it ends. `module` is `module_path!()`, `name` the test's.
pub fn alone(module: &str, name: &str, body: impl Future<Output = ()>) {
    if std::env::var(INSIDE).is_ok_and(|inside| inside == name) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(body);
        return;
    }
    provide();
    let test = format!("{}::{name}", module.split_once("::").map_or("", |(_, rest)| rest));
    let limit = if full() { "3600" } else { "300" };
    let exe = std::env::current_exe().unwrap();
    let shell = "ip link set lo up && exec \"$0\" \"$1\" --exact --nocapture";
    let output = Command::new("timeout")
        .args(["-s", "KILL", limit, "unshare", "--mount", "--net", "--pid", "--fork"])
        .args(["--kill-child", "--mount-proc", "sh", "-c", shell])
        .arg(exe)
        .arg(&test)
        .env(INSIDE, name)
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let ran = said.contains("1 passed");
    assert!(
        output.status.success() && ran,
        "{said}\n{}\n  to repeat it: {} cargo test -p haulier-cli --test nemesis {name}",
        output.status,
        format_args!("HAULIER_SEED={}", seed())
    );
    if let Some(line) = said.lines().find(|line| line.starts_with("── ")) {
        println!("{line}");
    }
}

/// Fails with the cure if the machine cannot do what the tests need; nothing is skipped.
fn provide() {
    assert!(
        rustix::process::geteuid().is_root(),
        "the fault matrix needs root: it mounts, cuts networks and freezes processes, all in \
         namespaces of its own; run it as root, or in a container with --privileged"
    );
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |tool: &str| std::env::split_paths(&path).any(|dir| dir.join(tool).exists());
    let mut missing: Vec<&str> =
        TOOLS.iter().filter(|(tool, _)| !there(tool)).map(|(_, package)| *package).collect();
    if faketime().is_none() {
        missing.push("libfaketime");
    }
    if !PgServer::is_installed() {
        missing.push("postgresql");
    }
    if !RedisServer::is_installed() {
        missing.push("redis-server");
    }
    missing.dedup();
    assert!(
        missing.is_empty(),
        "the fault matrix needs: apt-get install -y --no-install-recommends {}",
        missing.join(" ")
    );
    assert!(
        PathBuf::from("/dev/fuse").exists() && PathBuf::from("/dev/loop-control").exists(),
        "the fault disk needs /dev/fuse and /dev/loop-control: in a container, run it --privileged"
    );
}

/// The library that moves a program's calendar.
pub fn faketime() -> Option<PathBuf> {
    let arch = std::env::consts::ARCH;
    let dirs = [format!("/usr/lib/{arch}-linux-gnu/faketime"), "/usr/lib/faketime".to_owned()];
    let found = dirs.iter().map(|dir| PathBuf::from(dir).join("libfaketimeMT.so.1"));
    found.into_iter().find(|path| path.exists())
}

/// A client with one connection of its own.
pub async fn connect(url: &str) -> Client {
    Client::builder(url).connections(1).open().await.unwrap()
}

//! What the tests need of the machine besides cargo, most of it for the fault matrix. What is
//! missing is installed where that is possible without asking (Debian, as root); elsewhere it is
//! said what to type. Nothing is skipped because a tool is not there.

use std::path::Path;
use std::process::Command;

/// A file that shows that a package is there, and the package.
const TOOLS: [(&[&str], &str); 12] = [
    (&["/usr/bin/unshare"], "util-linux"),
    (&["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"], "e2fsprogs"),
    (&["/usr/bin/strace"], "strace"),
    (&["/usr/sbin/ip", "/usr/bin/ip", "/sbin/ip"], "iproute2"),
    (&["/usr/sbin/nft"], "nftables"),
    (&["/usr/bin/nbdkit", "/usr/sbin/nbdkit"], "nbdkit"),
    (&["/usr/bin/nbdfuse"], "libnbd-bin"),
    (&["/usr/bin/fusermount3"], "fuse3"),
    (&["/usr/lib/postgresql"], "postgresql"),
    (&["/usr/sbin/pgbouncer"], "pgbouncer"),
    (&["/usr/bin/redis-server"], "redis-server"),
    // It counts instructions.
    (&["/usr/bin/valgrind"], "valgrind"),
];

/// Where Debian keeps the library that moves a program's calendar.
const FAKETIME: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// Installs what is missing.
pub fn provide() -> Result<(), String> {
    let missing = missing();
    if missing.is_empty() {
        println!("   everything is there");
        return Ok(());
    }
    let line = format!("apt-get install -y --no-install-recommends {}", missing.join(" "));
    println!("   {line}");
    let installed = run("apt-get update -q") && run(&line);
    if installed && self::missing().is_empty() {
        return Ok(());
    }
    Err(format!("the tests need tools that are not there; as root: apt-get update && {line}"))
}

fn missing() -> Vec<&'static str> {
    let there = |places: &[&str]| places.iter().any(|place| Path::new(place).exists());
    let mut missing: Vec<&str> =
        TOOLS.iter().filter(|(places, _)| !there(places)).map(|(_, package)| *package).collect();
    if !there(&FAKETIME) {
        missing.push("libfaketime");
    }
    missing
}

fn run(line: &str) -> bool {
    let mut words = line.split(' ');
    let Some(program) = words.next() else { return false };
    let status =
        Command::new(program).args(words).env("DEBIAN_FRONTEND", "noninteractive").status();
    status.is_ok_and(|status| status.success())
}

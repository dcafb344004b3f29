//! A disk that fails when told to: a file behind nbdkit, which keeps what is not synced in its own
//! memory; an ext4 on a loop device on top. Errors by a trigger file, standing still by a signal, a
//! power cut by killing nbdkit.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::kit::{output, run, until};

pub struct FaultDisk {
    dir: PathBuf,
    at: PathBuf,
    parts: Option<Parts>,
}

/// What runs while the disk is there.
struct Parts {
    kit: Child,
    fuse: Child,
    device: String,
}

const SIZE: &str = "256M";
/// Two tests that look for a free loop device at a time would find the same one.
const LOOP_LOCK: &str = "/tmp/haulier-nemesis.loop";

impl FaultDisk {
    /// A new disk of this directory, mounted at `at`.
    pub async fn new(dir: &Path, at: &Path) -> Self {
        let mut disk = Self { dir: dir.to_owned(), at: at.to_owned(), parts: None };
        run("truncate", &["-s", SIZE, &disk.path("image")]);
        disk.plug_in().await;
        let device = disk.parts.as_ref().unwrap().device.clone();
        // As written by another machine: without lazily written tables there is nothing in the
        // background that would be cut as well.
        run("mkfs.ext4", &["-q", "-E", "lazy_itable_init=0,nodiscard", &device]);
        disk.mount();
        disk
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    async fn plug_in(&mut self) {
        let (socket, trigger, fuse) =
            (self.path("socket"), self.path("trigger"), self.path("fuse"));
        std::fs::create_dir_all(&fuse).unwrap();
        let kit = Command::new("nbdkit")
            .args(["-f", "-U", &socket, "--filter=cache", "--filter=error", "file"])
            .args([&self.path("image"), "cache=writeback", "error-pwrite=EIO"])
            .args(["error-pwrite-rate=100%", &format!("error-pwrite-file={trigger}")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        until("nbdkit listens", || std::future::ready(Path::new(&socket).exists())).await;
        let file = format!("{fuse}/nbd");
        let daemon = Command::new("nbdfuse")
            .args([&file, "--unix", &socket])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        until("nbdfuse is mounted", || {
            let there = std::fs::metadata(&file).is_ok_and(|file| file.len() > 0);
            std::future::ready(there)
        })
        .await;
        let device = run("flock", &[LOOP_LOCK, "losetup", "-f", "--show", &file]);
        self.parts = Some(Parts { kit, fuse: daemon, device });
    }

    fn mount(&self) {
        let device = &self.parts.as_ref().unwrap().device;
        run("mount", &[device, self.at.to_str().unwrap()]);
    }

    /// Every write to it fails from now on, or none.
    pub fn fail(&self, fails: bool) {
        let trigger = self.path("trigger");
        if fails {
            std::fs::write(trigger, "").unwrap();
        } else {
            std::fs::remove_file(trigger).unwrap();
        }
    }

    /// It stands still, or goes on.
    pub fn stall(&self, stalls: bool) {
        let id = self.parts.as_ref().unwrap().kit.id();
        let signal = if stalls { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
    }

    /// The power goes: what was not synced is gone. Whoever used the disk must be dead.
    pub fn cut(&mut self) {
        let Some(mut parts) = self.parts.take() else { return };
        parts.kit.kill().unwrap();
        parts.kit.wait().unwrap();
        // What the kernel still wants to write meets a dead disk, and is dropped.
        output("umount", &["-l", self.at.to_str().unwrap()]);
        parts.fuse.kill().unwrap();
        parts.fuse.wait().unwrap();
        output("losetup", &["-d", &parts.device]);
        output("umount", &["-l", &self.path("fuse")]);
        for name in ["socket", "trigger"] {
            let _was_not_there = std::fs::remove_file(self.path(name)).is_err();
        }
    }

    /// The power comes back.
    pub async fn restore(&mut self) {
        self.plug_in().await;
        self.mount();
    }
}

impl Drop for FaultDisk {
    fn drop(&mut self) {
        self.cut();
    }
}

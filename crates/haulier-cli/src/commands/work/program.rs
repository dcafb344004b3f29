//! One program for one task: the payload in, the result out, and nothing left running afterwards.
//!
//! The program has a process group of its own. However its attempt ends, the group ends with it: by
//! itself, by SIGTERM and patience, or by SIGKILL when the attempt is dropped.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use haulier::{Ctx, Raw, State, TaskError};
use haulier_core::Payload;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// How often a group that was asked to end is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long its output is waited for once it has ended: somebody else may hold the pipe.
const LAST_OUTPUT: Duration = Duration::from_secs(1);
/// What is kept of its standard error, the end of it, in bytes.
const ERRORS_BYTES_MAX: usize = 4 * 1024;
/// The exit code that rejects a task.
const REJECT: i32 = 65;

/// What to run.
#[derive(Debug)]
pub struct Program {
    /// Command for a shell.
    pub command: String,
    /// Largest result that the store takes.
    pub result_bytes_max: usize,
}

/// The handler.
pub async fn run_program(
    raw: Raw,
    State(program): State<Arc<Program>>,
    ctx: Ctx,
) -> Result<Option<Payload>, TaskError> {
    let (mut child, group) = start(&program, &ctx)?;
    let stdin = child.stdin.take().map(|mut stdin| {
        // A program that does not read its payload is free not to.
        tokio::spawn(async move { stdin.write_all(&raw.payload.bytes).await })
    });
    let output = child.stdout.take().map(|pipe| read(pipe, Keep::First(program.result_bytes_max)));
    let errors = child.stderr.take().map(|pipe| read(pipe, Keep::Last(ERRORS_BYTES_MAX)));
    let status = tokio::select! {
        status = child.wait() => status?,
        () = ctx.cancelled() => {
            stop(&mut child, &group, &ctx).await;
            return Err(TaskError::cancelled());
        }
    };
    let clock = ctx.clock();
    let output = gather(output, &group, clock.sleep(LAST_OUTPUT)).await;
    let errors = gather(errors, &group, clock.sleep(LAST_OUTPUT)).await;
    group.has_ended();
    if let Some(stdin) = stdin {
        stdin.abort();
    }
    outcome(status, output, &String::from_utf8_lossy(&errors.bytes), program.result_bytes_max)
}

fn start(program: &Program, ctx: &Ctx) -> Result<(Child, Group), TaskError> {
    let task = ctx.task();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &program.command])
        .env("HAULIER_TASK_ID", task.id.to_string())
        .env("HAULIER_KIND", task.kind.as_str())
        .env("HAULIER_QUEUE", task.queue.as_str())
        .env("HAULIER_ATTEMPT", ctx.attempt().to_string())
        .env("HAULIER_EPOCH", ctx.epoch().to_string())
        .env_remove("TRACEPARENT")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(parent) = ctx.headers().get("traceparent").filter(|value| !value.contains('\0')) {
        command.env("TRACEPARENT", parent);
    }
    let child = command.spawn()?;
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    Ok((child, Group { id, ended: false }))
}

/// Asks the group to end and gives it time. Whoever is left then is killed when the group is
/// dropped.
async fn stop(child: &mut Child, group: &Group, ctx: &Ctx) {
    group.signal(Signal::TERM);
    let clock = ctx.clock();
    let until = clock.monotonic().saturating_add(GRACE);
    // Only the leader is our child; nobody tells when the others have ended, so they are looked
    // for.
    while clock.monotonic() < until {
        let leader_runs = matches!(child.try_wait(), Ok(None));
        if !leader_runs && !group.is_there() {
            return;
        }
        clock.sleep(LOOK_EVERY).await;
    }
}

/// A program and all that it started.
struct Group {
    id: Option<Pid>,
    ended: bool,
}

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(Err(error)) = self.id.map(|id| kill_process_group(id, signal)) {
            tracing::debug!("nobody is left in the program's group: {error}");
        }
    }

    fn is_there(&self) -> bool {
        self.id.is_some_and(|id| test_kill_process_group(id).is_ok())
    }

    /// Nobody is left: its number may soon be somebody else's.
    fn has_ended(mut self) {
        self.ended = true;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.ended {
            self.signal(Signal::KILL);
        }
    }
}

/// Which end of an output is kept.
#[derive(Clone, Copy)]
enum Keep {
    First(usize),
    Last(usize),
}

#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    /// There was more than is kept.
    cut: bool,
}

/// Reads to the end, so that the program never blocks, and keeps a bounded part.
fn read(mut pipe: impl AsyncRead + Unpin + Send + 'static, keep: Keep) -> JoinHandle<Output> {
    tokio::spawn(async move {
        let mut output = Output::default();
        let mut chunk = vec![0; 16 * 1024];
        // An error ends an output as its end does: the exit code decides.
        while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
            output.take(&chunk[..count], keep);
        }
        output
    })
}

impl Output {
    fn take(&mut self, chunk: &[u8], keep: Keep) {
        match keep {
            Keep::First(max) => {
                let room = max.saturating_sub(self.bytes.len());
                self.cut |= chunk.len() > room;
                self.bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
            Keep::Last(max) => {
                self.bytes.extend_from_slice(chunk);
                let excess = self.bytes.len().saturating_sub(max);
                self.cut |= excess > 0;
                self.bytes.drain(..excess);
            }
        }
    }
}

/// What was read, once the pipe has ended. A background process that keeps it open is killed: what
/// it would do belongs to no attempt any more.
async fn gather(
    reader: Option<JoinHandle<Output>>,
    group: &Group,
    patience: haulier_core::clock::Sleep,
) -> Output {
    let Some(mut reader) = reader else { return Output::default() };
    let read = tokio::select! {
        read = &mut reader => read,
        () = patience => {
            group.signal(Signal::KILL);
            reader.await
        }
    };
    read.unwrap_or_default()
}

/// What the exit code and the outputs lead to.
fn outcome(
    status: ExitStatus,
    output: Output,
    errors: &str,
    result_bytes_max: usize,
) -> Result<Option<Payload>, TaskError> {
    match status.code() {
        // Doing it again would give as much again.
        Some(0) if output.cut => Err(TaskError::reject(format!(
            "the result has more than {result_bytes_max} bytes; store it elsewhere and print a reference"
        ))),
        Some(0) => Ok(result(output.bytes)),
        Some(REJECT) => Err(TaskError::reject(last_words("exit code 65", errors))),
        Some(code) => Err(TaskError::fail(last_words(&format!("exit code {code}"), errors))),
        // Killed by a signal, which the status names.
        None => Err(TaskError::fail(last_words(&status.to_string(), errors))),
    }
}

fn last_words(what: &str, errors: &str) -> String {
    match errors.trim() {
        "" => what.to_owned(),
        errors => format!("{what}: {errors}"),
    }
}

/// Standard output as a result: JSON if it is, else text if it is, else bytes.
fn result(bytes: Vec<u8>) -> Option<Payload> {
    if bytes.is_empty() {
        return None;
    }
    let trimmed = bytes.trim_ascii();
    if serde_json::from_slice::<serde::de::IgnoredAny>(trimmed).is_ok() {
        // The line feed after it belongs to the terminal, not to the document.
        return Some(Payload::json(trimmed.to_vec()));
    }
    let content_type = match std::str::from_utf8(&bytes) {
        Ok(_) => "text/plain; charset=utf-8",
        Err(_) => Payload::BINARY,
    };
    Some(Payload::new(bytes, content_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_output_is_json_if_it_is_else_text_else_bytes() {
        let kind = |bytes: &[u8]| result(bytes.to_vec()).map(|result| result.content_type);
        assert_eq!(result(b" {\"a\": 1}\n".to_vec()).unwrap().bytes, "{\"a\": 1}");
        assert_eq!(kind(b"[1,2]").as_deref(), Some("application/json"));
        assert_eq!(kind(b"done\n").as_deref(), Some("text/plain; charset=utf-8"));
        assert_eq!(kind(b"\xff\x00").as_deref(), Some("application/octet-stream"));
        assert_eq!(kind(b""), None);
    }

    #[test]
    fn an_output_is_kept_up_to_its_limit_and_not_a_byte_beyond() {
        let mut first = Output::default();
        first.take(b"abc", Keep::First(3));
        assert!(!first.cut);
        first.take(b"d", Keep::First(3));
        assert_eq!((&first.bytes[..], first.cut), (&b"abc"[..], true));
        let mut last = Output::default();
        last.take(b"abcd", Keep::Last(3));
        last.take(b"e", Keep::Last(3));
        assert_eq!(&last.bytes[..], b"cde");
    }
}

//! Fetching a backup from a running server: one HTTP call, whose body is the backup.

use haulier_core::Code;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Draft;
use crate::commands::healthcheck::address;
use crate::exit::{Exit, Failed, Result};

/// Longest head of an answer, and longest body of one that says no.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes that are taken at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// What a server says if it says no.
#[derive(Debug, Deserialize)]
struct Problem {
    detail: String,
    code: String,
}

/// Writes a server's backup into a draft.
pub async fn fetch(urls: &str, bytes_per_second: u64, draft: &mut Draft) -> Result<()> {
    let address = address(urls)?;
    let away = |error: std::io::Error| {
        Failed::new(Exit::Unavailable, format!("{address} does not answer: {error}"))
            .next("start the server, or back up its directory: haulier backup FILE --data DIR")
    };
    let mut stream = TcpStream::connect(address).await.map_err(away)?;
    let request = format!(
        "POST /api/v1/backup?bytes_per_second={bytes_per_second} HTTP/1.1\r\nHost: {address}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(away)?;
    let (head, mut body) = head(&mut stream).await.map_err(away)?;
    let Some(length) = head.length.filter(|_| head.status == 200) else {
        let most = HEAD_BYTES_MAX as u64;
        stream.take(most).read_to_end(&mut body).await.map_err(away)?;
        return Err(refusal(address, head.status, &body));
    };
    draft.expect(length);
    let cut = || {
        let what = format!("{address} ended before the backup did; nothing was kept");
        Failed::new(Exit::Unavailable, what).next("repeat the command when the server is there")
    };
    let mut left = length;
    loop {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(body.len());
        draft.write(&body[..taken])?;
        left -= taken as u64;
        if left == 0 {
            return Ok(());
        }
        body.resize(CHUNK_BYTES, 0);
        let count = stream.read(&mut body).await.map_err(|_| cut())?;
        if count == 0 {
            return Err(cut());
        }
        body.truncate(count);
    }
}

/// What stands before a body.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    length: Option<u64>,
}

/// Reads the head of an answer, and what of its body came along.
async fn head(stream: &mut TcpStream) -> std::io::Result<(Head, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = bytes.split_off(at + 4);
            return Ok((parse(&String::from_utf8_lossy(&bytes)), body));
        }
        let room = HEAD_BYTES_MAX.saturating_sub(bytes.len()) as u64;
        let mut some = stream.take(room.min(1_024));
        if some.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::Error::other("it does not answer as a server of Haulier does"));
        }
    }
}

fn parse(head: &str) -> Head {
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Head { status: status.unwrap_or(0), length }
}

fn refusal(address: &str, status: u16, body: &[u8]) -> Failed {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => {
            let exit = Code::parse(&problem.code).map_or(Exit::Unavailable, Exit::of);
            Failed::new(exit, format!("{address}: {}", problem.detail))
        }
        Err(_) => Failed::new(Exit::Unavailable, format!("{address} answers with status {status}"))
            .next("is that a server of Haulier, of this version?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_answer_is_its_status_and_its_length() {
        let of = |text: &str| parse(text);
        let head = of("HTTP/1.1 200 OK\r\nx-request-id: 1\r\nContent-Length: 77\r\n\r\n");
        assert_eq!(head, Head { status: 200, length: Some(77) });
        assert_eq!(of("nonsense"), Head { status: 0, length: None });
    }

    #[test]
    fn a_server_that_says_no_is_quoted_with_the_exit_code_of_its_code() {
        let body = br#"{"detail": "a backup is being taken already", "code": "throttled"}"#;
        let failed = refusal("a:1", 429, body);
        assert_eq!(failed.exit(), Exit::TryAgain);
        assert!(failed.to_string().contains("being taken already"));
        assert_eq!(refusal("a:1", 404, b"<html>").exit(), Exit::Unavailable);
    }
}

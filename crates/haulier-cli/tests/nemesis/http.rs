//! HTTP/1.1 as somebody types it who has no library, and who may not keep to it.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::site::PORT;

/// A connection to the server.
pub async fn dial() -> io::Result<TcpStream> {
    TcpStream::connect(("127.0.0.1", PORT)).await
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Asks, and gives the status and the body.
pub async fn ask(method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    ask_at(PORT, method, path, body).await
}

/// Asks the server on this port.
pub async fn ask_at(port: u16, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    // A server that refuses early may not read all of it.
    let _answered_anyway = stream.write_all(request(method, path, body).as_bytes()).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.get(9..12).and_then(|digits| digits.parse().ok());
    match (status, read) {
        (Some(status), _) => {
            let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
            let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
            Ok((status, if chunked { joined(body) } else { body.to_owned() }))
        }
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(io::Error::other("the connection ended without an answer")),
    }
}

/// The chunks of a body, one after the other.
fn joined(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        whole.push_str(rest.get(..size).unwrap_or(rest));
        body = rest.get(size + 2..).unwrap_or_default();
    }
    whole
}

/// Asks for what is answered with 200 or 201 and JSON.
pub async fn json(method: &str, path: &str, body: &Value) -> Value {
    let body = if method == "GET" { String::new() } else { body.to_string() };
    let (status, answer) = ask(method, path, &body).await.unwrap();
    assert!(status == 200 || status == 201, "{method} {path}: {status} {answer}");
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

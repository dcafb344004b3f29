//! The port: one listener for HTTP/1.1, HTTP/2 and gRPC, within limits. What one client does to its
//! connection must not cost others theirs.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum_server::Handle;
use futures_util::future::BoxFuture;
use haulier_core::{Clock, limits};
use tokio::sync::Semaphore;
use tower::{ServiceExt as _, service_fn};

use crate::connection::Acceptor;

/// Connections at a time; beyond it new ones are closed.
pub(crate) const CONNECTIONS_MAX: usize = 4_096;
/// The longest that a new connection may take to send its first request.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that an HTTP/1.1 connection may stay without a request, or take for one's headers.
const IDLE_TIMEOUT: Duration = Duration::from_mins(2);
/// Most bytes of the headers of an HTTP/1.1 request: its read buffer.
const HEADER_BUFFER_BYTES: usize = 64 * 1024;
/// Most bytes of the headers of an HTTP/2 request.
const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;
/// How often an HTTP/2 connection is asked whether it is still there, and how long it has to
/// answer.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Streams that a client may have open on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// Streams that a client opened and reset before they were looked at; beyond it, or beyond as many
/// resets for its own errors, the connection is closed.
const PENDING_RESETS_MAX: usize = 20;
const ERROR_RESETS_MAX: usize = 128;
/// What may be under way to the server on one HTTP/2 connection, in bytes.
const WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// The largest piece of a message that comes at once: a batch of a hundred small tasks is one.
const PIECE_BYTES: u32 = 256 * 1024;

const _: () = assert!(WINDOW_BYTES as usize >= limits::FRAME_BYTES_MAX, "a frame fits the window");

/// Serves `app` on `listener`, with so many connections at a time, until `handle` says otherwise.
///
/// # Errors
/// If the listener cannot be used.
pub(crate) fn listen(
    listener: TcpListener,
    app: Router,
    handle: Handle<SocketAddr>,
    connections_max: usize,
    clock: &Arc<dyn Clock>,
) -> io::Result<BoxFuture<'static, io::Result<()>>> {
    let mut server = axum_server::from_tcp(listener)?
        .acceptor(Acceptor { clock: Arc::clone(clock) })
        .first_request_timeout(FIRST_REQUEST_TIMEOUT)
        .accept_error_handler(|_, error| {
            if error.kind() == io::ErrorKind::ConnectionRefused {
                tracing::debug!("connection closed: {error}");
            } else {
                tracing::warn!("cannot accept a connection: {error}");
            }
        })
        .handle(handle);
    let builder = server.http_builder();
    builder.http1().header_read_timeout(IDLE_TIMEOUT).max_buf_size(HEADER_BUFFER_BYTES);
    builder
        .http2()
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .initial_connection_window_size(WINDOW_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .max_frame_size(PIECE_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    let places = Arc::new(Semaphore::new(connections_max));
    Ok(Box::pin(server.serve(service_fn(move |_: SocketAddr| {
        let place = Arc::clone(&places).try_acquire_owned();
        let app = app.clone();
        async move {
            let text = format!("{connections_max} are open");
            let place =
                place.map_err(|_| io::Error::new(io::ErrorKind::ConnectionRefused, text))?;
            let place = Arc::new(place);
            // The place is free again when the connection's service is dropped.
            Ok::<_, io::Error>(app.map_request(move |request: Request<_>| {
                let _held = &place;
                request
            }))
        }
    }))))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    /// Sends a request on a new connection, and gives the connection and what came first.
    async fn ask(address: SocketAddr) -> (TcpStream, usize) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut answer = [0; 1024];
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        // A connection that is closed at once may refuse the request or the reading: no answer.
        let read = match stream.write_all(request).await {
            Ok(()) => stream.read(&mut answer).await.unwrap_or(0),
            Err(_) => 0,
        };
        (stream, read)
    }

    #[tokio::test]
    async fn one_connection_more_than_the_limit_is_closed_until_another_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/", get(async || "hello"));
        let clock: Arc<dyn Clock> = Arc::new(haulier_core::SystemClock::new());
        let serving = tokio::spawn(listen(listener, app, Handle::new(), 2, &clock).unwrap());
        let (first, answered) = ask(address).await;
        assert!(answered > 0);
        let (_second, answered) = ask(address).await;
        assert!(answered > 0);
        assert_eq!(ask(address).await.1, 0, "the third");
        drop(first);
        while ask(address).await.1 == 0 {
            tokio::task::yield_now().await;
        }
        serving.abort();
    }
}

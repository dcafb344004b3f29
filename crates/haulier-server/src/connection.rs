//! A connection whose reader must read. Who takes nothing off it for a while loses it, and so does
//! who leaves a large answer lying ([`crate::leave`]): what waits to be written to it would lie in
//! the memory for ever (L5).

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use futures_util::task::AtomicWaker;
use haulier_core::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower::Layer as _;

/// The longest that a connection takes not one byte of what is to be written to it.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// Wraps every connection, and tells its calls how to cut it off.
#[derive(Debug, Clone)]
pub(crate) struct Acceptor {
    pub clock: Arc<dyn Clock>,
}

impl<I: NoDelay, S> Accept<I, S> for Acceptor {
    type Stream = Connection<I>;
    type Service = AddExtension<S, Cut>;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let cut = Cut::default();
        let service = Extension(cut.clone()).layer(service);
        let connection = Connection { stream, cut, clock: Arc::clone(&self.clock), stalled: None };
        ready(connection.stream.set_nodelay().map(|()| (connection, service)))
    }
}

/// What can be told not to gather small pieces.
pub(crate) trait NoDelay {
    /// Sends what is written at once.
    fn set_nodelay(&self) -> io::Result<()>;
}

impl NoDelay for tokio::net::TcpStream {
    fn set_nodelay(&self) -> io::Result<()> {
        self.set_nodelay(true)
    }
}

/// Cuts a connection off. Clones cut the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut(Arc<Switch>);

#[derive(Debug, Default)]
struct Switch {
    is_cut: AtomicBool,
    waker: AtomicWaker,
}

impl Cut {
    /// Ends the connection with all calls that are on it.
    pub(crate) fn off(&self) {
        self.0.is_cut.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    /// Fails once the connection is cut off; until then its task is woken when it is.
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        self.0.waker.register(cx.waker());
        if self.0.is_cut.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut off"));
        }
        Ok(())
    }
}

/// A connection.
pub(crate) struct Connection<I> {
    stream: I,
    cut: Cut,
    clock: Arc<dyn Clock>,
    /// Ends when it has taken nothing for too long.
    stalled: Option<haulier_core::clock::Sleep>,
}

impl<I> Connection<I> {
    /// What came of writing, or the end of a connection that takes nothing.
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| self.clock.sleep(WRITE_TIMEOUT));
        stalled.as_mut().poll(cx).map(|()| {
            tracing::debug!("a connection whose reader takes nothing is closed");
            Err(io::Error::new(io::ErrorKind::TimedOut, "the reader takes nothing"))
        })
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Connection<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        connection.cut.check(cx)?;
        Pin::new(&mut connection.stream).poll_read(cx, into)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Connection<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        connection.cut.check(cx)?;
        let written = Pin::new(&mut connection.stream).poll_write(cx, bytes);
        connection.written(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        connection.cut.check(cx)?;
        let written = Pin::new(&mut connection.stream).poll_write_vectored(cx, pieces);
        connection.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use haulier_core::ManualClock;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    const ALMOST: Duration = Duration::from_millis(59_999);

    impl NoDelay for DuplexStream {
        fn set_nodelay(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A connection that takes four bytes before somebody reads.
    fn connection(clock: &ManualClock) -> (Connection<DuplexStream>, DuplexStream, Cut) {
        let (near, far) = tokio::io::duplex(4);
        let acceptor = Acceptor { clock: Arc::new(clock.clone()) };
        let (connection, _) = acceptor.accept(near, ()).into_inner().unwrap();
        let cut = connection.cut.clone();
        (connection, far, cut)
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_for_a_minute_loses_its_connection() {
        let clock = ManualClock::new();
        let (mut near, _far, _) = connection(&clock);
        let mut writing = Box::pin(near.write_all(b"12345"));
        assert!(futures_util::poll!(&mut writing).is_pending());
        clock.advance(ALMOST);
        assert!(futures_util::poll!(&mut writing).is_pending());
        clock.advance(Duration::from_millis(1));
        assert_eq!(writing.await.unwrap_err().kind(), io::ErrorKind::TimedOut, "L5");
    }

    #[tokio::test]
    async fn a_reader_that_takes_a_byte_now_and_then_keeps_its_connection() {
        let clock = ManualClock::new();
        let (mut near, mut far, _) = connection(&clock);
        let mut writing = Box::pin(near.write_all(b"1234567"));
        for _ in 0..3 {
            assert!(futures_util::poll!(&mut writing).is_pending());
            clock.advance(ALMOST);
            assert!(far.read_u8().await.is_ok());
        }
        assert!(writing.await.is_ok());
    }

    #[tokio::test]
    async fn who_waits_to_read_or_write_learns_at_once_that_the_connection_is_cut_off() {
        let clock = ManualClock::new();
        let (mut near, _far, cut) = connection(&clock);
        let reading = tokio::spawn(async move { near.read_u8().await });
        tokio::task::yield_now().await;
        cut.off();
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        let (mut near, _far, cut) = connection(&clock);
        let writing = tokio::spawn(async move { near.write_all(b"12345").await });
        tokio::task::yield_now().await;
        cut.off();
        assert_eq!(writing.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}

//! A connection that can be made to swallow answers, and be cut.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Honest,
    /// Requests arrive, answers do not.
    SwallowsAnswers,
    /// Whatever is open is cut; what comes later is honest.
    Cut,
}

/// Stands between a client and a server.
pub struct Proxy {
    pub address: SocketAddr,
    mood: Arc<watch::Sender<Mood>>,
}

impl Proxy {
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mood = Arc::new(watch::Sender::new(Mood::Honest));
        let shared = Arc::clone(&mood);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.unwrap();
                shared.send_replace(Mood::Honest);
                tokio::spawn(forward(client, server, shared.subscribe()));
            }
        });
        Self { address, mood }
    }

    pub fn swallow_answers(&self) {
        self.mood.send_replace(Mood::SwallowsAnswers);
    }

    pub fn cut(&self) {
        self.mood.send_replace(Mood::Cut);
    }
}

async fn forward(client: TcpStream, server: TcpStream, mood: watch::Receiver<Mood>) {
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let mut cut = mood.clone();
    tokio::select! {
        () = pump(client_reads, server_writes, None) => {}
        () = pump(server_reads, client_writes, Some(mood)) => {}
        _ = cut.wait_for(|mood| *mood == Mood::Cut) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mood: Option<watch::Receiver<Mood>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let swallows = mood.as_ref().is_some_and(|mood| *mood.borrow() == Mood::SwallowsAnswers);
        if !swallows && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

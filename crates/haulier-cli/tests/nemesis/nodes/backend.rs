//! What the servers stand on: what the rows need of it, whichever it is.

use haulier_sim::nemesis::{PgServer, RedisServer};

use crate::site::Site;

/// A database of a test's own.
pub trait Backend: Sized {
    /// What it is called.
    const NAME: &'static str;
    /// What its servers say when it is not the one that was there before.
    const SAYS_LOSS: &'static str;

    /// A new one in the test's place.
    async fn create_in(site: &Site) -> Self;
    /// Makes it fit for servers.
    async fn prepare(&self, site: &Site);
    fn url(&self) -> String;
    /// The same through something that listens on another port.
    fn url_at(&self, port: u16) -> String;
    fn port(&self) -> u16;
    fn kill(&mut self);
    async fn start(&mut self) -> Result<(), String>;
    /// Stops it where it stands, or lets it go on.
    fn freeze(&self, frozen: bool);
    /// The end of what it said.
    fn said(&self) -> String;
    /// How many servers hear what others tell.
    fn listeners(&self) -> Option<usize>;
}

impl Backend for PgServer {
    const NAME: &'static str = "PostgreSQL";
    const SAYS_LOSS: &'static str = "generation";

    async fn create_in(site: &Site) -> Self {
        Self::create(&site.path().join("pg")).await.unwrap()
    }

    async fn prepare(&self, site: &Site) {
        let (code, said) = site.run(&["migrate", "up", "--store", &self.url()]).await;
        assert_eq!(code, Some(0), "{said}");
    }

    fn url(&self) -> String {
        self.url()
    }

    fn url_at(&self, port: u16) -> String {
        self.url_at(port)
    }

    fn port(&self) -> u16 {
        self.port()
    }

    fn kill(&mut self) {
        self.kill();
    }

    async fn start(&mut self) -> Result<(), String> {
        self.start().await
    }

    fn freeze(&self, frozen: bool) {
        self.freeze(frozen);
    }

    fn said(&self) -> String {
        self.said()
    }

    fn listeners(&self) -> Option<usize> {
        let count = "select count(*) from pg_stat_activity \
                     where query like '%LISTEN %' or query like '%pg_notify%'";
        let counted: Option<usize> = self.sql(count).ok().and_then(|count| count.parse().ok());
        // Whoever asks stands among those who are counted.
        counted.map(|count| count.saturating_sub(1))
    }
}

impl Backend for RedisServer {
    const NAME: &'static str = "Redis";
    const SAYS_LOSS: &'static str = "has lost acknowledged writes";

    async fn create_in(site: &Site) -> Self {
        Self::create(&site.path().join("redis"), "repl-diskless-sync-delay 0").await.unwrap()
    }

    async fn prepare(&self, _: &Site) {}

    fn url(&self) -> String {
        self.url()
    }

    fn url_at(&self, port: u16) -> String {
        self.url_at(port)
    }

    fn port(&self) -> u16 {
        self.port()
    }

    fn kill(&mut self) {
        self.kill();
    }

    async fn start(&mut self) -> Result<(), String> {
        self.start().await
    }

    fn freeze(&self, frozen: bool) {
        self.freeze(frozen);
    }

    fn said(&self) -> String {
        self.said()
    }

    fn listeners(&self) -> Option<usize> {
        let answer = self.ask("PUBSUB NUMSUB {haulier:0}:news").ok()?;
        answer.trim_end().rsplit_once(':')?.1.parse().ok()
    }
}

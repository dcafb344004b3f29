//! The way to a server, the same for every command that is a client.

use std::path::PathBuf;
use std::sync::Arc;

use haulier::Client;
use haulier_core::{Control, Inspect};

use crate::exit::Result;

/// Where commands find their server.
#[derive(Debug, Clone, clap::Args)]
pub struct Server {
    // Not `env = …`: where the variable is set, every usage would show this as required.
    #[arg(
        long,
        value_name = "URL",
        help = "Where the server is; several, with commas, are used in turn. Also: `file:DIR` \
                [default: http://127.0.0.1:7420]"
    )]
    url: Option<String>,
}

/// The URL that was given, or the environment's, or the default.
pub fn url_of(given: Option<&str>) -> String {
    let from_env = || std::env::var("HAULIER_URL").ok().filter(|url| !url.is_empty());
    given.map(str::to_owned).or_else(from_env).unwrap_or_else(|| haulier::URL_DEFAULT.to_owned())
}

impl Server {
    /// The server, or store, at this URL.
    pub fn at(url: String) -> Self {
        Self { url: Some(url) }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        url_of(self.url.as_deref())
    }

    /// The directory that was named instead of a server.
    pub fn directory(&self) -> Option<PathBuf> {
        self.url().strip_prefix("file:").map(PathBuf::from)
    }

    /// A connection that is about to be made, with the secrets of the environment.
    pub fn builder(&self) -> Result<haulier::Builder> {
        Ok(haulier::Builder::from_env()?.url(self.url()))
    }

    /// Whether a server stands between this process and the store.
    pub fn is_served(&self) -> bool {
        self.url().starts_with("http")
    }

    /// Connects, or says what to start.
    pub async fn client(&self) -> Result<Client> {
        Ok(self.builder()?.open().await?)
    }

    /// Connects, for commands that look.
    pub async fn inspect(&self) -> Result<Arc<dyn Inspect>> {
        Ok(self.client().await?.inspect()?)
    }

    /// Connects, for commands that change.
    pub async fn control(&self) -> Result<Arc<dyn Control>> {
        Ok(self.client().await?.control()?)
    }
}

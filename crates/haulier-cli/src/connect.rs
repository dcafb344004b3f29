//! The way to a server, the same for every command that is a client.

use std::sync::Arc;

use haulier::Client;
use haulier_core::{Control, Inspect};

use crate::exit::Result;

/// Where commands find their server.
#[derive(Debug, Clone, clap::Args)]
pub struct Server {
    /// Where the server is; several, with commas, are used in turn. Also: `file:DIR`
    #[arg(
        long,
        env = "HAULIER_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:7420",
        hide_env = true
    )]
    pub url: String,
}

impl Server {
    /// A connection that is about to be made, with the secrets of the environment.
    pub fn builder(&self) -> Result<haulier::Builder> {
        Ok(haulier::Builder::from_env()?.url(&self.url))
    }

    /// Whether a server stands between this process and the store.
    pub fn is_served(&self) -> bool {
        self.url.starts_with("http")
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

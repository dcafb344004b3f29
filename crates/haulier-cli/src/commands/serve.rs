//! `haulier serve`: a server, from its settings to its last answer.
//!
//! Standard output gets one line, the URL, once the server takes calls: a script that starts one on
//! port 0 reads it there. Everything else goes to standard error.

use std::path::PathBuf;
use std::sync::Arc;

use haulier_core::{Capabilities, Clock, Durability, limits};
use haulier_server::config::Loaded;
use haulier_server::{Config, Server};

use crate::exit::{Exit, Failed, Result};
use crate::settings::Settings;
use crate::{child, output, signals, text};

/// Starts a server.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier serve --data haulier-data
  haulier serve --listen 127.0.0.1:0 --store memory:
  haulier config init haulier.toml && haulier serve -c haulier.toml

A setting is taken from its flag, else from HAULIER_… in the environment, else from the file. SIGTERM
lets running calls end, then exits with 0. Other exit codes: 65 the store is damaged, 74 the disk failed,
78 a setting, the port, or a store that is in use or too new.")]
pub struct Args {
    /// Keep tasks in this directory; the same as `--store file:DIR`
    #[arg(long, value_name = "DIR", conflicts_with = "store")]
    data: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// End when standard input ends
    #[arg(long, hide = true)]
    leashed: bool,
}

impl Args {
    /// Runs the command.
    pub async fn run(mut self, clock: Arc<dyn Clock>) -> Result<Exit> {
        if let Some(dir) = &self.data {
            self.settings.default_to("store", format!("file:{}", utf8(dir)?));
        }
        let Loaded { config, .. } = self.settings.load()?;
        serve(config, clock, self.leashed, |_| ()).await
    }
}

/// A store's URL is text.
pub fn utf8(dir: &std::path::Path) -> Result<&str> {
    dir.to_str().ok_or_else(|| {
        Failed::new(Exit::Usage, format!("{} is not UTF-8", dir.display()))
            .next("choose a directory whose name is")
    })
}

/// Serves until a signal comes, or until the parent ends if `leashed`. `greet` hears the URL.
pub async fn serve(
    config: Config,
    clock: Arc<dyn Clock>,
    leashed: bool,
    greet: impl FnOnce(&str),
) -> Result<Exit> {
    haulier_server::logs::init(config.log_format, &config.log_level)
        .map_err(|why| Failed::new(Exit::Config, format!("log_level: {why}")))?;
    let end = signals::end()?;
    let store = config.store.to_string();
    let bound = Server::open(config, clock).await?.bind()?;
    describe(&store, &bound.shared().capabilities());
    let url = bound.to_string();
    greet(&url);
    let parent_gone = leashed.then(child::leash);
    output::line(format_args!("{url}"))?;
    bound
        .serve(async move {
            match parent_gone {
                None => end.await,
                Some(parent_gone) => tokio::select! {
                    () = end => {}
                    () = parent_gone.cancelled() => {}
                },
            }
        })
        .await?;
    Ok(Exit::Done)
}

/// Says what an acknowledgement of this server is worth, and what it takes.
fn describe(url: &str, capabilities: &Capabilities) {
    let class = capabilities.durability;
    output::say(format_args!("store   {} ({})", text::line(url), capabilities.store));
    let colour = if class >= Durability::D2 { output::GOOD } else { output::CAUTION };
    output::say(format_args!("class   {colour}{class}{}: {}", output::PLAIN, class.explain()));
    output::say(format_args!(
        "limits  payload {}, {} items a call",
        text::bytes(capabilities.payload_bytes_max as u64),
        text::number(limits::ITEMS_MAX as u64)
    ));
}

//! `haulier dev`: a server for development, in memory, in a second, on this machine only.

use std::path::PathBuf;
use std::sync::Arc;

use haulier_core::Clock;
use haulier_server::config::Loaded;

use super::serve;
use crate::exit::{Exit, Result};
use crate::output;
use crate::settings::Settings;

/// Starts a server for development.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier dev
  haulier dev --listen 127.0.0.1:0 --data haulier-dev")]
pub struct Args {
    /// Keep tasks in this directory instead of in memory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen, 127.0.0.1:7420 if left out; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

impl Args {
    /// Runs the command.
    pub async fn run(self, clock: Arc<dyn Clock>) -> Result<Exit> {
        let mut settings = Settings::default();
        if let Some(listen) = self.listen {
            settings.default_to("listen", listen);
        }
        let store = match &self.data {
            Some(dir) => format!("file:{}", serve::utf8(dir)?),
            None => "memory:".to_owned(),
        };
        settings.default_to("store", store);
        let Loaded { config, .. } = settings.load()?;
        let in_memory = self.data.is_none();
        serve::serve(config, clock, false, |url| greet(url, in_memory)).await
    }
}

fn greet(url: &str, in_memory: bool) {
    if in_memory {
        output::say(format_args!(
            "{}Tasks are kept in memory and end with this process (D0).{} Keep them: --data DIR",
            output::CAUTION,
            output::PLAIN
        ));
    }
    output::say(format_args!("API     {url}/api/v1   (description: {url}/openapi.json)"));
    output::say(format_args!(
        "try     curl {url}/api/v1/tasks -d '{{\"kind\": \"hello\"}}' \
         -H 'content-type: application/json'"
    ));
    output::say(format_args!("work    haulier work --kind hello --exec cat --url {url}"));
    output::say(format_args!("end     Ctrl-C"));
}

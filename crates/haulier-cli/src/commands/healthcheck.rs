//! `haulier healthcheck`: is the server ready? One HTTP call, no client library, so that it is
//! quick and works in an image that holds nothing else.

use std::time::Duration;

use haulier_core::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::connect::url_of;
use crate::exit::{Exit, Failed, Result};
use crate::{output, span, text};

/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// Asks whether a server is ready.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier healthcheck
  haulier healthcheck --timeout 1s

Exit code 0 if the server is ready for calls, 1 if it is not or does not answer in time.")]
pub struct Args {
    #[arg(
        long,
        value_name = "URL",
        help = "The server; of several, with commas, the first [default: http://127.0.0.1:7420]"
    )]
    url: Option<String>,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", value_parser = span, default_value = "5s")]
    timeout: Duration,
}

impl Args {
    /// Runs the command.
    pub async fn run(self, clock: &dyn Clock) -> Result<Exit> {
        let url = url_of(self.url.as_deref());
        let address = address(&url)?;
        let answer = tokio::select! {
            answer = ready(address) => answer,
            () = clock.sleep(self.timeout) => Err(std::io::ErrorKind::TimedOut.into()),
        };
        match answer {
            Ok(status) if status.contains(" 200 ") => {
                output::line(format_args!("ready"))?;
                Ok(Exit::Done)
            }
            Ok(status) => {
                let status = text::short(status.trim(), 80);
                Err(Failed::new(Exit::No, format!("not ready: {address} answers {status:?}"))
                    .next(format!("ask for the reason: curl 'http://{address}/readyz?verbose'")))
            }
            Err(error) => Err(Failed::new(Exit::No, format!("{address} does not answer: {error}"))
                .next("start a server with `haulier dev` or `haulier serve`, or name it by --url")),
        }
    }
}

/// `host:port` of the first URL.
pub fn address(urls: &str) -> Result<&str> {
    let url = urls.split(',').next().unwrap_or(urls).trim();
    let Some(rest) = url.strip_prefix("http://") else {
        let shown = text::short(url, 60);
        return Err(Failed::new(Exit::Usage, format!("{shown:?} is not an http:// URL"))
            .next("name the server's plain address, as in --url http://127.0.0.1:7420"));
    };
    Ok(rest.split('/').next().unwrap_or(rest))
}

/// The first line of what `/readyz` answers.
async fn ready(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_taken_from_the_first_url() {
        assert_eq!(address("http://a:1,http://b:2").unwrap(), "a:1");
        assert_eq!(address("http://a:1/base/").unwrap(), "a:1");
        assert_eq!(address("ftp://a").unwrap_err().exit(), Exit::Usage);
    }
}

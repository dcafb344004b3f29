//! The question before something is lost. It names the count; without a terminal nobody could
//! answer, so `--yes` has to stand on the command line.

use std::io::{BufRead, IsTerminal};

use crate::exit::{Exit, Failed, Result};
use crate::output;

/// Asks until somebody says yes; anything else changes nothing.
pub fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(Failed::new(Exit::Usage, format!("{question} Nobody is here to answer."))
            .next("add --yes if that is what you want, or --dry-run to see what it would touch"));
    }
    output::prompt(format_args!("{question} [y/N] "));
    let mut answer = String::new();
    input.lock().read_line(&mut answer).map_err(|error| Failed::io("standard input", &error))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failed::new(Exit::No, "nothing was changed")),
    }
}

//! The contract of the facade: connecting, handing over, results, bulk actions, test helpers, and
//! tasks shared out evenly.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bulk;
mod connect;
mod enqueue;
mod even;
mod janitor;
mod postgres;
mod results;
mod testing;

use haulier::Task;
use serde::{Deserialize, Serialize};

/// What the tests hand over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Task)]
#[task(kind = "email.send", queue = "mail", max_attempts = 3, timeout = "30s", output = Receipt)]
pub struct SendEmail {
    /// To whom.
    pub to: String,
}

/// What a mail server says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Its number for the mail.
    pub number: u32,
}

/// A mail to somebody.
pub fn mail(to: &str) -> SendEmail {
    SendEmail { to: to.to_owned() }
}

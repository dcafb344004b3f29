//! A typed task, a handler with a shared mailer, and the result that comes back.
//!
//! `cargo run -p haulier --example email`

#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use haulier::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Task)]
#[task(kind = "email.send", queue = "mail", max_attempts = 8, timeout = "30s", output = Receipt)]
struct SendEmail {
    to: String,
    template: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    number: u32,
}

/// Stands for a connection to a mail server.
#[derive(Clone, Default)]
struct Mailer(Arc<AtomicU32>);

impl Mailer {
    fn send(&self, email: &SendEmail) -> Result<Receipt, std::io::Error> {
        if email.to.ends_with("@invalid") {
            return Err(std::io::Error::other("no such mailbox"));
        }
        Ok(Receipt { number: self.0.fetch_add(1, Ordering::Relaxed) + 1 })
    }
}

async fn send_email(
    task: SendEmail,
    State(mailer): State<Mailer>,
    ctx: Ctx,
) -> Result<Receipt, TaskError> {
    ctx.progress(0.1, &format!("rendering {}", task.template)).await?;
    // A mailbox that does not exist will not exist tomorrow: trying again is pointless.
    mailer.send(&task).map_err(TaskError::reject)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = haulier::connect("memory:").await?;
    let email = |to: &str| SendEmail { to: to.to_owned(), template: "welcome".to_owned() };
    let fine = client.enqueue(email("ada@example.org")).priority(7).await?;
    let bounced = client.enqueue(email("nobody@invalid")).await?;

    Worker::new(&client)
        .queue("mail")
        .concurrency(8)
        .state(Mailer::default())
        .register(send_email)
        .run_until_idle()
        .await?;

    let receipt = fine.result(Duration::from_secs(1)).await?;
    println!("sent as number {}", receipt.number);
    match bounced.result(Duration::from_secs(1)).await {
        Ok(receipt) => Err(format!("nobody got number {}", receipt.number).into()),
        Err(why) => {
            println!("not sent: {why}");
            Ok(())
        }
    }
}

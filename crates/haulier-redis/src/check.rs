//! What a Redis must be like before it is served: its version, its role, what it keeps when it is
//! full, and what its acknowledgements are worth. What is wrong is said with the setting, its value
//! and the cure.

use haulier_core::{Code, Durability, Error, Result};

use crate::db::Db;
use crate::error::OpenError;
use crate::options::Options;
use crate::script;

/// How tasks are kept, numbered for ever.
const FORMAT: i64 = 1;
/// The oldest version that is served.
const OLDEST: (u32, u32) = (6, 2);

/// Checks, makes the store if it is not there, and says how durable it is.
pub(crate) async fn start(db: &Db, options: &Options) -> Result<Durability, OpenError> {
    let info: String = info(db).await.map_err(OpenError::from_call)?;
    let field = |name: &str| {
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default()
    };
    let version = field("redis_version");
    if !is_served(version) {
        return refused(format!(
            "Redis is version {version}; at least {}.{} is needed",
            OLDEST.0, OLDEST.1
        ));
    }
    let role = field("role");
    if role != "master" {
        return refused(format!(
            "Redis at {} is a {role}, which takes no writes; connect to its master",
            options.place()
        ));
    }
    if let Some(trouble) = eviction(field("maxmemory"), field("maxmemory_policy")) {
        return refused(trouble);
    }
    let durability = durability(db, field("aof_enabled") == "1").await;
    if let Some(trouble) = below(durability, options.class) {
        return refused(trouble);
    }
    let asked = db.invoke(&script::INIT, &[FORMAT.to_string().into_bytes()]).await;
    let (format, born): (i64, Vec<u8>) = asked.map_err(OpenError::from_call)?;
    match format {
        FORMAT => {
            db.born.get_or_init(|| born.into());
            Ok(durability)
        }
        -1 => refused(format!(
            "the key {} is not there, and others of the store are: was it deleted or evicted? \
             Restore Redis from its backup",
            db.keys.name(1)
        )),
        newer => refused(format!(
            "the store was written in format {newer}, this program knows format {FORMAT}: use a \
             newer one"
        )),
    }
}

/// The same settings again, of a store that is open: what an acknowledgement is worth now, or why
/// it cannot go on.
pub(crate) async fn again(db: &Db, class: Durability) -> Result<Result<Durability, String>> {
    let info = info(db).await?;
    let field = |name: &str| {
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default()
    };
    if let Some(trouble) = eviction(field("maxmemory"), field("maxmemory_policy")) {
        return Ok(Err(trouble));
    }
    let durability = durability(db, field("aof_enabled") == "1").await;
    Ok(below(durability, class).map_or(Ok(durability), Err))
}

/// Why a Redis loses tasks when it is full.
fn eviction(most: &str, policy: &str) -> Option<String> {
    (most != "0" && policy != "noeviction").then(|| {
        format!(
            "maxmemory-policy is {policy}: Redis would throw tasks away when it is full; set it to \
             noeviction"
        )
    })
}

/// Why acknowledgements are not worth what is demanded.
fn below(durability: Durability, class: Durability) -> Option<String> {
    (durability < class).then(|| {
        format!(
            "class {class} is demanded, but Redis keeps {durability}: set appendonly to yes and \
             appendfsync to always for D2, to everysec for D1"
        )
    })
}

fn refused<T>(text: String) -> Result<T, OpenError> {
    Err(OpenError::Refused(Error::new(Code::NotSupported, text)))
}

async fn info(db: &Db) -> Result<String> {
    db.command("info", &redis::cmd("INFO")).await
}

/// What an acknowledgement is worth. Where the settings are hidden, no more than that a log is
/// written.
async fn durability(db: &Db, has_log: bool) -> Durability {
    if !has_log {
        return Durability::D0;
    }
    let command = redis::cmd("CONFIG").arg("GET").arg("appendfsync").to_owned();
    match db.command::<Vec<String>>("config", &command).await {
        Ok(answer) if answer.get(1).is_some_and(|value| value == "always") => Durability::D2,
        Ok(_) => Durability::D1,
        Err(error) => {
            tracing::warn!("appendfsync cannot be read, so D1 is assumed: {error:#}");
            Durability::D1
        }
    }
}

fn is_served(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or_default());
    let version: (u32, u32) =
        (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    version >= OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for served in ["6.2.0", "7.0.15", "8.0", "10.1.2"] {
            assert!(is_served(served), "{served}");
        }
        for old in ["6.0.16", "5.9.9", "", "valkey"] {
            assert!(!is_served(old), "{old}");
        }
    }
}

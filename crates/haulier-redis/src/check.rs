//! What a Redis must be like before it is served: its version, its role, what it keeps when it is
//! full, and what its acknowledgements are worth. What is wrong is said with the setting, its value
//! and the cure.

use haulier_core::{Code, Durability, Error, Result};

use crate::db::{Db, Info, gap};
use crate::error::OpenError;
use crate::keys;
use crate::options::{Options, Topology};
use crate::script;

/// How tasks are kept, numbered for ever.
const FORMAT: i64 = 1;
/// The oldest version that is served.
const OLDEST: (u32, u32) = (6, 2);

/// Checks, makes the store if it is not there, and says how durable it is. That it is a master was
/// checked when the connection was made, as it is each time.
pub(crate) async fn start(
    db: &Db,
    info: &Info,
    options: &Options,
) -> Result<Durability, OpenError> {
    let version = info.field("redis_version");
    if !is_served(version) {
        return refused(format!(
            "Redis is version {version}; at least {}.{} is needed",
            OLDEST.0, OLDEST.1
        ));
    }
    if let Some(trouble) = eviction(info) {
        return refused(trouble);
    }
    if matches!(options.topology, Topology::Cluster(_)) {
        all_slots(db).await?;
    }
    rights(db, options).await?;
    let seen = seen(db, info).await.map_err(OpenError::from_call)?;
    let durability = match worth(seen, options) {
        Ok(durability) => durability,
        Err(trouble) => return refused(trouble),
    };
    if seen.is_none() {
        tracing::warn!("appendfsync cannot be read: {durability} is assumed; see keeps in the URL");
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
pub(crate) async fn again(db: &Db, options: &Options) -> Result<Result<Durability, String>> {
    let info = Info::new(db.command("info", &redis::cmd("INFO")).await?);
    if let Some(trouble) = eviction(&info) {
        return Ok(Err(trouble));
    }
    Ok(worth(seen(db, &info).await?, options))
}

/// Why a Redis loses tasks when it is full.
fn eviction(info: &Info) -> Option<String> {
    let policy = info.field("maxmemory_policy");
    (info.field("maxmemory") != "0" && policy != "noeviction").then(|| {
        format!(
            "maxmemory-policy is {policy}: Redis would throw tasks away when it is full; set it to \
             noeviction"
        )
    })
}

fn refused<T>(text: String) -> Result<T, OpenError> {
    Err(OpenError::Refused(Error::new(Code::NotSupported, text)))
}

/// A cluster with a gap stops altogether, or will as soon as somebody sets it right.
async fn all_slots(db: &Db) -> Result<(), OpenError> {
    let ranges = db.slots().await.map_err(OpenError::from_call)?;
    match ranges.map(|ranges| gap(&ranges)) {
        Some(None) => Ok(()),
        Some(Some((first, last))) => refused(format!(
            "nobody in the cluster serves the slots {first} to {last}: give them to a master \
             (`redis-cli --cluster fix`), and start again"
        )),
        None => refused("the cluster does not say who serves which slots".to_owned()),
    }
}

/// What a user lacks is said at once and as a whole.
async fn rights(db: &Db, options: &Options) -> Result<(), OpenError> {
    let channel = keys::channel(&options.prefix).into_bytes();
    let asked = db.invoke::<Vec<String>>(&script::RIGHTS, &[channel]).await;
    let lacks = asked.map_err(OpenError::from_call)?;
    if lacks.is_empty() {
        return Ok(());
    }
    let user = options.login.user.as_deref().unwrap_or("default");
    refused(format!(
        "the user {user} may not do all that is needed: grant it with ACL SETUSER {user} {} \
         ~{{{prefix}:* &{{{prefix}:*",
        lacks.join(" "),
        prefix = options.prefix
    ))
}

/// What an acknowledgement is worth by the settings; nothing, where they are hidden.
async fn seen(db: &Db, info: &Info) -> Result<Option<Durability>> {
    if info.field("aof_enabled") != "1" {
        return Ok(Some(Durability::D0));
    }
    let command = redis::cmd("CONFIG").arg("GET").arg("appendfsync").to_owned();
    match db.command::<Vec<String>>("config", &command).await {
        Ok(answer) => Ok(answer
            .get(1)
            .map(|value| if value == "always" { Durability::D2 } else { Durability::D1 })),
        Err(error) if error.code() == Code::Unavailable => Err(error),
        Err(error) => {
            tracing::debug!("appendfsync cannot be read: {error:#}");
            Ok(None)
        }
    }
}

/// What an acknowledgement is worth, or why it is not worth what it should be. Where the settings
/// are hidden, what is said of them in the URL counts; if nothing is, no more than that a log is
/// written.
fn worth(seen: Option<Durability>, options: &Options) -> Result<Durability, String> {
    let class = options.class;
    let worth = match (seen, options.keeps) {
        (Some(seen), Some(said)) if said > seen => {
            return Err(format!(
                "keeps={said} stands in the URL, but Redis keeps {seen}: leave it out, or set \
                 appendonly to yes and appendfsync to always for D2, to everysec for D1"
            ));
        }
        (None, None) if class > Durability::D1 => {
            return Err(format!(
                "class {class} is demanded, but appendfsync cannot be read: grant the user \
                 +config|get, or say in the URL what Redis keeps, as in keeps=D2"
            ));
        }
        (Some(seen), _) => seen,
        (None, said) => said.unwrap_or(Durability::D1),
    };
    if worth < class {
        return Err(format!(
            "class {class} is demanded, but Redis keeps {worth}: set appendonly to yes and \
             appendfsync to always for D2, to everysec for D1"
        ));
    }
    Ok(worth)
}

fn is_served(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or_default());
    let version: (u32, u32) =
        (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    version >= OLDEST
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Everything in capitals between two quotes, but for words that stand behind commands.
    fn commands(script: &str) -> BTreeSet<&str> {
        let quoted = script.split('\'').skip(1).step_by(2);
        let capital = |word: &&str| word.len() > 2 && word.bytes().all(|b| b.is_ascii_uppercase());
        quoted
            .filter(capital)
            .filter(|word| !["LIMIT", "COUNT", "WITHSCORES"].contains(word))
            .collect()
    }

    #[test]
    fn every_command_of_every_script_is_among_the_rights_that_are_asked_for() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lua");
        let rights = include_str!("lua/rights.lua");
        let mut asked = commands(rights);
        let told = include_str!("options/mod.rs");
        for entry in std::fs::read_dir(folder).unwrap() {
            let script = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let code: Vec<&str> = script.lines().filter(|line| !line.starts_with("--")).collect();
            for command in commands(&code.join("\n")) {
                assert!(asked.contains(command), "{command} is not in rights.lua");
            }
        }
        asked.extend(["EVALSHA", "INFO"]);
        for command in asked {
            let right = format!(" +{}", command.to_lowercase());
            assert!(told.contains(&right), "{right} is not in the documentation");
        }
    }

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

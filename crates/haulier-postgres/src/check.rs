//! What a database must be like before it is served, and while it is: its settings keep what
//! acknowledgements promise, its tables are of this version, it is the database that it was.
//!
//! What does not hold is said with the setting, its value and the cure. What stops holding later
//! stops the store: nothing is acknowledged that is not kept.

use std::sync::Arc;

use haulier_core::{Durability, Error, Result};
use tokio_postgres::Row;

use crate::db::{Db, Met, SHARED, sql};
use crate::error::{Fatal, OpenError};
use crate::migrate;
use crate::options::Options;
use crate::store::Inner;

/// Syntax older than this is not used, and newer one is not needed.
const OLDEST: i32 = 130_000;

/// What the checks found out.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) durability: Durability,
    /// Those of the tables: whatever happens to them from now on is seen.
    files: String,
}

/// What a server's settings say, as a connection of ours sees them.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
struct Settings {
    fsync: bool,
    full_page_writes: bool,
    data_checksums: bool,
    synchronous_commit: String,
    standbys: String,
    isolation: String,
    read_only: bool,
    version: i32,
    encoding: String,
    in_recovery: bool,
}

impl Settings {
    async fn read(db: &Db) -> Result<Self> {
        let rows = db.read_one("checking the settings", sql!("settings"), &[]).await?;
        let row = rows.first().ok_or_else(|| Error::internal("the settings have no row"))?;
        Self::of(row).map_err(|error| Error::internal("a setting is not read").caused_by(error))
    }

    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            fsync: row.try_get("fsync")?,
            full_page_writes: row.try_get("full_page_writes")?,
            data_checksums: row.try_get("data_checksums")?,
            synchronous_commit: row.try_get("synchronous_commit")?,
            standbys: row.try_get("standbys")?,
            isolation: row.try_get("isolation")?,
            read_only: row.try_get("read_only")?,
            version: row.try_get("version")?,
            encoding: row.try_get("encoding")?,
            in_recovery: row.try_get("in_recovery")?,
        })
    }

    /// What an acknowledgement is worth under these settings.
    fn class(&self) -> Durability {
        match self.synchronous_commit.as_str() {
            "off" => Durability::D1,
            "on" | "remote_apply" if !self.standbys.trim().is_empty() => Durability::D3,
            _ => Durability::D2,
        }
    }

    /// Why the database cannot be served so, with what to do about it.
    fn trouble(&self, demanded: Durability, throwaway: bool) -> Option<String> {
        if self.in_recovery || self.read_only {
            return Some(
                "the database only reads: it is a standby, or default_transaction_read_only is \
                 on; connect to the primary (target_session_attrs=read-write in the URL)"
                    .to_owned(),
            );
        }
        if self.version < OLDEST {
            return Some(format!(
                "the database is PostgreSQL {}; at least {} is needed",
                self.version / 10_000,
                OLDEST / 10_000
            ));
        }
        if self.encoding != "UTF8" {
            return Some(format!(
                "the database's encoding is {}; create one with ENCODING 'UTF8'",
                self.encoding
            ));
        }
        if self.isolation != "read committed" {
            return Some(format!(
                "default_transaction_isolation is {:?}, and `read committed` is needed; next: \
                 ALTER ROLE … SET default_transaction_isolation = 'read committed'",
                self.isolation
            ));
        }
        if !throwaway && (!self.fsync || !self.full_page_writes) {
            let name = if self.fsync { "full_page_writes" } else { "fsync" };
            return Some(format!(
                "{name} is off: when the machine crashes the whole database can be lost; set \
                 {name} = on in postgresql.conf and reload",
            ));
        }
        let class = self.class();
        (class < demanded).then(|| {
            format!(
                "an acknowledgement would be worth {class}, and {demanded} is demanded: \
                 synchronous_commit is {:?} and synchronous_standby_names is {:?}; {}, or demand \
                 less",
                self.synchronous_commit,
                self.standbys,
                cure(demanded)
            )
        })
    }
}

fn cure(demanded: Durability) -> &'static str {
    if demanded >= Durability::D3 {
        "name a standby in synchronous_standby_names and set synchronous_commit = on"
    } else {
        "set synchronous_commit = on"
    }
}

/// Looks at everything once, before anything is served.
pub(crate) async fn start(db: &Db, options: &Options) -> Result<Started, OpenError> {
    let place = options.place();
    if options.prepare || options.notify {
        // On the heap: everybody's future who opens a store would be as large.
        let shared = Box::pin(db.is_shared()).await.map_err(OpenError::from_call)?;
        if shared {
            return Err(refused(&place, SHARED));
        }
    }
    let status = migrate::of(db, &options.schema).await.map_err(OpenError::from_call)?;
    if let Some(trouble) = status.fit().trouble(&place) {
        return Err(OpenError::Refused(trouble));
    }
    let settings = Settings::read(db).await.map_err(OpenError::from_call)?;
    if let Some(trouble) = settings.trouble(options.class, options.throwaway) {
        return Err(refused(&place, &trouble));
    }
    if !settings.data_checksums {
        tracing::warn!(
            "{place}: data_checksums is off: damage on the disk may go unseen; next: stop \
             PostgreSQL and run pg_checksums --enable"
        );
    }
    if let Some(trouble) = rights(db, &options.schema).await.map_err(OpenError::from_call)? {
        return Err(refused(&place, &trouble));
    }
    if db.meet().await.map_err(OpenError::from_call)? == Met::Lost {
        let text = "the table `meta` is empty: the newest epochs are forgotten; restore the \
                    database from its backup";
        return Err(refused(&place, text));
    }
    let seen = Seen::read(db, &options.schema).await.map_err(OpenError::from_call)?;
    if let Some(damage) = seen.damage() {
        return Err(refused(&place, &damage));
    }
    Ok(Started { durability: settings.class(), files: seen.files })
}

fn refused(place: &str, text: &str) -> OpenError {
    OpenError::Refused(Error::new(haulier_core::Code::NotSupported, format!("{place}: {text}")))
}

/// The first thing that the role may not do and has to.
async fn rights(db: &Db, schema: &str) -> Result<Option<String>> {
    let rows = db.read_one("checking the rights", sql!("rights"), &[&schema]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let text = |name| row.try_get::<_, String>(name);
    let read = || {
        let (role, relation, privilege) = (text("role")?, text("relation")?, text("privilege")?);
        let what = if row.try_get("sequence")? { "SEQUENCES" } else { "TABLES" };
        Ok::<_, tokio_postgres::Error>(format!(
            "role {role} may not {privilege} on {schema}.{relation}; next: GRANT {privilege} ON \
             ALL {what} IN SCHEMA {schema} TO {role}"
        ))
    };
    read().map(Some).map_err(|error| Error::internal("rights are not read").caused_by(error))
}

/// What a look while serving sees.
#[derive(Debug, Clone)]
struct Seen {
    meta: bool,
    tasks: bool,
    tallies: bool,
    leases: i64,
    running: i64,
    counted: i64,
    files: String,
}

impl Seen {
    async fn read(db: &Db, schema: &str) -> Result<Self> {
        let rows = db.read_one("looking", sql!("alarm"), &[&schema]).await?;
        let row = rows.first().ok_or_else(|| Error::internal("the look has no row"))?;
        Self::of(row).map_err(|error| Error::internal("a look is not read").caused_by(error))
    }

    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            meta: row.try_get("meta")?,
            tasks: row.try_get("tasks")?,
            tallies: row.try_get("tallies")?,
            leases: row.try_get("leases")?,
            running: row.try_get("running")?,
            counted: row.try_get("counted")?,
            files: row.try_get::<_, Option<String>>("files")?.unwrap_or_default(),
        })
    }

    /// What cannot be but by somebody's hand.
    fn damage(&self) -> Option<String> {
        let what = if !self.meta {
            "the table `meta` is empty".to_owned()
        } else if !self.tasks && self.counted > 0 {
            format!("the table `task` is empty, and {} tasks were in it", self.counted)
        } else if self.tasks && !self.tallies {
            "the table `tally` is empty, and there are tasks".to_owned()
        } else if self.leases == 0 && self.running > 0 {
            format!("the table `lease` is empty, and {} tasks were running", self.running)
        } else {
            return None;
        };
        Some(format!("{what}: was it truncated? Restore the database from its backup"))
    }
}

/// Looks again from time to time, until the store is closed.
pub(crate) fn keep_looking(inner: &Arc<Inner>, started: Started) {
    inner.set_durability(started.durability);
    let (looking, mut closing) = (Arc::clone(inner), inner.closing());
    inner.beside().spawn(async move {
        let mut files = started.files;
        loop {
            tokio::select! {
                () = looking.pace.sleep(looking.options.recheck) => {}
                _ = closing.wait_for(|closing| *closing) => return,
            }
            match look(&looking, &mut files).await {
                Ok(None) => {}
                Ok(Some(fatal)) => return looking.fail(fatal),
                Err(error) => tracing::debug!(error = format!("{error:#}"), "the look failed"),
            }
        }
    });
}

/// One look; `files` are those of the tables at the last one.
async fn look(inner: &Inner, files: &mut String) -> Result<Option<Fatal>> {
    let settings = Settings::read(&inner.db).await?;
    // A standby for now is a failover on its way, and no reason to stop.
    if !settings.in_recovery
        && let Some(trouble) = settings.trouble(inner.options.class, inner.options.throwaway)
    {
        return Ok(Some(Fatal::Refused(trouble)));
    }
    if settings.class() != inner.durability() {
        let (was, is) = (inner.durability(), settings.class());
        tracing::warn!(%was, %is, "what an acknowledgement is worth has changed");
        inner.set_durability(is);
    }
    let seen = match Seen::read(&inner.db, &inner.options.schema).await {
        Ok(seen) => seen,
        Err(error) if OpenError::is_missing(&error) => {
            let text = format!("tables are missing: {error}");
            return Ok(Some(Fatal::Damaged(text)));
        }
        Err(error) => return Err(error),
    };
    if let Some(damage) = seen.damage() {
        return Ok(Some(Fatal::Damaged(damage)));
    }
    if *files != seen.files {
        let rows = inner.db.read_one("counting", sql!("alarm_count"), &[]).await?;
        let count = |name| rows.first().and_then(|row| row.try_get::<_, i64>(name).ok());
        let (tasks, counted) = (count("tasks"), count("counted"));
        if tasks != counted {
            let number = |count: Option<i64>| count.unwrap_or_default();
            let text = format!(
                "a table was written anew, and {} tasks are left of {}: was it truncated? Restore \
                 the database from its backup",
                number(tasks),
                number(counted)
            );
            return Ok(Some(Fatal::Damaged(text)));
        }
    }
    *files = seen.files;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Settings {
        Settings {
            fsync: true,
            full_page_writes: true,
            data_checksums: true,
            synchronous_commit: "on".to_owned(),
            standbys: String::new(),
            isolation: "read committed".to_owned(),
            read_only: false,
            version: 150_000,
            encoding: "UTF8".to_owned(),
            in_recovery: false,
        }
    }

    #[test]
    fn the_class_follows_from_what_a_commit_waits_for() {
        let class = |commit: &str, standbys: &str| {
            let (synchronous_commit, standbys) = (commit.to_owned(), standbys.to_owned());
            Settings { synchronous_commit, standbys, ..good() }.class()
        };
        assert_eq!(class("off", "two"), Durability::D1);
        assert_eq!(class("local", "two"), Durability::D2);
        assert_eq!(class("on", " "), Durability::D2);
        // It may be in the standby's memory alone.
        assert_eq!(class("remote_write", "two"), Durability::D2);
        assert_eq!(class("on", "two"), Durability::D3);
        assert_eq!(class("remote_apply", "ANY 1 (a, b)"), Durability::D3);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_setting_and_the_cure() {
        let trouble = |settings: Settings| settings.trouble(Durability::D2, false);
        assert_eq!(trouble(good()), None);
        for (settings, part) in [
            (Settings { fsync: false, ..good() }, "set fsync = on"),
            (Settings { full_page_writes: false, ..good() }, "set full_page_writes = on"),
            (Settings { in_recovery: true, ..good() }, "connect to the primary"),
            (Settings { read_only: true, ..good() }, "default_transaction_read_only"),
            (Settings { version: 120_005, ..good() }, "PostgreSQL 12; at least 13"),
            (Settings { encoding: "LATIN1".to_owned(), ..good() }, "ENCODING 'UTF8'"),
            (Settings { isolation: "serializable".to_owned(), ..good() }, "ALTER ROLE"),
            (Settings { synchronous_commit: "off".to_owned(), ..good() }, "worth D1"),
        ] {
            let text = trouble(settings).unwrap();
            assert!(text.contains(part), "{text}");
        }
        let text = good().trouble(Durability::D3, false).unwrap();
        assert!(text.contains("name a standby"), "{text}");
        assert_eq!(Settings { fsync: false, ..good() }.trouble(Durability::D2, true), None);
    }

    #[test]
    fn tables_that_somebody_has_emptied_are_seen() {
        let whole = Seen {
            meta: true,
            tasks: true,
            tallies: true,
            leases: 1,
            running: 1,
            counted: 3,
            files: String::new(),
        };
        assert_eq!(whole.damage(), None);
        let empty = Seen {
            tasks: false,
            tallies: false,
            leases: 0,
            running: 0,
            counted: 0,
            ..whole.clone()
        };
        assert_eq!(empty.damage(), None);
        for (seen, table) in [
            (Seen { meta: false, ..whole.clone() }, "`meta`"),
            (Seen { tasks: false, ..whole.clone() }, "`task`"),
            (Seen { tallies: false, running: 0, counted: 0, ..whole.clone() }, "`tally`"),
            (Seen { leases: 0, ..whole }, "`lease`"),
        ] {
            let damage = seen.damage().unwrap();
            assert!(damage.contains(table), "{damage}");
        }
    }
}

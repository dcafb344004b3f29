//! The tables, and their versions.
//!
//! A migration is a pair of files, which never change once they are released: what was applied is
//! remembered with its checksum, and another text under the same number is refused. All that is
//! missing is applied in one transaction, under a lock, so that two servers that start at once do
//! not meet. Versions that this program does not know are never touched.

use std::fmt::Write as _;

use haulier_core::{Code, Error, Result};
use sha2::{Digest, Sha256};

use crate::db::{Db, Failed, Tx, sql};
use crate::error::OpenError;
use crate::options::Options;

/// One step of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Its number; they are applied in order.
    pub version: i32,
    /// What it is called.
    pub name: &'static str,
    up: &'static str,
    down: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal),+ $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            up: include_str!(concat!("../migrations/", $name, ".up.sql")),
            down: include_str!(concat!("../migrations/", $name, ".down.sql")),
        }),+]
    };
}

/// Every step, in order.
pub const ALL: &[Migration] = migrations! {
    1 "0001_base",
    2 "0002_checks",
    3 "0003_enqueue",
    4 "0004_complete",
};

/// What a schema has of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What was applied: number, name, checksum, in order.
    pub applied: Vec<Applied>,
    /// Whether the schema has any of it.
    pub here: bool,
}

/// A step that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its number.
    pub version: i32,
    /// What it was called.
    pub name: String,
    /// Of its text, when it was applied.
    pub checksum: String,
    /// When, as the database writes times.
    pub at: String,
}

/// How a schema and this program fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// The schema has no tables of ours.
    Missing,
    /// These steps are still to be applied.
    Older(Vec<&'static Migration>),
    /// Everything is there.
    Current,
    /// A newer program was here: it applied this version.
    Newer(i32),
    /// This step was applied with another text.
    Changed(i32),
}

impl Migration {
    /// Of the text that brings it in.
    pub fn checksum(&self) -> String {
        let mut text = String::with_capacity(64);
        for byte in Sha256::digest(self.up) {
            // Writing into a string cannot fail.
            let _written = write!(text, "{byte:02x}").is_ok();
        }
        text
    }
}

/// The newest version that this program knows.
pub fn newest() -> i32 {
    ALL.last().map_or(0, |migration| migration.version)
}

impl Status {
    /// How it fits to this program.
    pub fn fit(&self) -> Fit {
        if self.applied.is_empty() {
            return Fit::Missing;
        }
        if let Some(newer) = self.applied.iter().rev().find(|step| step.version > newest()) {
            return Fit::Newer(newer.version);
        }
        for migration in ALL {
            let applied = self.applied.iter().find(|step| step.version == migration.version);
            if applied.is_some_and(|step| step.checksum != migration.checksum()) {
                return Fit::Changed(migration.version);
            }
        }
        let missing = |one: &&Migration| !self.applied.iter().any(|a| a.version == one.version);
        let missing: Vec<_> = ALL.iter().filter(missing).collect();
        if missing.is_empty() { Fit::Current } else { Fit::Older(missing) }
    }
}

impl Fit {
    /// Why the schema cannot be served or changed, with what to do; `None` if it is current.
    pub(crate) fn trouble(&self, place: &str) -> Option<Error> {
        let text = match self {
            Self::Current => return None,
            Self::Missing => format!("{place} has no tables of Haulier; next: haulier migrate up"),
            Self::Older(missing) => format!(
                "the tables in {place} are of an older version, {} to come; stop the servers, \
                 then: haulier migrate up",
                count(missing.len(), "step"),
            ),
            Self::Newer(version) => format!(
                "the tables in {place} are of version {version}, and this program knows no more \
                 than {}: use the newer program, or go back with it: haulier migrate down --to {}",
                newest(),
                newest(),
            ),
            Self::Changed(version) => format!(
                "step {version} of the tables in {place} was applied with another text than this \
                 program has: it is of a version that was never released, or somebody changed it; \
                 restore the tables from a backup, or use the program that made them",
            ),
        };
        Some(Error::new(Code::NotSupported, text))
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Applies every step that is missing; those that it applied.
///
/// # Errors
/// The database is away, lacks rights, or has tables of another program or of a newer version.
pub async fn up(options: &Options) -> Result<Vec<&'static Migration>, OpenError> {
    let place = options.place();
    let (schema, place) = (options.schema.as_str(), place.as_str());
    let changed = change(options, |tx| async move {
        let row = tx.one(sql!("migrate_schema"), &[&schema]).await?;
        if !row.try_get::<_, bool>("schema")? {
            tx.batch("CREATE SCHEMA {schema}").await?;
        }
        tx.batch(include_str!("../sql/migrate_table.sql")).await?;
        let status = read(&tx).await?;
        let missing = match status.fit() {
            Fit::Current => Vec::new(),
            Fit::Missing => ALL.iter().collect(),
            Fit::Older(missing) => missing,
            other => return Err(refusal(&other, place)),
        };
        for step in &missing {
            tx.batch(step.up).await.map_err(|failed| at(step, failed))?;
            let row: Row<'_> = &[&step.version, &step.name, &step.checksum()];
            tx.execute(sql!("migrate_applied"), row).await?;
        }
        Ok(missing)
    });
    changed.await
}

/// Takes back every step above this version, newest first; those that it took back. With version 0
/// nothing of Haulier is left.
///
/// # Errors
/// As [`up`].
pub async fn down(options: &Options, to: i32) -> Result<Vec<&'static Migration>, OpenError> {
    let place = options.place();
    let (schema, place) = (options.schema.as_str(), place.as_str());
    let changed = change(options, |tx| async move {
        let row = tx.one(sql!("migrate_schema"), &[&schema]).await?;
        if !row.try_get::<_, bool>("tables")? {
            return Ok(Vec::new());
        }
        let status = read(&tx).await?;
        match status.fit() {
            Fit::Current | Fit::Older(_) | Fit::Missing => {}
            other => return Err(refusal(&other, place)),
        }
        let applied = |one: &&Migration| status.applied.iter().any(|a| a.version == one.version);
        let gone: Vec<_> =
            ALL.iter().rev().filter(|one| one.version > to).filter(applied).collect();
        for step in &gone {
            tx.batch(step.down).await.map_err(|failed| at(step, failed))?;
            tx.execute(sql!("migrate_taken_back"), &[&step.version]).await?;
        }
        if to <= 0 {
            tx.batch("DROP TABLE {schema}.migration").await?;
        }
        Ok(gone)
    });
    changed.await
}

/// What the schema has.
///
/// # Errors
/// The database is away, or lacks rights.
pub async fn status(options: &Options) -> Result<Status, OpenError> {
    let db = plain(options)?;
    let status = of(&db, &options.schema).await.map_err(OpenError::from_call);
    db.close();
    status
}

/// Everything, as a text that a database administrator can run: into this schema, without the
/// steps up to `from`.
pub fn text(schema: &str, from: i32) -> String {
    let mut text = String::new();
    if from <= 0 {
        text.push_str("CREATE SCHEMA IF NOT EXISTS {schema};\n\n");
    }
    text.push_str(include_str!("../sql/migrate_table.sql"));
    for step in ALL.iter().filter(|step| step.version > from) {
        let (version, name, checksum) = (step.version, step.name, step.checksum());
        text.push_str("\n\n");
        text.push_str(step.up.trim_end());
        text.push_str("\n\nINSERT INTO {schema}.migration (version, name, checksum)\n    VALUES (");
        text.push_str(&[&version.to_string(), ", '", name, "', '", &checksum, "');"].concat());
    }
    let body = text.replace("{schema}", &format!("\"{schema}\""));
    format!("BEGIN;\n\n{body}\n\nCOMMIT;\n")
}

/// What a schema has, as an open store sees it.
pub(crate) async fn of(db: &Db, schema: &str) -> Result<Status> {
    db.read("migrate status", |tx| async move {
        let row = tx.one(sql!("migrate_schema"), &[&schema]).await?;
        if row.try_get::<_, bool>("tables")? {
            read(&tx).await
        } else {
            Ok(Status { applied: Vec::new(), here: false })
        }
    })
    .await
}

async fn read(tx: &Tx<'_>) -> Result<Status, Failed> {
    let rows = tx.query(sql!("migrate_status"), &[]).await?;
    let applied = rows.iter().map(|row| {
        Ok(Applied {
            version: row.try_get("version")?,
            name: row.try_get("name")?,
            checksum: row.try_get("checksum")?,
            at: row.try_get("at")?,
        })
    });
    let applied = applied.collect::<Result<Vec<_>, tokio_postgres::Error>>()?;
    Ok(Status { here: !applied.is_empty(), applied })
}

type Row<'a> = crate::db::Params<'a>;

/// A few statements, each once: nothing is left prepared, so that it goes through every proxy.
fn plain(options: &Options) -> Result<Db, OpenError> {
    Db::new(&Options { prepare: false, ..options.clone() }).map_err(OpenError::Options)
}

/// One transaction, in which nobody else migrates the same schema.
async fn change<F, Fut>(options: &Options, body: F) -> Result<Vec<&'static Migration>, OpenError>
where
    F: Fn(Tx<'static>) -> Fut,
    Fut: Future<Output = Result<Vec<&'static Migration>, Failed>>,
{
    let db = plain(options)?;
    let (schema, body) = (options.schema.as_str(), &body);
    let changed = db
        .write("migrate", |tx| async move {
            tx.query(sql!("migrate_lock"), &[&schema]).await?;
            body(tx).await
        })
        .await;
    db.close();
    changed.map_err(OpenError::from_call)
}

fn refusal(fit: &Fit, place: &str) -> Failed {
    let trouble = fit.trouble(place);
    trouble.unwrap_or_else(|| Error::internal("the tables fit, and were refused")).into()
}

/// A failure, with the step that it happened in.
fn at(step: &Migration, failed: Failed) -> Failed {
    tracing::error!(step = step.name, "this step of the tables failed");
    failed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(version: i32, checksum: String) -> Applied {
        Applied { version, name: String::new(), checksum, at: String::new() }
    }

    fn all() -> Vec<Applied> {
        ALL.iter().map(|one| applied(one.version, one.checksum())).collect()
    }

    fn fit(applied: Vec<Applied>) -> Fit {
        Status { applied, here: true }.fit()
    }

    #[test]
    fn steps_are_numbered_without_gaps_and_named_by_their_number() {
        for (at, migration) in (1..).zip(ALL) {
            assert_eq!(migration.version, at);
            assert!(migration.name.starts_with(&format!("{at:04}_")), "{}", migration.name);
        }
    }

    #[test]
    fn a_schema_is_missing_older_current_newer_or_changed() {
        assert_eq!(fit(Vec::new()), Fit::Missing);
        assert_eq!(fit(all()), Fit::Current);
        assert_eq!(fit(all()[..1].to_vec()), Fit::Older(ALL[1..].iter().collect()));
        let newer = [all(), vec![applied(newest() + 2, String::new())]].concat();
        assert_eq!(fit(newer), Fit::Newer(newest() + 2));
        let mut changed = all();
        changed[1].checksum.push('0');
        assert_eq!(fit(changed), Fit::Changed(2));
    }

    #[test]
    fn every_trouble_says_what_is_next() {
        for (fit, next) in [
            (Fit::Missing, "next: haulier migrate up"),
            (Fit::Older(vec![&ALL[0]]), "then: haulier migrate up"),
            (Fit::Newer(99), "haulier migrate down --to"),
            (Fit::Changed(1), "backup"),
        ] {
            let error = fit.trouble("db:5432/app (schema haulier)").unwrap();
            assert!(error.message().contains(next), "{error}");
        }
    }

    #[test]
    fn the_text_for_an_administrator_has_every_step_and_its_checksum() {
        let text = text("jobs", 0);
        assert!(text.starts_with("BEGIN;") && text.ends_with("COMMIT;\n"));
        assert!(!text.contains("{schema}") && text.contains("CREATE TABLE \"jobs\".task"));
        for migration in ALL {
            assert!(text.contains(&migration.checksum()), "{}", migration.name);
        }
    }
}

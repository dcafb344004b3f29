//! Which database this is: its system identifier, its own number, its timeline, and when its server
//! was started.
//!
//! A promoted standby has another timeline, a restored dump another number, a restored copy another
//! start: each may have lost deliveries that were handed out, so their epochs must not come again.
//! Whoever sees that a database is not the one it was raises the generation, before anything else
//! is asked of it. The new generation is the time, so that two restores of one backup differ.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use haulier_core::probe::planted;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// What a database is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    system: String,
    timeline: i32,
    started: i64,
}

/// What is known of the database behind a pool; nothing before the first look.
#[derive(Debug, Default)]
pub(super) struct Known {
    identity: Mutex<Option<Identity>>,
    /// How often it has become another one since.
    era: AtomicU64,
}

/// What a look found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Met {
    /// The one that was here before, or the first one.
    Same,
    /// Its server was started anew.
    Restarted {
        /// The generation from now on.
        generation: i32,
    },
    /// It is another one: a standby that was promoted, or a copy.
    Another {
        /// The generation from now on.
        generation: i32,
    },
    /// `meta` has no row: what it said is lost.
    Lost,
}

/// A standby has no timeline of its own yet: asking it to write says so in its own words.
const ASK: &str = "BEGIN READ WRITE; COMMIT;
    SELECT s.system_identifier::text || '/' || d.oid::text,
           ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer,
           (extract(epoch FROM pg_postmaster_start_time()) * 1000)::bigint
    FROM pg_control_system() s, pg_database d WHERE d.datname = current_database()";

const BEFORE: &str = "SELECT system_id, timeline FROM {schema}.meta";

/// Two servers that see it at once raise it once.
const RAISE: &str = "UPDATE {schema}.meta
    SET generation = CASE WHEN system_id IS NULL THEN generation ELSE greatest(generation + 1,
            (extract(epoch FROM clock_timestamp()) - 1767225600)::integer) END,
        system_id = $1, timeline = $2, started = $3
    WHERE (system_id, timeline, started) IS DISTINCT FROM ($1, $2, $3)
    RETURNING generation";

impl Known {
    fn identity(&self) -> MutexGuard<'_, Option<Identity>> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything is known yet.
    pub(super) fn is_some(&self) -> bool {
        self.identity().is_some()
    }

    /// Changes when the database becomes another one. What was read before may not be so in it.
    pub(super) fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// Looks which database a connection leads to, and raises the generation if it must be.
    pub(super) async fn meet(&self, client: &Client, schema: &str) -> Result<Met, Error> {
        let identity = ask(client).await?;
        if self.identity().as_ref() == Some(&identity) || planted("generation-kept") {
            return Ok(Met::Same);
        }
        let met = raise(client, schema, &identity).await?;
        match &met {
            Met::Same | Met::Lost => {}
            Met::Restarted { generation } => {
                tracing::info!(generation, "the database was started anew: generation raised");
            }
            Met::Another { generation } => tracing::error!(
                generation,
                "this is not the database that was here before: a standby was promoted, or a copy \
                 was put in its place. The generation was raised, so no old lease counts any more; \
                 what was acknowledged but not copied is lost, and tasks may run again"
            ),
        }
        let mut known = self.identity();
        if known.as_ref().is_some_and(|known| *known != identity) {
            self.era.fetch_add(1, Ordering::AcqRel);
        }
        *known = Some(identity);
        drop(known);
        Ok(met)
    }
}

async fn ask(client: &Client) -> Result<Identity, Error> {
    let answers = client.simple_query(ASK).await?;
    let row = answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let field = |at: usize| row.and_then(|row| row.get(at)).unwrap_or_default();
    let number = |at: usize| field(at).parse().unwrap_or_default();
    let timeline = i32::try_from(number(1)).unwrap_or_default();
    Ok(Identity { system: field(0).to_owned(), timeline, started: number(2) })
}

async fn raise(client: &Client, schema: &str, identity: &Identity) -> Result<Met, Error> {
    let before = client.query_typed_opt(&BEFORE.replace("{schema}", schema), &[]).await?;
    let Some(before) = before else { return Ok(Met::Lost) };
    let system: Option<String> = before.try_get(0)?;
    let timeline: Option<i32> = before.try_get(1)?;
    let params: [(&(dyn ToSql + Sync), Type); 3] = [
        (&identity.system, Type::TEXT),
        (&identity.timeline, Type::INT4),
        (&identity.started, Type::INT8),
    ];
    let raised = client.query_typed_opt(&RAISE.replace("{schema}", schema), &params).await?;
    let Some(raised) = raised else { return Ok(Met::Same) };
    let generation = raised.try_get(0)?;
    Ok(match system {
        None => Met::Same,
        Some(system) if system == identity.system && timeline == Some(identity.timeline) => {
            Met::Restarted { generation }
        }
        Some(_) => Met::Another { generation },
    })
}

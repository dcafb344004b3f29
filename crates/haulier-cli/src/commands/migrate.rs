//! `haulier migrate`: Haulier's tables in a PostgreSQL database.

use haulier::postgres::migrate::{self, ALL, Fit, Migration, Status};
use haulier::postgres::{OpenError, Options};
use serde::Serialize;

use crate::ask;
use crate::exit::{Exit, Failed, Result};
use crate::output::{self, Format, Output};

/// What to do with the tables.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Bring the tables in, or up to this version
    #[command(after_help = "\
Examples:
  haulier migrate up --store postgres://haulier@localhost/app
  HAULIER_STORE=postgres://haulier@localhost/app?schema=jobs haulier migrate up")]
    Up(Up),
    /// Show which steps were applied
    #[command(after_help = "\
Examples:
  haulier migrate status --store postgres://haulier@localhost/app")]
    Status(Look),
    /// Take steps back; with `--to 0` all tables and everything in them
    #[command(after_help = "\
Examples:
  haulier migrate down --to 1 --yes --store postgres://haulier@localhost/app")]
    Down(Down),
    /// Print what `up` would run, for a database administrator
    #[command(after_help = "\
Examples:
  haulier migrate sql --schema haulier
  haulier migrate sql --from 1")]
    Sql(Sql),
}

/// Which database.
#[derive(Debug, clap::Args)]
pub struct Database {
    /// The database, as for `haulier serve`
    #[arg(long, value_name = "URL", env = "HAULIER_STORE", hide_env_values = true)]
    store: String,
}

/// Bringing in.
#[derive(Debug, clap::Args)]
pub struct Up {
    #[command(flatten)]
    database: Database,
}

/// Taking back.
#[derive(Debug, clap::Args)]
pub struct Down {
    /// The version to go back to
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(i32).range(0..))]
    to: i32,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    database: Database,
}

/// Looking.
#[derive(Debug, clap::Args)]
pub struct Look {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    output: Output,
}

/// Printing.
#[derive(Debug, clap::Args)]
pub struct Sql {
    /// The schema that the tables are to stand in
    #[arg(long, default_value = "haulier")]
    schema: String,
    /// Leave out the steps up to this version
    #[arg(long, value_name = "VERSION", default_value_t = 0)]
    from: i32,
}

/// A step, as JSON.
#[derive(Debug, Serialize)]
struct Step<'a> {
    version: i32,
    name: &'a str,
    applied_at: Option<&'a str>,
}

impl Database {
    fn options(&self) -> Result<Options> {
        Ok(Options::parse(&self.store, haulier::system_entropy()?)?)
    }
}

impl Verb {
    /// Runs the command.
    pub async fn run(self) -> Result<Exit> {
        match self {
            Self::Up(args) => {
                let options = args.database.options()?;
                let applied = migrate::up(&options).await.map_err(failed)?;
                told("applied", &applied, &options.place())
            }
            Self::Down(args) => {
                let options = args.database.options()?;
                let what = if args.to == 0 { "every task, and all tables" } else { "steps" };
                let place = options.place();
                ask::confirm(&format!("Remove {what} from {place}?"), args.yes)?;
                let gone = migrate::down(&options, args.to).await.map_err(failed)?;
                told("took back", &gone, &place)
            }
            Self::Status(args) => {
                let options = args.database.options()?;
                let status = migrate::status(&options).await.map_err(failed)?;
                show(&status, &options.place(), args.output.format)
            }
            Self::Sql(args) => {
                let url = format!("postgres://localhost/any?schema={}", args.schema);
                let options = Options::parse(&url, haulier::system_entropy()?)?;
                output::line(format_args!(
                    "{}",
                    migrate::text(&options.schema, args.from).trim_end()
                ))?;
                Ok(Exit::Done)
            }
        }
    }
}

fn failed(error: OpenError) -> Failed {
    haulier::store::OpenError::from(error).into()
}

fn told(verb: &str, steps: &[&Migration], place: &str) -> Result<Exit> {
    if steps.is_empty() {
        output::say(format_args!("{place}: nothing to do"));
    }
    for step in steps {
        output::line(format_args!("{verb} {}", step.name))?;
    }
    Ok(Exit::Done)
}

/// Done if the tables are of this version.
fn show(status: &Status, place: &str, format: Format) -> Result<Exit> {
    let known = ALL.iter().map(|step| (step.version, step.name));
    let newer = status.applied.iter().filter(|step| step.version > migrate::newest());
    let steps: Vec<Step<'_>> = known
        .chain(newer.map(|step| (step.version, step.name.as_str())))
        .map(|(version, name)| {
            let applied = status.applied.iter().find(|step| step.version == version);
            Step { version, name, applied_at: applied.map(|step| step.at.as_str()) }
        })
        .collect();
    if matches!(format, Format::Json) {
        output::json(&steps)?;
    } else {
        let rows = steps.iter().map(|step| {
            let at = step.applied_at.unwrap_or("not applied");
            vec![step.version.to_string(), step.name.to_owned(), at.to_owned()]
        });
        output::table(&["VERSION", "NAME", "APPLIED"], rows)?;
    }
    let next = match status.fit() {
        Fit::Current => return Ok(Exit::Done),
        Fit::Missing | Fit::Older(_) => "haulier migrate up",
        Fit::Newer(_) => "use the newer program",
        Fit::Changed(_) => "a step was applied with another text: use the program that made it",
    };
    output::say(format_args!("{place} is not of this version; next: {next}"));
    Ok(Exit::No)
}

//! Settings: flags and environment, read once, before any port opens.

use crate::mistake::describe;
use clap::error::ErrorKind;
use std::{
    ffi::OsString,
    io::Write,
    net::SocketAddr,
    process::{self, ExitCode},
    time::Duration,
};

/// The exit code for a wrong setting: `EX_USAGE` of sysexits.h.
pub const EXIT_WRONG_SETTING: u8 = 64;

/// What every service can be told about its life. Flatten it into the service's own settings.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)] // every crate calls its settings Config, and clap wants distinct groups
pub struct Config {
    /// Where probes, metrics and the version are served.
    #[arg(long, env, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:9090")]
    pub admin_listen: SocketAddr,
    /// How long to go on accepting requests after SIGTERM, until load balancers have seen that the service is not ready.
    #[arg(long, env, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub drain_delay: Duration,
    /// How long requests and tasks may take to finish after accepting has stopped.
    #[arg(long, env, value_name = "DURATION", default_value = "25s", value_parser = humantime::parse_duration)]
    pub drain_deadline: Duration,
    /// The service's version, as released.
    #[arg(long, env, value_name = "VERSION", default_value = "0.0.0-dev")]
    pub service_version: String,
    /// The source revision that the service was built from.
    #[arg(long, env, value_name = "COMMIT", default_value = "unknown")]
    pub service_revision: String,
}

/// Why there are no settings to run with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A setting is missing, unknown, or has a value that it does not take: one line without secrets.
    #[error("{0}")]
    Invalid(String),
    /// Help was asked for; this is its text.
    #[error("{0}")]
    Help(clap::Error),
}

impl ConfigError {
    fn exit(self) -> ! {
        match self {
            Self::Help(help) => help.exit(),
            Self::Invalid(line) => {
                // Nothing is left to tell when stderr is closed; the exit code still says it.
                let _ = writeln!(std::io::stderr(), "error: {line}");
                process::exit(EXIT_WRONG_SETTING.into())
            }
        }
    }
}

/// The process's settings. `<service> settings`, which needs none of them, prints [`crate::settings::markdown`] and exits.
///
/// Ends the process with [`EXIT_WRONG_SETTING`] and one line on stderr when a setting is wrong.
pub fn parse<C: clap::Parser>() -> C {
    let args: Vec<OsString> = std::env::args_os().collect();
    if args.get(1).is_some_and(|arg| arg == "settings") {
        let _ = write!(std::io::stdout(), "{}", crate::settings::markdown::<C>());
        process::exit(0);
    }
    parse_from(args).unwrap_or_else(|error| error.exit())
}

/// A setting that only its user can judge, such as a database's URL: ends the process like one that
/// [`parse`] refuses.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct WrongSetting(Box<dyn std::error::Error + Send + Sync>);

impl WrongSetting {
    /// `reason` names the setting and what it takes.
    pub fn new(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}

/// The whole of a service's `main`: runs it with its settings, says in one line on stderr why it
/// failed, and returns its exit code: [`EXIT_WRONG_SETTING`] after [`WrongSetting`], else 1.
pub async fn main<C: clap::Parser, F>(run: impl FnOnce(C) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    let Err(error) = run(parse()).await else {
        return ExitCode::SUCCESS;
    };
    // When stderr is closed, the exit code still says it.
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    match error.is::<WrongSetting>() {
        true => ExitCode::from(EXIT_WRONG_SETTING),
        false => ExitCode::FAILURE,
    }
}

/// The settings in `args` (the first is the program's name) and the environment.
///
/// # Errors
/// [`ConfigError::Invalid`] names the setting, what was given and what it takes.
pub fn parse_from<C: clap::Parser>(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<C, ConfigError> {
    let mut command = C::command()
        .after_help("With `settings` alone it prints its settings as a Markdown table.");
    command
        .try_get_matches_from_mut(args)
        .and_then(|matches| C::from_arg_matches(&matches))
        .map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ConfigError::Help(error),
            _ => ConfigError::Invalid(describe(&command, &error)),
        })
}

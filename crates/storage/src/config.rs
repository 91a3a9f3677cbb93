use std::{convert::Infallible, fmt, str::FromStr, time::Duration};

use crate::Error;

/// The database's settings, to be flattened into a service's own.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)] // every crate calls its settings Config, and clap wants distinct groups
pub struct Config {
    /// Database: `postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=verify-full`, or `sqlite://FILE`
    #[arg(long, env, value_name = "URL", hide_env_values = true)]
    pub database_url: DatabaseUrl,

    /// Most connections that this process opens
    #[arg(long, env, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub pool_max: u32,

    /// Connections kept open while there is nothing to do
    #[arg(long, env, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub pool_min_idle: u32,

    /// How long a request waits for a connection before it fails as unavailable
    #[arg(long, env, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    pub acquire_timeout: Duration,
}

impl Config {
    /// Judges the URL, which parsing leaves alone. Opens nothing.
    ///
    /// # Errors
    /// [`Error::Config`], as [`connect`](crate::connect).
    pub fn check(&self) -> Result<(), Error> {
        crate::connect(self, "check").map(drop)
    }

    /// The defaults, for `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            database_url: DatabaseUrl(url.into()),
            pool_max: 10,
            pool_min_idle: 2,
            acquire_timeout: Duration::from_secs(2),
        }
    }
}

/// A database URL. Its `Debug` and `Display` leave the user, the password and the parameters out.
///
/// Parsing accepts everything, because clap would print a refused value, password included; [`connect`](crate::connect) judges it.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole URL, secrets included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = Infallible;

    fn from_str(url: &str) -> Result<Self, Infallible> {
        Ok(Self(url.to_owned()))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let without_parameters = self.0.split('?').next().unwrap_or_default();
        match without_parameters.split_once("://") {
            Some((scheme, rest)) => {
                let place = rest
                    .rsplit_once('@')
                    .map_or(rest, |(_credentials, place)| place);
                write!(f, "{scheme}://{place}")
            }
            None if without_parameters.starts_with("sqlite:") => f.write_str(without_parameters),
            None => f.write_str("(not a database URL)"),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What both backends say of a URL that they cannot use; the text reaches the operator as it is.
pub(crate) fn invalid(problem: impl fmt::Display) -> Error {
    Error::Config(format!(
        "--database-url (DATABASE_URL): {problem}; hint: takes postgres://USER:PASSWORD@HOST:PORT/NAME or sqlite://FILE"
    ))
}

pub(crate) fn unsupported_scheme(url: &str) -> Error {
    // Without "://" the text may be anything, even a password that was pasted into the wrong place.
    match url.split_once("://") {
        Some((scheme, _))
            if scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) =>
        {
            invalid(format_args!("'{scheme}' is not a supported database"))
        }
        _ => invalid("not a URL"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        storage: Config,
    }

    #[test]
    fn only_the_url_is_required_and_the_rest_has_the_documented_defaults() {
        let parsed = Cli::try_parse_from(["catalog", "--database-url", "sqlite::memory:"])
            .unwrap()
            .storage;
        assert_eq!(
            format!("{parsed:?}"),
            format!("{:?}", Config::new("sqlite::memory:"))
        );
        assert!(
            Cli::try_parse_from([
                "catalog",
                "--database-url",
                "sqlite::memory:",
                "--pool-max",
                "0"
            ])
            .is_err()
        );
    }

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            (
                "postgres://ada:s3cret@db:5432/shop?sslmode=require",
                "postgres://db:5432/shop",
            ),
            (
                "postgres://ada:s3cret@x@db/shop?password=s3cret",
                "postgres://db/shop",
            ),
            ("sqlite://target/shop.db", "sqlite://target/shop.db"),
            ("sqlite::memory:", "sqlite::memory:"),
            ("s3cret", "(not a database URL)"),
        ] {
            assert_eq!(format!("{}", DatabaseUrl(url.into())), shown);
            assert!(!format!("{:?}", Config::new(url)).contains("s3cret"));
        }
    }

    #[tokio::test]
    async fn an_unusable_url_is_refused_with_what_is_allowed_and_without_the_password() {
        for (url, problem) in [
            (
                "mysql://ada:s3cret@db/shop",
                "'mysql' is not a supported database",
            ),
            ("s3cret", "not a URL"),
            ("s3cret:x", "not a URL"),
            ("", "not a URL"),
            ("postgres://ada:s3cret@db:port/shop", "invalid port number"),
            (
                "postgres://ada:s3cret@db/shop?sslmode=s3cretly",
                "unknown value",
            ),
            (
                "sqlite:///no/such/folder/shop.db",
                "the folder '/no/such/folder' does not exist",
            ),
            ("sqlite://", "names no file"),
        ] {
            let error = crate::connect(&Config::new(url), "test")
                .unwrap_err()
                .to_string();
            assert!(error.contains("--database-url (DATABASE_URL): "), "{error}");
            assert!(error.contains(problem), "{url}: {error}");
            assert!(
                error.contains("hint: takes postgres://") && error.contains("sqlite://"),
                "{error}"
            );
            assert!(
                !error.contains("ada:s3cret") && !error.contains('\n'),
                "{error}"
            );
        }
    }
}

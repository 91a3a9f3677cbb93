//! Settings of logs and traces.

use http::Uri;
use tracing_subscriber::EnvFilter;

/// What every service can be told about its telemetry. Flatten it into the service's own settings.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)] // every crate calls its settings Config, and clap wants distinct groups
pub struct Config {
    /// How log lines are written.
    #[arg(long, env, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Which log lines are written: a level, or levels by module, as in `info,sqlx=warn`.
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info", value_parser = filter)]
    pub log_filter: String,
    /// The OpenTelemetry collector that traces are sent to, by OTLP over gRPC. Without it they are not exported.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "http://HOST:PORT", value_parser = endpoint)]
    pub otlp_endpoint: Option<String>,
    /// The part of the traces begun here that is exported; traces that a caller began keep the caller's choice.
    #[arg(long, env, value_name = "0..1", default_value_t = 0.1, value_parser = ratio)]
    pub trace_sample_ratio: f64,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    Text,
    /// One JSON object a line, for log collectors.
    Json,
}

fn filter(text: &str) -> Result<String, tracing_subscriber::filter::ParseError> {
    EnvFilter::try_new(text).map(|_| text.to_owned())
}

/// An empty endpoint is none, as OpenTelemetry's specification says of its environment variables.
fn endpoint(text: &str) -> Result<String, String> {
    let uri: Uri = match text {
        "" => return Ok(String::new()),
        _ => text.parse().map_err(|error| format!("{error}"))?,
    };
    match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(_)) => Ok(text.to_owned()),
        (Some("https"), _) => {
            Err("TLS to the collector is not supported; run one beside the service".to_owned())
        }
        _ => Err("the scheme must be http".to_owned()),
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=1.0).contains(&ratio) {
        Ok(ratio)
    } else {
        Err("it must be from 0 to 1".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_checked_before_anything_starts() {
        assert_eq!(
            endpoint("http://collector:4317").unwrap(),
            "http://collector:4317"
        );
        assert_eq!(endpoint("").unwrap(), "");
        for wrong in [
            "collector",
            "collector:4317",
            "https://collector:4317",
            "ftp://collector",
            "http://[",
            "http:///x",
        ] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ratios_are_from_0_to_1() {
        assert_eq!(ratio("0.25").unwrap(), 0.25);
        for wrong in ["-0.1", "1.1", "NaN", "half", ""] {
            assert!(ratio(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn filters_are_checked() {
        assert!(filter("info,sqlx=warn").is_ok());
        assert!(filter("sqlx=loud").is_err());
    }
}

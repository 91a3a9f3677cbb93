//! The smallest service: settings, an HTTP port, readiness, drain.

use clap::Parser;
use lifecycle::{Lifecycle, http};
use std::{convert::Infallible, error::Error, net::SocketAddr, time::Duration};

/// Answers after a while.
#[derive(Debug, Parser)]
#[command(name = "service", mut_arg("admin_listen", |arg| arg.default_value("127.0.0.1:9099")))]
struct Config {
    /// Where HTTP is served.
    #[arg(
        long,
        env,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8099"
    )]
    listen: SocketAddr,
    /// How long an answer takes.
    #[arg(long, env, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    answer_time: Duration,
    #[command(flatten)]
    lifecycle: lifecycle::Config,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config: Config = lifecycle::parse();
    let lifecycle = Lifecycle::start(&config.lifecycle, "service", String::new).await?;
    let listener = tokio::net::TcpListener::bind(config.listen).await?;
    let answer = async move || {
        tokio::time::sleep(config.answer_time).await;
        "answered\n"
    };
    let router = axum::Router::new().route("/", axum::routing::get(answer));
    let limits = http::HttpConfig {
        leaving: lifecycle.shutdown(),
        ..http::HttpConfig::default()
    };
    let server = http::serve(listener, router, limits, lifecycle.draining());
    lifecycle.spawn("http server", async {
        server.await;
        Ok::<(), Infallible>(())
    });
    lifecycle.run_until_shutdown().await?;
    Ok(())
}

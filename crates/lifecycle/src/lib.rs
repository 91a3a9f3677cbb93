//! The life of a service, from its settings to its last request.
//!
//! - [`parse`] reads flags and environment; a wrong setting ends the process with exit code 64 and one line.
//! - [`Lifecycle`] serves the admin port (`/livez`, `/readyz`, `/metrics`, `/version`), holds the readiness
//!   [`Latch`]es and the service's tasks, and drains them on SIGTERM.
//! - [`http::serve`] is an HTTP server with the timeouts and limits that a public port needs.
//!
//! ```
//! use clap::Parser;
//! use std::{convert::Infallible, net::SocketAddr};
//!
//! /// Keeps products and stock.
//! #[derive(Debug, Parser)]
//! #[command(name = "catalog", mut_arg("admin_listen", |arg| arg.default_value("0.0.0.0:9091")))]
//! struct Config {
//!     /// Where gRPC is served.
//!     #[arg(long, env, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:50051")]
//!     listen: SocketAddr,
//!     /// Encrypts what customers must not read.
//!     #[arg(long, env, value_name = "KEY", hide_env_values = true)] // a secret: never printed
//!     key: Option<String>,
//!     #[command(flatten)]
//!     lifecycle: lifecycle::Config,
//! }
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! // A service's `main` is `lifecycle::main(run).await`, and `run` gets them.
//! let config: Config = lifecycle::parse_from(["catalog", "--drain-delay", "0s"])?;
//! assert_eq!(config.lifecycle.admin_listen.port(), 9091);
//! # let config: Config = lifecycle::parse_from(["catalog", "--drain-delay", "0s", "--admin-listen", "127.0.0.1:0"])?;
//!
//! let lifecycle = lifecycle::Lifecycle::start(&config.lifecycle, "catalog", || String::new()).await?;
//! let database = lifecycle.latch("database");
//! database.open();
//!
//! let draining = lifecycle.draining();
//! lifecycle.spawn("worker", async move {
//!     draining.cancelled().await;
//!     Ok::<(), Infallible>(())
//! });
//!
//! lifecycle.shutdown().cancel(); // what SIGTERM does
//! lifecycle.run_until_shutdown().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admin;
mod config;
mod drain;
pub mod http;
mod latch;
mod mistake;
pub mod settings;

pub use config::{Config, ConfigError, EXIT_WRONG_SETTING, WrongSetting, main, parse, parse_from};
pub use drain::{DrainError, Lifecycle, StartError};
pub use latch::Latch;

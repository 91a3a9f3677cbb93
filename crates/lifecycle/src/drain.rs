//! Start, run, drain: one service's life in order.

use crate::Config;
use crate::admin::{self, Version};
use crate::http::{self, HttpConfig};
use crate::latch::{Latch, Latches};
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::{io, process, time::Duration};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Why a service could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The admin port is taken, or is not this machine's.
    #[error(
        "cannot listen on {address}: {source}; hint: --admin-listen (ADMIN_LISTEN) chooses another address"
    )]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused a handler for SIGTERM or SIGINT.
    #[error("cannot handle signals: {0}")]
    Signals(io::Error),
}

/// Why a service did not end well.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrainError {
    /// Work was still going on when the drain deadline passed; it is cut off.
    #[error(
        "{tasks} tasks had not finished {deadline:?} after accepting stopped; hint: --drain-deadline (DRAIN_DEADLINE) gives them longer"
    )]
    Deadline {
        /// How many tasks were cut off.
        tasks: usize,
        /// How long they had.
        deadline: Duration,
    },
    /// A task that the service cannot do without failed, panicked, or returned too early.
    #[error("{0} ended; its reason is in the log")]
    Task(&'static str),
}

/// A running service: its admin port, latches, tasks and the tokens of its shutdown.
///
/// Dropping it closes the admin port and fires all tokens.
#[derive(Debug)]
pub struct Lifecycle {
    config: Config,
    admin_addr: SocketAddr,
    latches: Latches,
    serving: Latch,
    tasks: TaskTracker,
    background: TaskTracker,
    failed: Arc<OnceLock<&'static str>>,
    shutdown: CancellationToken,
    draining: CancellationToken,
    end: CancellationToken,
    _end_on_drop: DropGuard,
}

impl Lifecycle {
    /// Opens the admin port and listens for SIGTERM and SIGINT. `metrics` renders the body of `/metrics`.
    ///
    /// # Errors
    /// When the admin port cannot be opened.
    pub async fn start(
        config: &Config,
        service: &'static str,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let address = config.admin_listen;
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let admin_addr = listener.local_addr().map_err(listen)?;
        let end = CancellationToken::new();
        let shutdown = end.child_token();
        let signals = signals(shutdown.clone()).map_err(StartError::Signals)?;

        let latches = Latches::default();
        let serving = latches.latch("serving");
        let version = Version {
            service,
            version: config.service_version.clone(),
            revision: config.service_revision.clone(),
        };
        let admin = admin::router(version, latches.clone(), metrics);
        let admin = http::serve(listener, admin, HttpConfig::default(), end.clone());
        let background = TaskTracker::new();
        background.spawn(admin);
        background.spawn(end.clone().run_until_cancelled_owned(signals));
        tracing::info!(service, version = config.service_version, admin = %admin_addr, "started");
        Ok(Self {
            config: config.clone(),
            admin_addr,
            serving,
            latches,
            tasks: TaskTracker::new(),
            background,
            failed: Arc::default(),
            shutdown,
            draining: end.child_token(),
            _end_on_drop: end.clone().drop_guard(),
            end,
        })
    }

    /// Where the admin port listens.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// The latch of this name, closed until it is opened. The service is ready when all latches are open; one of them,
    /// `serving`, is open from [`Lifecycle::run_until_shutdown`] to the shutdown.
    pub fn latch(&self, name: &'static str) -> Latch {
        self.latches.latch(name)
    }

    /// Tasks that the drain waits for. See [`Lifecycle::spawn`] for those whose end is the service's end.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Fires when the service must stop accepting work: `drain_delay` after the shutdown has begun.
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Cancelling it begins the shutdown, as SIGTERM does.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Spawns a task that the service cannot do without, such as a server or a worker's loop. When it fails, panics or
    /// returns before the shutdown has begun, the service shuts down and [`Lifecycle::run_until_shutdown`] says so.
    pub fn spawn<E>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        E: Display + Send + 'static,
    {
        let task = self.tasks.spawn(task);
        let (shutdown, failed) = (self.shutdown.clone(), self.failed.clone());
        self.background.spawn(async move {
            match task.await {
                Ok(Ok(())) if shutdown.is_cancelled() => return,
                Ok(Ok(())) => tracing::error!(task = name, "ended before the shutdown"),
                Ok(Err(error)) => tracing::error!(task = name, %error, "failed"),
                Err(panic) => tracing::error!(task = name, error = %panic, "panicked"),
            }
            failed.get_or_init(|| name);
            shutdown.cancel();
        });
    }

    /// Waits for SIGTERM, SIGINT or the shutdown token; then is not ready, waits `drain_delay`, fires `draining`, and
    /// waits for all tasks. The admin port answers to the end. A second signal ends the process at once with code 1.
    ///
    /// # Errors
    /// When tasks are left at the `drain_deadline`, or one that was [spawned](Lifecycle::spawn) ended too early.
    pub async fn run_until_shutdown(self) -> Result<(), DrainError> {
        let deadline = self.config.drain_deadline;
        self.serving.open();
        self.shutdown.cancelled().await;
        self.serving.close("draining");
        sleep(self.config.drain_delay).await;
        self.draining.cancel();
        self.tasks.close();
        let drained = timeout(deadline, self.tasks.wait()).await;
        self.end.cancel();
        self.background.close();
        // A scrape that is under way may finish; nobody waits longer for a client that does not read.
        let _ = timeout(Duration::from_secs(1), self.background.wait()).await;
        if drained.is_err() {
            let tasks = self.tasks.len();
            return Err(DrainError::Deadline { tasks, deadline });
        }
        match self.failed.get() {
            Some(name) => Err(DrainError::Task(name)),
            None => Ok(()),
        }
    }
}

/// Cancels `shutdown` at the first signal, and ends the process at the second: whoever sends it does not want to wait.
fn signals(shutdown: CancellationToken) -> io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let signal = either(&mut terminate, &mut interrupt).await;
        tracing::info!(signal, "shutting down");
        shutdown.cancel();
        let signal = either(&mut terminate, &mut interrupt).await;
        tracing::error!(signal, "second signal: ending at once");
        process::exit(1);
    })
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

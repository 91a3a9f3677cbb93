//! The real binaries as child processes.
//!
//! ```no_run
//! # async fn example(database: testkit::TestDatabase) {
//! use testkit::service::{self, Service};
//!
//! let settings = [("DATABASE_URL", &*database.url)];
//! assert!(service::run("catalog", &["migrate"], &settings).await.status.success());
//! let mut catalog = Service::start("catalog", &settings).await;
//! catalog.kill().await;
//! catalog.restart().await;
//! assert!(catalog.terminate().await.success());
//! # }
//! ```
//!
//! A Ctrl-C in the terminal reaches them as well, as they share the test's process group.

use std::{
    collections::HashMap,
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use uuid::Uuid;

/// A debug build on a busy machine needs its time.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// More than a service's own drain deadline.
const ENDED_WITHIN: Duration = Duration::from_secs(60);

/// A running service on ports of the loopback. Killed when dropped; when a test fails, its log is printed.
#[derive(Debug)]
pub struct Service {
    name: String,
    settings: Vec<(String, String)>,
    address: SocketAddr,
    admin: SocketAddr,
    child: Option<Child>,
    folder: TempDir,
}

impl Service {
    /// Starts the binary `name` with `settings` (environment variables) and waits until it is ready.
    ///
    /// The binary is built when this process needs it first, or taken from `SLIPWAY_BIN_DIR`. `LISTEN` and
    /// `ADMIN_LISTEN` are free ports and stay the same for all restarts; `DRAIN_DELAY` is `0s`.
    ///
    /// # Panics
    /// When it does not build, ends, or is not ready within a minute.
    pub async fn start(name: &str, settings: &[(&str, &str)]) -> Self {
        let mut service = Self::spawn(name, settings);
        service.ready().await;
        service
    }

    /// As [`start`](Self::start), without waiting for readiness.
    ///
    /// # Panics
    /// When it does not build or start.
    #[must_use]
    pub fn spawn(name: &str, settings: &[(&str, &str)]) -> Self {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut service = Self {
            name: name.to_owned(),
            settings: settings.iter().map(own).collect(),
            address: free_address(),
            admin: free_address(),
            child: None,
            folder: tempfile::Builder::new()
                .prefix("testkit-service-")
                .tempdir()
                .expect("a temporary folder"),
        };
        service.launch();
        service
    }

    fn launch(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("a log file");
        let child = Command::new(binary(&self.name))
            .env("LISTEN", self.address.to_string())
            .env("ADMIN_LISTEN", self.admin.to_string())
            .env("DRAIN_DELAY", "0s")
            .envs(self.settings.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{}: {error}", self.name)));
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Panics
    /// When it ends instead, or does not within a minute.
    pub async fn ready(&mut self) {
        let url = format!("{}/readyz", self.admin_url());
        let name = self.name.clone();
        crate::eventually(READY_WITHIN, async || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok()?) {
                panic!("{name} ended while it started: {status}");
            }
            let answer = reqwest::get(&url)
                .await
                .map_err(|error| format!("{name}: {error}"))?;
            let (status, latches) = (answer.status(), answer.text().await.unwrap_or_default());
            if status.is_success() {
                Ok(())
            } else {
                Err(format!("{name}: {status} {latches}"))
            }
        })
        .await;
    }

    /// Of its main listener.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT` of its main listener.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `http://127.0.0.1:PORT` of its admin listener.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// SIGKILL. Returns when the process is gone; does nothing when it was.
    ///
    /// # Panics
    /// When the operating system refuses.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("a child can be killed");
        }
    }

    /// SIGTERM. Returns how the process ended.
    ///
    /// # Panics
    /// When it is not running, or does not end within a minute.
    pub async fn terminate(&mut self) -> ExitStatus {
        let mut child = self
            .child
            .take()
            .unwrap_or_else(|| panic!("{} does not run", self.name));
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM).expect("a child can be signalled");
        }
        let ended = tokio::time::timeout(ENDED_WITHIN, child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("{} ignores SIGTERM", self.name));
        status.expect("a child can be waited for")
    }

    /// Kills it when it runs, starts it on the same ports with the same settings, and waits until it is ready.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) {
        self.kill().await;
        self.launch();
        self.ready().await;
    }

    /// All that it has written so far, over all restarts.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.log_file())
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Service {
    #[expect(clippy::print_stderr, reason = "belongs to the failing test's output")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- log of {} ----\n{}", self.name, self.log());
        }
    }
}

/// Runs the binary `name` with arguments to its end: `run("catalog", &["migrate"], &[("DATABASE_URL", url)])`.
///
/// # Panics
/// When it does not build or start.
#[must_use = "look at the exit status"]
pub async fn run(name: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let output = Command::new(binary(name))
        .args(arguments)
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    output.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The binary of the package and target `name`, built once per process.
fn binary(name: &str) -> PathBuf {
    static BUILT: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(Mutex::default);

    if let Some(folder) = env::var_os("SLIPWAY_BIN_DIR").filter(|folder| !folder.is_empty()) {
        let binary = Path::new(&folder).join(name);
        assert!(
            binary.is_file(),
            "SLIPWAY_BIN_DIR has no '{name}': {}",
            binary.display()
        );
        return binary;
    }
    // Others wait while one builds.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built
        .entry(name.to_owned())
        .or_insert_with(|| build(name))
        .clone()
}

fn build(name: &str) -> PathBuf {
    // This test is TARGET/PROFILE/deps/NAME-HASH, whatever CARGO_TARGET_DIR or the configuration say.
    let this = env::current_exe().expect("this test's own path");
    let folder = this
        .ancestors()
        .nth(2)
        .expect("a test lies in TARGET/PROFILE/deps");
    let target = folder
        .parent()
        .expect("a profile's folder lies in the target folder");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = std::process::Command::new(cargo);
    build
        .args([
            "build",
            "--quiet",
            "--package",
            name,
            "--bin",
            name,
            "--target-dir",
        ])
        .arg(target);
    if folder
        .file_name()
        .is_some_and(|profile| profile == "release")
    {
        build.arg("--release");
    }
    let output = build
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{name} does not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    folder.join(name)
}

/// A port below those that the kernel gives to outgoing connections, so that none takes it while its service is down.
fn free_address() -> SocketAddr {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        let [high, low, ..] = *Uuid::new_v4().as_bytes();
        AtomicU16::new(u16::from_be_bytes([high, low]))
    });
    loop {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

//! The four services as processes of this machine: started, watched and stopped together.

mod ports;
mod process;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use self::process::Process;
use crate::{
    hint::{WithHint, fail},
    signal, workspace,
};

/// The packages that make up the system, in the order in which they stop: nobody loses the service that it calls.
pub(crate) const SERVICES: [&str; 4] = ["gateway", "fulfilment", "orders", "catalog"];

const READY_WITHIN: Duration = Duration::from_secs(60);
/// Longer than the drain deadline that the services get.
const STOPPED_WITHIN: Duration = Duration::from_secs(8);
const TICK: Duration = Duration::from_millis(50);

/// Where the services keep their data.
pub(crate) enum Data {
    /// One SQLite file per service.
    Sqlite,
    /// One database `slipway_<service>` per service on this PostgreSQL server.
    Postgres {
        /// `postgres://user:password@host:port`, a path is replaced.
        server: String,
    },
}

impl Data {
    fn url(&self, folder: &Path, service: &str) -> String {
        match self {
            Self::Sqlite => format!(
                "sqlite://{}",
                folder.join(format!("{service}.db")).display()
            ),
            Self::Postgres { server } => {
                let (server, query) = server.split_once('?').unwrap_or((server, ""));
                let authority = server.find("://").map_or(0, |scheme| scheme + 3);
                let server = server[authority..]
                    .find('/')
                    .map_or(server, |path| &server[..authority + path]);
                let query = if query.is_empty() {
                    String::new()
                } else {
                    format!("?{query}")
                };
                format!("{server}/slipway_{service}{query}")
            }
        }
    }
}

/// What becomes of the services' logs.
#[derive(Clone, Copy)]
pub(crate) enum Logs {
    /// Follow them on the terminal, each in its colour.
    Follow,
    /// Keep them in files beside the data.
    Files,
}

/// How to run the system.
pub(crate) struct Options {
    /// The folder of the services' programs.
    pub programs: PathBuf,
    /// The folder of data, logs and keys; created.
    pub folder: PathBuf,
    /// Where the services keep their data.
    pub data: Data,
    /// How long fulfilment takes to ship an order, for example `5s`.
    pub shipping_time: &'static str,
    /// What becomes of the services' logs.
    pub logs: Logs,
    /// Start with the ports of the documentation; else, and where one is taken, any free one.
    pub default_ports: bool,
}

/// The journey suite of tests/shop against a running shop.
pub(crate) fn journey(programs: &Path, base_url: &str, arguments: &[&str]) -> duct::Expression {
    let mut all = vec!["--base-url", base_url];
    all.extend(arguments);
    duct::cmd(programs.join("shop"), all)
}

/// The running system. Dropping it kills what still runs.
pub(crate) struct System {
    processes: Vec<Process>,
    signals: Receiver<()>,
    addresses: ports::Addresses,
    options: Options,
}

impl System {
    /// Migrates, starts all services at once and waits until each is ready.
    pub(crate) fn start(options: Options) -> anyhow::Result<Self> {
        fs::create_dir_all(&options.folder)
            .with_context(|| format!("cannot create {}", options.folder.display()))?;
        let (sender, signals) = sync_channel(8);
        signal::forward(sender, || ())?;
        let addresses = ports::Addresses::choose(options.default_ports)?;

        let mut system = Self {
            processes: Vec::new(),
            signals,
            addresses,
            options,
        };
        for service in ["catalog", "orders", "fulfilment"] {
            let migrated = system
                .command(service, &["migrate", "--create-database"])?
                .run();
            migrated.with_context(|| format!("cannot migrate {service}'s database"))?;
        }
        for service in SERVICES {
            let command = system.command(service, &[])?;
            system
                .processes
                .push(Process::start(service, command, system.options.logs)?);
        }
        system.wait_until_ready()?;
        Ok(system)
    }

    /// Puts the demo catalogue into the catalog's database; products that are there stay.
    pub(crate) fn seed(&self) -> anyhow::Result<()> {
        self.command("catalog", &["seed"])?
            .run()
            .context("cannot seed the catalog")
    }

    /// The shop's address, without a trailing slash.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.addresses.gateway)
    }

    /// Name, address, admin address and data of each service, for people.
    pub(crate) fn table(&self) -> Vec<[String; 4]> {
        ["gateway", "catalog", "orders", "fulfilment"]
            .map(|service| {
                let address = match service {
                    "gateway" => self.base_url(),
                    "catalog" => format!("grpc {}", self.addresses.catalog),
                    "orders" => format!("grpc {}", self.addresses.orders),
                    _ => String::new(),
                };
                let data = match (&self.options.data, service) {
                    (_, "gateway") => String::new(),
                    (Data::Sqlite, _) => self.shown(&format!("{service}.db")),
                    (Data::Postgres { .. }, _) => format!("database slipway_{service}"),
                };
                [
                    service.to_owned(),
                    address,
                    format!("http://{}", self.addresses.admin(service)),
                    data,
                ]
            })
            .to_vec()
    }

    /// A file of the system's folder, as one would type it in the repository's root.
    fn shown(&self, file: &str) -> String {
        let path = self.options.folder.join(file);
        let short = path.strip_prefix(workspace::root()).unwrap_or(&path);
        short.display().to_string()
    }

    /// Waits until a person or a program wants the system to end. A service that dies is restarted
    /// once; the second time is an error.
    pub(crate) fn supervise(&mut self) -> anyhow::Result<()> {
        let mut restarted: Vec<&str> = Vec::new();
        loop {
            match self.signals.recv_timeout(TICK) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            for index in 0..self.processes.len() {
                let Some(status) = self.processes[index].exited()? else {
                    continue;
                };
                let service = self.processes[index].name;
                if restarted.contains(&service) {
                    return fail(
                        format!("{service} died again ({status})"),
                        "its last lines above say why",
                    );
                }
                anstream::eprintln!("{service} died ({status}); starting it once more");
                restarted.push(service);
                let command = self.command(service, &[])?;
                self.processes[index] = Process::start(service, command, self.options.logs)?;
            }
        }
    }

    /// Ends the services one after the other, the callers first. A second Ctrl-C kills them.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let mut failed = Vec::new();
        for process in &mut self.processes {
            process.terminate()?;
            let deadline = Instant::now() + STOPPED_WITHIN;
            let status = loop {
                if let Some(status) = process.exited()? {
                    break status;
                }
                let impatient = self.signals.recv_timeout(TICK).is_ok();
                if impatient || Instant::now() > deadline {
                    process.kill()?;
                }
            };
            if !status.success() {
                failed.push(format!("{} ({status})", process.name));
            }
        }
        if !failed.is_empty() {
            bail!("did not stop cleanly: {}", failed.join(", "));
        }
        Ok(())
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let probe: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(1)))
            .http_status_as_error(false)
            .build()
            .into();
        let deadline = Instant::now() + READY_WITHIN;
        for index in 0..self.processes.len() {
            let service = self.processes[index].name;
            let url = format!("http://{}/readyz", self.addresses.admin(service));
            loop {
                let answer = match probe.get(&url).call() {
                    Ok(answer) if answer.status() == 200 => break,
                    Ok(mut answer) => answer.body_mut().read_to_string().unwrap_or_default(),
                    Err(error) => error.to_string(),
                };
                if self.signals.recv_timeout(TICK).is_ok() {
                    bail!("interrupted while {service} was starting");
                }
                if let Some(status) = self.processes[index].exited()? {
                    return fail(
                        format!("{service} ended while starting ({status})"),
                        self.processes[index].where_it_says_why(),
                    );
                }
                if Instant::now() > deadline {
                    return fail(
                        format!("{service} is not ready after {READY_WITHIN:?}: {answer}"),
                        self.processes[index].where_it_says_why(),
                    );
                }
            }
        }
        Ok(())
    }

    fn command(
        &self,
        service: &'static str,
        arguments: &[&str],
    ) -> anyhow::Result<process::Command> {
        let Options {
            programs,
            folder,
            data,
            shipping_time,
            ..
        } = &self.options;
        let mut command = process::Command::new(programs.join(service), folder, service);
        command.arguments(arguments);
        command.set("ADMIN_LISTEN", self.addresses.admin(service));
        command.set("DRAIN_DELAY", "0s");
        command.set("DRAIN_DEADLINE", "5s");
        command.set("TRACE_SAMPLE_RATIO", "1");
        if service != "gateway" {
            command.set("DATABASE_URL", data.url(folder, service));
        }
        match service {
            "gateway" => {
                command.set("LISTEN", self.addresses.gateway);
                command.set("CATALOG_URL", format!("http://{}", self.addresses.catalog));
                command.set("ORDERS_URL", format!("http://{}", self.addresses.orders));
                command.set("COOKIE_KEY", cookie_key(folder)?);
            }
            "catalog" => command.set("LISTEN", self.addresses.catalog),
            "orders" => {
                command.set("LISTEN", self.addresses.orders);
                command.set("CATALOG_URL", format!("http://{}", self.addresses.catalog));
            }
            _ => {
                command.set("ORDERS_URL", format!("http://{}", self.addresses.orders));
                command.set("SHIPPING_TIME", shipping_time);
            }
        }
        Ok(command)
    }
}

/// The key that signs carts: made once and kept, so that carts survive a restart.
fn cookie_key(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join("cookie.key");
    if let Ok(key) = fs::read_to_string(&path) {
        return Ok(key);
    }
    let mut random = [0_u8; 64];
    std::io::Read::read_exact(
        &mut fs::File::open("/dev/urandom").context("cannot open /dev/urandom")?,
        &mut random,
    )?;
    let key: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&path, &key)
        .with_context(|| format!("cannot write {}", path.display()))
        .hint("is the disk full, or the folder another user's?")?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_gets_its_own_database() {
        let folder = Path::new("/data");
        assert_eq!(
            Data::Sqlite.url(folder, "orders"),
            "sqlite:///data/orders.db"
        );
        for (server, url) in [
            (
                "postgres://a:b@db:5432",
                "postgres://a:b@db:5432/slipway_orders",
            ),
            ("postgres://db/", "postgres://db/slipway_orders"),
            ("postgres://db/main", "postgres://db/slipway_orders"),
            (
                "postgres://db?sslmode=require",
                "postgres://db/slipway_orders?sslmode=require",
            ),
        ] {
            let data = Data::Postgres {
                server: server.to_owned(),
            };
            assert_eq!(data.url(folder, "orders"), url);
        }
    }
}

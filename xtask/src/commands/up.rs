//! `cargo xtask up`: the whole shop on this machine, seeded, with its web page.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    time::Instant,
};

use anstyle::Style;
use anyhow::Context;

use crate::{
    hint::{WithHint, fail},
    system::{Data, Logs, Options, SERVICES, System, journey},
    workspace::{self, Profile},
};

/// Runs the whole shop on this machine, seeded, with its web page.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask up                 on SQLite files in target/slipway, until Ctrl-C
  cargo xtask up --fresh         the same from empty data
  cargo xtask up --smoke         run the journey against it, then stop
  cargo xtask up --database-url postgres://postgres:secret@localhost:5432")]
pub(crate) struct Args {
    /// Runs on this PostgreSQL server, in databases slipway_<service> [default: SQLite files].
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Starts from empty data: removes what earlier runs left.
    #[arg(long)]
    fresh: bool,
    /// Runs the journey (browse, order, watch it ship, bad input) against it, then stops.
    #[arg(long)]
    smoke: bool,
    /// Builds and runs the release profile.
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let data = match &args.database_url {
        None => Data::Sqlite,
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            Data::Postgres {
                server: url.clone(),
            }
        }
        Some(_) => {
            return fail(
                "--database-url takes a PostgreSQL server",
                "for example postgres://postgres:secret@localhost:5432; without the flag the shop runs on SQLite",
            );
        }
    };
    let folder = workspace::target()?.join("slipway");
    let _only_one = lock(&folder)?;

    let started = Instant::now();
    let profile = if args.release {
        Profile::Release
    } else {
        Profile::Dev
    };
    let mut packages = SERVICES.to_vec();
    if args.smoke {
        packages.push("shop");
    }
    let programs = workspace::build(&packages, profile)?;
    let built = started.elapsed();

    if args.fresh {
        remove_data(&data, &folder)?;
    }
    let mut system = System::start(Options {
        programs: programs.clone(),
        folder,
        data,
        shipping_time: if args.smoke { "1s" } else { "8s" },
        logs: if args.smoke {
            Logs::Files
        } else {
            Logs::Follow
        },
        default_ports: true,
    })?;
    system.seed()?;
    print_addresses(&system, args.smoke);
    println!(
        "  Ready in {:.1} s: build {:.1} s, migrate, start and seed {:.1} s.\n",
        started.elapsed().as_secs_f64(),
        built.as_secs_f64(),
        (started.elapsed() - built).as_secs_f64(),
    );

    let result = if args.smoke {
        smoke(&programs, &system.base_url())
    } else {
        system.supervise()
    };
    let stopping = Instant::now();
    system.stop()?;
    println!("Stopped in {:.1} s.", stopping.elapsed().as_secs_f64());
    result
}

fn smoke(programs: &Path, base_url: &str) -> anyhow::Result<()> {
    let run = journey(programs, base_url, &["--skip", "browser::"])
        .unchecked()
        .run()?;
    if run.status.success() {
        return Ok(());
    }
    fail(
        "the journey failed",
        "the failures are above, the services' logs in target/slipway/*.log",
    )
}

/// Two systems on one folder would share SQLite files and logs.
fn lock(folder: &Path) -> anyhow::Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join("up.lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => fail(
            "another `cargo xtask up` runs in this checkout",
            "stop it with Ctrl-C in its terminal",
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn remove_data(data: &Data, folder: &Path) -> anyhow::Result<()> {
    let Data::Postgres { server } = data else {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if [".db", ".db-wal", ".db-shm", ".log"]
                .iter()
                .any(|end| name.ends_with(end))
            {
                fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        return Ok(());
    };
    for service in ["catalog", "orders", "fulfilment"] {
        let database = format!("slipway_{service}");
        duct::cmd!(
            "dropdb",
            "--if-exists",
            "--force",
            "--maintenance-db",
            server,
            &database
        )
        .run()
        .with_context(|| format!("cannot drop the database {database}"))
        .hint(
            "--fresh on PostgreSQL needs its client program `dropdb` (Debian: postgresql-client)",
        )?;
    }
    Ok(())
}

fn print_addresses(system: &System, smoke: bool) {
    let bold = Style::new().bold();
    let base = system.base_url();
    anstream::println!("\n  {bold}The shop is open: {base}/{bold:#}\n");
    let mut rows = vec![["service", "address", "probes and metrics", "data"].map(str::to_owned)];
    rows.extend(system.table());
    for [service, address, admin, data] in rows {
        println!("  {service:<11} {address:<23} {admin:<23} {data}");
    }
    println!("\n  The same with curl: curl {base}/api/v1/products");
    if !smoke {
        println!("  Ctrl-C stops it.");
    }
}

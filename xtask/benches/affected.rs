//! How long `cargo xtask affected` takes as a cold process in a workspace of 1,000 crates and 200 services.
//! Run by `cargo bench -p xtask --bench affected`; prints, and asserts nothing.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const DOMAINS: usize = 20;
const CRATES_PER_DOMAIN: usize = 45;
const SHARED: usize = 100;
const SERVICES: usize = 200;
const RUNS: usize = 5;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("workspace");
    generate(&root);
    let same = folder.path().join("same.git");
    run(Command::new("git")
        .args(["clone", "--quiet", "--bare"])
        .arg(&root)
        .arg(&same));
    let own = folder.path().join("gitops");
    write(&own, "gitops/environments/staging/README.md", "# Staging\n");
    commit(&own);

    let affected = |remote: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(["affected", "--json", "--gitops-remote"])
            .arg(remote);
        command
            .env("CARGO_TARGET_DIR", root.join("target"))
            .current_dir(&root);
        command
    };
    let first = time(&mut affected(&own));
    let whole = median(|| affected(&own));
    let in_same = median(|| affected(&same));
    let metadata = median(|| {
        let mut command = Command::new("cargo");
        command
            .args([
                "metadata",
                "--format-version=1",
                "--all-features",
                "--locked",
                "--offline",
            ])
            .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
            .current_dir(&root);
        command
    });
    let git = |arguments: &'static [&str]| {
        median(|| {
            let mut command = Command::new("git");
            command.args(arguments).current_dir(&root);
            command
        })
    };
    let files = git(&["ls-files", "--stage", "-z"])
        + git(&["diff", "--name-only", "-z", "HEAD"])
        + git(&["ls-files", "--others", "--exclude-standard", "-z"]);

    let kept = root.join("target/slipway/keys");
    let closures: usize = fs::read_dir(&kept)
        .unwrap()
        .map(|entry| {
            let manifest: serde_json::Value =
                serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
            manifest["packages"].as_object().unwrap().len()
        })
        .sum();
    println!(
        "{} crates and {SERVICES} services; a service is built from {} packages on average",
        DOMAINS * CRATES_PER_DOMAIN + SHARED,
        closures / SERVICES
    );
    println!(
        "affected --json, cold process: {whole:.2?} (median of {RUNS}; {first:.2?} the first time, when it keeps the manifests)"
    );
    println!("  cargo metadata               {metadata:.2?}");
    println!("  files by git, beside it      {files:.2?}");
    println!(
        "  graph, keys and hashing      {:.2?}",
        whole.saturating_sub(metadata)
    );
    println!("with the record in the workspace's own repository: {in_same:.2?}");
}

/// Crates of a domain depend on two of their neighbours and on shared crates; a service on three crates of one domain and
/// one of another.
fn generate(root: &Path) {
    let shared = |index: usize| format!("shared-{:03}", index % SHARED);
    let member = |domain: usize, index: usize| format!("domain-{:02}-{index:02}", domain % DOMAINS);
    for index in 0..SHARED {
        let below = (index / 2..index)
            .rev()
            .take(2)
            .map(shared)
            .collect::<Vec<_>>();
        package(root, "crates", &shared(index), &below, "lib.rs");
    }
    for domain in 0..DOMAINS {
        for index in 0..CRATES_PER_DOMAIN {
            let mut below: Vec<String> = (0..index)
                .rev()
                .take(2)
                .map(|index| member(domain, index))
                .collect();
            below.push(shared(domain * 31 + index * 7));
            package(root, "crates", &member(domain, index), &below, "lib.rs");
        }
    }
    for index in 0..SERVICES {
        let below = [
            member(index, CRATES_PER_DOMAIN - 1 - index / DOMAINS),
            member(index, index / DOMAINS * 3),
            member(index + 1, index / DOMAINS),
            shared(index * 13),
        ];
        package(
            root,
            "services",
            &format!("service-{index:03}"),
            &below,
            "main.rs",
        );
    }
    write(
        root,
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\", \"services/*\"]\n\n[profile.release]\nlto = \"thin\"\n",
    );
    write(root, ".gitignore", "/target/\n");
    write(
        root,
        "slipway.toml",
        "registry = \"localhost:5000/bench\"\n[gitops]\nremote = \"origin\"\nbranch = \"main\"\n[[environments]]\nname = \"staging\"\n",
    );
    run(Command::new("cargo")
        .args(["generate-lockfile", "--quiet", "--offline"])
        .current_dir(root));
    commit(root);
}

fn commit(root: &Path) {
    for arguments in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "--all"],
        &[
            "-c",
            "user.name=bench",
            "-c",
            "user.email=bench@localhost",
            "commit",
            "--quiet",
            "--message=chore: generate",
        ],
    ] {
        run(Command::new("git").args(arguments).current_dir(root));
    }
}

fn package(root: &Path, kind: &str, name: &str, below: &[String], main: &str) {
    let folder = format!("{kind}/{name}");
    let mut manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[features]\ndefault = [\"std\"]\nstd = []\n\n[dependencies]\n"
    );
    for name in below {
        manifest += &format!("{name} = {{ path = \"../../crates/{name}\" }}\n");
    }
    write(root, &format!("{folder}/Cargo.toml"), &manifest);
    write(root, &format!("{folder}/README.md"), "# Generated\n");
    write(
        root,
        &format!("{folder}/tests/it.rs"),
        "#[test]\nfn works() {}\n",
    );
    for file in [main, "domain.rs", "store.rs", "error.rs"] {
        let line =
            format!("// {name}: as long as source files are, and different in every crate.\n");
        write(
            root,
            &format!("{folder}/src/{file}"),
            &(line.repeat(120) + "fn main() {}\n"),
        );
    }
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?} failed");
}

fn time(command: &mut Command) -> Duration {
    let started = Instant::now();
    run(command.stdout(Stdio::null()).stderr(Stdio::null()));
    started.elapsed()
}

fn median(command: impl Fn() -> Command) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS).map(|_| time(&mut command())).collect();
    times.sort();
    times[RUNS / 2]
}

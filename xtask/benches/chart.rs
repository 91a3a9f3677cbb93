//! How long Helm takes for 1,000 services, and how much memory: `cargo bench -p xtask --bench chart`.
//!
//! As Argo CD does it, one process for each service, on all cores; and all of them as one chart.
#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use anyhow::Context;

const SERVICES: usize = 1000;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask stands in the root")?;
    let helms: Vec<PathBuf> =
        glob::glob(&root.join("target/tools/helm-[34].*/helm").to_string_lossy())?
            .collect::<Result<_, _>>()?;
    anyhow::ensure!(!helms.is_empty(), "no Helm; hint: cargo xtask chart tools");
    let folder = tempfile::tempdir()?;
    let values = values(root, folder.path())?;
    let umbrella = umbrella(root, folder.path())?;
    let chart = root.join("charts/microservice");
    for helm in &helms {
        let version = helm.parent().and_then(Path::file_name).unwrap_or_default();
        let started = Instant::now();
        let peak = each(helm, &chart, &values)?;
        println!(
            "{}: {SERVICES} services, a process each: {:.1?}, {} MiB at most",
            version.display(),
            started.elapsed(),
            peak / 1024
        );
        let started = Instant::now();
        let peak = peak_of(render(helm, &umbrella, None)?)?;
        println!(
            "{}: {SERVICES} services, one process:    {:.1?}, {} MiB at most",
            version.display(),
            started.elapsed(),
            peak / 1024
        );
    }
    Ok(())
}

/// The values of the catalog in production, as 1,000 services have them.
fn values(root: &Path, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let record = folder.join("image.yaml");
    fs::write(
        &record,
        "image: {repository: registry.example/service, tag: \"1.2.3\"}\n",
    )?;
    let gitops = root.join("gitops");
    Ok(vec![
        gitops.join("microservice.yaml"),
        gitops.join("services/catalog.yaml"),
        gitops.join("environments/production/microservice.yaml"),
        gitops.join("environments/production/catalog/values.yaml"),
        record,
    ])
}

/// One chart with the microservice 1,000 times in it.
fn umbrella(root: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let umbrella = folder.join("umbrella");
    let package = root.join("charts/microservice");
    fs::create_dir_all(umbrella.join("charts"))?;
    duct::cmd!("cp", "-r", package, umbrella.join("charts/microservice")).run()?;
    let mut manifest = "apiVersion: v2\nname: umbrella\nversion: 0.0.0\ndependencies:\n".to_owned();
    let mut values = String::new();
    for at in 0..SERVICES {
        writeln!(
            manifest,
            "  - {{name: microservice, version: \">=0.0.0-0\", alias: s{at}}}"
        )?;
        writeln!(
            values,
            "s{at}: {{image: {{repository: r, tag: t}}, fullnameOverride: s{at}, migrations: {{enabled: true}}}}"
        )?;
    }
    fs::write(umbrella.join("Chart.yaml"), manifest)?;
    fs::write(umbrella.join("values.yaml"), values)?;
    Ok(umbrella)
}

/// Renders every service in a process of its own; the memory of the largest, in KiB.
fn each(helm: &Path, chart: &Path, values: &[PathBuf]) -> anyhow::Result<usize> {
    let (next, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let work = || -> anyhow::Result<()> {
            while next.fetch_add(1, Ordering::Relaxed) < SERVICES {
                peak.fetch_max(
                    peak_of(render(helm, chart, Some(values))?)?,
                    Ordering::Relaxed,
                );
            }
            Ok(())
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("no rendering panics"))
    })?;
    Ok(peak.into_inner())
}

fn render(helm: &Path, chart: &Path, values: Option<&[PathBuf]>) -> anyhow::Result<Child> {
    let mut command = Command::new(helm);
    command
        .args(["template", "catalog"])
        .arg(chart)
        .stdout(Stdio::null());
    for file in values.into_iter().flatten() {
        command.arg("--values").arg(file);
    }
    Ok(command.spawn()?)
}

/// The most memory that a process held, in KiB, as the kernel counts it.
fn peak_of(mut child: Child) -> anyhow::Result<usize> {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(size) = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()) {
            peak = size;
        }
        if let Some(ended) = child.try_wait()? {
            anyhow::ensure!(ended.success(), "Helm failed");
            return Ok(peak);
        }
        thread::park_timeout(std::time::Duration::from_millis(2));
    }
}

//! How long it takes from a built program to an image in a registry: `cargo bench -p xtask --bench image [SERVICE]`, and
//! with `--profile dev` as `cargo xtask` itself is built.
//!
//! xtask is one program without a library, so its modules are built in here.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints what it measures"
)]
#![allow(
    dead_code,
    unused_imports,
    reason = "it measures a part of what the modules can do"
)]
#![allow(
    clippy::duplicate_mod,
    clippy::unwrap_used,
    reason = "their tests come along"
)]

#[path = "../src/argocd/mod.rs"]
mod argocd;
#[path = "../src/config.rs"]
mod config;
#[path = "../tests/fixture/registry.rs"]
#[allow(
    clippy::duplicate_mod,
    reason = "the registry client's own tests use it too"
)]
mod fixture;
#[path = "../src/git.rs"]
mod git;
#[path = "../src/gitops/mod.rs"]
mod gitops;
#[path = "../src/hint.rs"]
mod hint;
#[path = "../src/image/mod.rs"]
mod image;
#[path = "../src/pause.rs"]
mod pause;
#[path = "../src/workspace/mod.rs"]
mod workspace;

use std::{
    collections::BTreeMap,
    fs,
    iter::repeat_with,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use config::{Config, Overrides};
use image::registry::Registry;
use workspace::{ContentKey, Workspace};

const ROUNDS: usize = 7;

fn main() -> anyhow::Result<()> {
    let root = workspace::root();
    let target = Config::load(root, &Overrides::default())?.target;
    let workspace = Workspace::load(root, &target)?;
    let licenses = workspace.licenses();
    let wanted = std::env::args().find(|word| !word.starts_with('-') && !word.contains('/'));
    let wanted = wanted.unwrap_or_else(|| "catalog".to_owned());

    let mut measured = None;
    println!("size of what is sent, in bytes");
    for service in workspace.services() {
        let key = workspace.key(service)?;
        let program = image::build(&workspace, service, &key, workspace.target_folder())?;
        let image = image::assemble(&program, &key, &licenses)?;
        let sizes: Vec<usize> = image.layers.iter().map(|layer| layer.bytes.len()).collect();
        let sum: usize = sizes.iter().sum();
        println!(
            "  {:12} {sum:>9} = {sizes:?}, program {}",
            service.name,
            program.len()
        );
        if service.name == wanted {
            measured = Some((program, key));
        }
    }
    let (program, key) = measured.with_context(|| format!("there is no service {wanted}"))?;
    let registry = fixture::Registry::start();
    let bench = Bench {
        place: format!("{}/bench", registry.address),
        folder: tempfile::tempdir()?.keep(),
        licenses,
        program,
        key,
    };
    println!("from the program of {wanted} to its image in a registry, median of {ROUNDS}");
    bench.median("cargo xtask, with SBOM and key", |bench, program, tag| {
        bench.ours(program, tag, true)
    })?;
    // What the others do.
    let ours = bench.median("cargo xtask, image alone", |bench, program, tag| {
        bench.ours(program, tag, false)
    })?;
    let docker = bench.median("docker build + push", Bench::docker)?;
    println!(
        "  docker / ours: {:.1}",
        docker.as_secs_f64() / ours.as_secs_f64()
    );
    // go install github.com/google/go-containerregistry/cmd/crane@latest
    match bench.median("crane append", Bench::crane) {
        Ok(crane) => println!(
            "  crane / ours: {:.1}",
            crane.as_secs_f64() / ours.as_secs_f64()
        ),
        Err(error) => println!("  crane: {error:#}"),
    }
    fs::remove_dir_all(&bench.folder)?;
    Ok(())
}

struct Bench<'a> {
    place: String,
    folder: std::path::PathBuf,
    licenses: BTreeMap<&'a str, &'a str>,
    program: Vec<u8>,
    key: ContentKey,
}

impl Bench<'_> {
    /// Each round with other bytes at the program's end, so that nobody knows them.
    fn median(
        &self,
        name: &str,
        once: impl Fn(&Self, &[u8], &str) -> anyhow::Result<Duration>,
    ) -> anyhow::Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let mut program = self.program.clone();
            program.extend(repeat_with(|| fastrand::u8(..)).take(64));
            let tag: String = repeat_with(fastrand::alphanumeric).take(32).collect();
            times.push(once(self, &program, &tag.to_lowercase())?);
        }
        times.sort();
        println!("  {name:30} {:>6.1?}  {times:.1?}", times[ROUNDS / 2]);
        Ok(times[ROUNDS / 2])
    }

    fn ours(&self, program: &[u8], tag: &str, attached: bool) -> anyhow::Result<Duration> {
        let key = ContentKey {
            key: tag.to_owned(),
            dirty: Vec::new(),
            manifest: self.key.manifest.clone(),
        };
        let start = Instant::now();
        let mut image = image::assemble(program, &key, &self.licenses)?;
        if !attached {
            image.attached.clear();
        }
        let tag = image::key_tag(tag);
        Registry::new().push(&format!("{}/ours", self.place), &image, &[&tag])?;
        Ok(start.elapsed())
    }

    fn docker(&self, program: &[u8], tag: &str) -> anyhow::Result<Duration> {
        fs::write(self.folder.join("program"), program)?;
        fs::write(
            self.folder.join("Dockerfile"),
            "FROM scratch\nCOPY program /program\nUSER 65532:65532\nENTRYPOINT [\"/program\"]\n",
        )?;
        let name = format!("{}/docker:{tag}", self.place);
        let start = Instant::now();
        run(
            &self.folder,
            &["docker", "build", "--quiet", "--tag", &name, "."],
        )?;
        run(&self.folder, &["docker", "push", "--quiet", &name])?;
        let took = start.elapsed();
        run(&self.folder, &["docker", "image", "rm", "--force", &name])?;
        Ok(took)
    }

    /// Its tar is there before: only packing and sending count.
    fn crane(&self, program: &[u8], tag: &str) -> anyhow::Result<Duration> {
        fs::write(self.folder.join("program"), program)?;
        run(
            &self.folder,
            &["tar", "--create", "--file", "layer.tar", "program"],
        )?;
        let name = format!("{}/crane:{tag}", self.place);
        let start = Instant::now();
        run(
            &self.folder,
            &[
                "crane",
                "append",
                "--oci-empty-base",
                "--new_layer",
                "layer.tar",
                "--new_tag",
                &name,
            ],
        )?;
        Ok(start.elapsed())
    }
}

fn run(folder: &Path, words: &[&str]) -> anyhow::Result<()> {
    duct::cmd(words[0], &words[1..])
        .dir(folder)
        .stdout_null()
        .stderr_capture()
        .run()
        .with_context(|| words.join(" "))?;
    Ok(())
}

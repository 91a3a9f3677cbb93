//! `cargo xtask image`: builds images, writes or pushes them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::Serialize;

use super::record::short;
use crate::{
    config::{self, Config, Overrides},
    hint::{WithHint, fail},
    image::{self, Blob, Descriptor, registry::Registry},
    output::{Format, table},
    workspace::{self, ContentKey, Service, Workspace},
};

/// Builds services and makes their images, the same bytes for the same content key anywhere.
///
/// Without --push, --oci-archive or --docker it only says what came out.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask image catalog                              builds it, and prints digest and size
  cargo xtask image catalog orders --push                into the registry that slipway.toml names
  cargo xtask image catalog --oci-archive target/images  writes target/images/catalog.tar
  cargo xtask image catalog --push --dry-run             says whether the registry has it
  cargo xtask image catalog --docker                     into the local container engine")]
pub(crate) struct Args {
    /// The services.
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
    /// Pushes the images, each under a tag of its key. One that the registry has is not built again.
    #[arg(long)]
    push: bool,
    /// Writes <SERVICE>.tar into this folder: an archive in OCI's layout, which skopeo, podman, ctr and `docker load`
    /// take.
    #[arg(long, value_name = "DIR", conflicts_with = "docker")]
    oci_archive: Option<PathBuf>,
    /// Loads the images into the local Docker engine.
    #[arg(long)]
    docker: bool,
    /// Where images are [default: registry in slipway.toml].
    #[arg(long, value_name = "HOST/PATH")]
    registry: Option<String>,
    /// Says what would be built, and builds nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: Format,
}

/// An image as it is told. What isn't known before it is built is null in a dry run.
#[derive(Serialize)]
struct Row {
    service: String,
    key: String,
    digest: Option<String>,
    reference: String,
    /// The size of its layers as they are sent.
    bytes: Option<u64>,
    /// Whether the registry had it, so that nothing was built.
    reused: bool,
    layers: Vec<Layer>,
}

#[derive(Serialize)]
struct Layer {
    digest: String,
    bytes: u64,
}

impl Row {
    fn tell(&mut self, digest: String, layers: Vec<Descriptor>) {
        self.digest = Some(digest);
        self.bytes = Some(layers.iter().map(|layer| layer.size).sum());
        let layers = layers.into_iter().map(|layer| Layer {
            digest: layer.digest,
            bytes: layer.size,
        });
        self.layers = layers.collect();
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let root = config::root()?;
    let mut config = Config::load(&root, &Overrides::default())?;
    if let Some(registry) = &args.registry {
        config.registry.clone_from(registry);
    }
    let workspace = Workspace::load(&root, &config.target)?;
    let services: Vec<&Service> = args
        .services
        .iter()
        .map(|name| workspace.service(name))
        .collect::<anyhow::Result<_>>()?;
    let keys: Vec<ContentKey> = services
        .iter()
        .map(|service| workspace.key(service))
        .collect::<anyhow::Result<_>>()?;
    if args.push {
        workspace::refuse_dirty(&keys)?;
    }
    let registry = args.push.then(Registry::new);
    let mut rows = Vec::new();
    for (service, key) in services.into_iter().zip(&keys) {
        rows.push(one(
            args,
            &config.repository(&service.name),
            registry.as_ref(),
            &workspace,
            service,
            key,
        )?);
    }
    args.format.print(&rows, || show(&rows))
}

fn one(
    args: &Args,
    repository: &str,
    registry: Option<&Registry>,
    workspace: &Workspace,
    service: &Service,
    key: &ContentKey,
) -> anyhow::Result<Row> {
    let tag = image::key_tag(&key.key);
    let mut row = Row {
        service: service.name.clone(),
        key: key.key.clone(),
        digest: None,
        reference: format!("{repository}:{tag}"),
        bytes: None,
        reused: false,
        layers: Vec::new(),
    };
    if let Some(registry) = registry
        && let Some(digest) = registry.resolve(repository, &tag)?
        && let Some(contents) = registry.size(repository, &digest)?
    {
        row.reused = true;
        row.tell(digest, contents.layers);
    }
    // What is written here has to be built in any case.
    let here = args.docker || args.oci_archive.is_some();
    if args.dry_run || (row.reused && !here) {
        return Ok(row);
    }
    let image = image::make(workspace, service, key)?;
    if let Some(folder) = &args.oci_archive {
        write(folder, &service.name, &image::archive(&image, repository)?)?;
    }
    if args.docker {
        load(image::archive(&image, repository)?)?;
    }
    if let Some(registry) = registry {
        registry.push(repository, &image, &[&tag])?;
    }
    let layers = image.layers.iter().map(Blob::descriptor).collect();
    row.tell(image.manifest.digest, layers);
    Ok(row)
}

/// Written aside and renamed, so that nobody takes half an archive for one.
fn write(folder: &Path, service: &str, archive: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(format!("{service}.tar"));
    let aside = folder.join(format!(".{service}.tar.{}", std::process::id()));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&aside, archive))
        .and_then(|()| fs::rename(&aside, &path))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn load(archive: Vec<u8>) -> anyhow::Result<()> {
    let loaded = duct::cmd("docker", ["load", "--quiet"])
        .stdin_bytes(archive)
        .stdout_to_stderr()
        .unchecked()
        .run()
        .context("cannot run docker")
        .hint("install it, or write an archive: --oci-archive DIR")?;
    if loaded.status.success() {
        return Ok(());
    }
    fail(
        "docker did not take the image",
        "its message above says why; `docker info` says whether its engine runs",
    )
}

fn show(rows: &[Row]) -> String {
    let mut cells = vec![["service", "key", "digest", "size", ""].map(str::to_owned)];
    for row in rows {
        cells.push([
            row.service.clone(),
            short(&row.key).to_owned(),
            row.digest.as_deref().map_or("-", short).to_owned(),
            row.bytes.map_or_else(|| "-".to_owned(), size),
            if row.reused { "was there" } else { "" }.to_owned(),
        ]);
    }
    table(&cells)
}

/// In megabytes.
fn size(bytes: u64) -> String {
    format!("{}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}

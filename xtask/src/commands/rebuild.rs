//! `cargo xtask rebuild`: builds a release again from its source.

use std::{
    collections::BTreeSet,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::Context;
use flate2::read::GzDecoder;
use semver::Version;
use serde::Serialize;
use tar::Archive;

use super::record::short;
use crate::{
    config::{self, Config, Overrides},
    git::{in_clone, without_secrets},
    hint::{WithHint, fail, usage},
    image::{self, Blob, Image, registry::Registry},
    output::Format,
    version,
    workspace::{ContentKey, Workspace},
};

/// Builds a release again from the commit that its Git tag names, and compares the image with the one recorded there.
///
/// The release is `SERVICE@VERSION`. The commit is cloned into a temporary folder: neither the work tree nor its target
/// folder is touched.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask rebuild catalog@1.4.2                says what came out
  cargo xtask rebuild --verify catalog@1.4.2       fails unless it is the recorded image
  cargo xtask rebuild --verify catalog@1.4.2 --target-dir target/rebuild    builds faster the second time")]
pub(crate) struct Args {
    /// The release.
    #[arg(value_name = "SERVICE@VERSION")]
    release: String,
    /// Fails where the image is another one than the recorded.
    #[arg(long)]
    verify: bool,
    /// Where to build [default: a temporary folder].
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Rebuilt {
    service: String,
    version: String,
    commit: String,
    key: String,
    recorded_key: String,
    /// None where the key was another one already, so that nothing was built.
    digest: Option<String>,
    recorded_digest: String,
    same: bool,
    /// What differs, by name.
    differences: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let parts = args.release.split_once('@');
    let parts = parts.and_then(|(service, version)| Some((service, Version::parse(version).ok()?)));
    let Some((service, version)) = parts else {
        return usage(
            format!("`{}` is no release", args.release),
            "takes SERVICE@VERSION, for example catalog@1.4.2",
        );
    };
    let root = config::root()?;
    let config = Config::load(&root, &args.overrides)?;
    let tag = version::tag(service, &version);
    let (recorded_key, recorded_digest) = recorded(&root, &config, &tag)?;

    let folder = tempfile::Builder::new()
        .prefix("slipway-rebuild-")
        .tempdir()
        .context("cannot make a temporary folder")?;
    let clone = clone(&root, &tag, folder.path())?;
    let workspace = Workspace::load(&clone, &Config::load(&clone, &args.overrides)?.target)?;
    let found = workspace.service(service)?;
    let key = workspace.key(found)?;
    let repository = config.repository(service);
    let mut rebuilt = Rebuilt {
        service: service.to_owned(),
        version: version.to_string(),
        commit: in_clone(&clone, &["rev-parse", "HEAD"])?.text("git names no commit")?,
        same: false,
        differences: Vec::new(),
        digest: None,
        key: key.key.clone(),
        recorded_key,
        recorded_digest,
    };
    if rebuilt.key == rebuilt.recorded_key {
        // Its own: two checkouts in one target folder take each other's crates for their own.
        let target = match &args.target_dir {
            Some(folder) => std::path::absolute(folder)?,
            None => folder.path().join("target"),
        };
        let program = image::build(&workspace, found, &key, &target)?;
        let image = image::assemble(&program, &key, &workspace.licenses())?;
        rebuilt.same = image.manifest.digest == rebuilt.recorded_digest;
        if !rebuilt.same {
            rebuilt.differences = differences(&image, &repository, &rebuilt.recorded_digest)?;
        }
        rebuilt.digest = Some(image.manifest.digest);
    } else {
        rebuilt.differences = key_differences(&key, &repository, &rebuilt.recorded_digest)?;
    }
    args.format.print(&rebuilt, || show(&rebuilt))?;
    if args.verify && !rebuilt.same {
        return fail(
            format!(
                "{} is not what its source gives: {}",
                args.release,
                rebuilt.differences.join(", ")
            ),
            "where the toolchain was another: `cargo +VERSION xtask rebuild ..`, on a system with that C library; else find out who pushed that image",
        );
    }
    Ok(())
}

/// The key and the digest in the release's tag, which is fetched if this clone doesn't have it.
fn recorded(root: &Path, config: &Config, tag: &str) -> anyhow::Result<(String, String)> {
    let reference = format!("refs/tags/{tag}");
    let read = || in_clone(root, &["cat-file", "tag", &reference]);
    let mut object = read()?;
    if !object.ok {
        let remote = &config.source.remote;
        in_clone(
            root,
            &[
                "fetch",
                "--quiet",
                "--no-tags",
                remote,
                &format!("+{reference}:{reference}"),
            ],
        )?
        .output(&format!(
            "cannot fetch {tag} from {}",
            without_secrets(remote)
        ))
        .hint("`git ls-remote --tags` lists the releases")?;
        object = read()?;
    }
    let object = object
        .text(&format!("cannot read the tag {tag}"))
        .hint("a release's tag is annotated")?;
    version::recorded(&object)
        .with_context(|| format!("the tag {tag} names no key and no digest"))
        .hint("only tags that `cargo xtask release` made can be verified")
}

/// A clone of its own at this tag; the workspace in it stands where it does in the repository.
fn clone(root: &Path, tag: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let top = in_clone(root, &["rev-parse", "--show-toplevel"])?.text("git names no work tree")?;
    let prefix = in_clone(root, &["rev-parse", "--show-prefix"])?.text("git names no folder")?;
    let clone = folder.join("source");
    let from = format!("file://{top}");
    let to = clone.to_string_lossy();
    let arguments = ["clone", "--quiet", "--depth=1", "--branch", tag, &from, &to];
    in_clone(root, &arguments)?.output("cannot clone the release's commit")?;
    Ok(clone.join(prefix))
}

/// Why the key is another one.
fn key_differences(
    key: &ContentKey,
    repository: &str,
    digest: &str,
) -> anyhow::Result<Vec<String>> {
    let Some(recorded) = Registry::new().key_manifest(repository, digest)? else {
        return Ok(vec!["the key".to_owned()]);
    };
    let changes = key.manifest.changes_from(&recorded);
    Ok(changes.iter().map(ToString::to_string).collect())
}

/// What of the recorded image is another in this one: layers, and files in them.
fn differences(image: &Image, repository: &str, digest: &str) -> anyhow::Result<Vec<String>> {
    let registry = Registry::new();
    let Some(recorded) = registry.size(repository, digest)? else {
        return fail(
            format!("{repository} has no {digest}, to say what differs from it"),
            "--registry names another registry",
        );
    };
    let mut found = Vec::new();
    if recorded.config.digest != image.config.digest {
        found.push("config".to_owned());
    }
    for number in 0..image.layers.len().max(recorded.layers.len()) {
        let (ours, theirs) = (image.layers.get(number), recorded.layers.get(number));
        let digests = (
            ours.map(|layer| &layer.digest),
            theirs.map(|layer| &layer.digest),
        );
        if digests.0 == digests.1 {
            continue;
        }
        let theirs = theirs.map(|layer| registry.blob(repository, &layer.digest));
        let files = changed_files(ours, theirs.transpose()?.as_deref())?;
        let name = format!("layer {}", number + 1);
        // The same files, packed in another way.
        if files.is_empty() {
            found.push(name.clone());
        }
        found.extend(files.into_iter().map(|file| format!("{name}: /{file}")));
    }
    Ok(found)
}

fn changed_files(ours: Option<&Blob>, theirs: Option<&[u8]>) -> anyhow::Result<BTreeSet<String>> {
    let ours = files(ours.map_or(&[], |layer| &layer.bytes))?;
    let theirs = files(theirs.unwrap_or_default())?;
    let differing = ours.symmetric_difference(&theirs);
    Ok(differing.map(|(path, _)| path.clone()).collect())
}

/// Each file of a layer: its path, and all of its header and content.
fn files(layer: &[u8]) -> anyhow::Result<BTreeSet<(String, Vec<u8>)>> {
    let mut files = BTreeSet::new();
    if layer.is_empty() {
        return Ok(files);
    }
    for entry in Archive::new(GzDecoder::new(layer)).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let mut bytes = entry.header().as_bytes().to_vec();
        entry.read_to_end(&mut bytes)?;
        files.insert((path, bytes));
    }
    Ok(files)
}

fn show(rebuilt: &Rebuilt) -> String {
    let name = format!("{}@{}", rebuilt.service, rebuilt.version);
    let digest = rebuilt.digest.as_deref().map_or("not built", short);
    let recorded = short(&rebuilt.recorded_digest);
    let mut text = format!(
        "{name} from {}\nrecorded  {recorded}\nrebuilt   {digest}\n",
        short(&rebuilt.commit)
    );
    if rebuilt.same {
        return text + "the same\n";
    }
    text += "differs:\n";
    for difference in &rebuilt.differences {
        text += &format!("  {difference}\n");
    }
    text
}

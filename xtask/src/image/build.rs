//! Builds a service's program: static, and the same in whatever folder and by whomever it is built.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

use anyhow::Context;
use serde_json::Value;

use crate::{
    hint::{WithHint, fail},
    workspace::{ContentKey, Service, Workspace, build_environment, cargo, cargo_home},
};

/// The service's program, built in this target folder. Fails if the build read what the key doesn't count, or left a
/// path of this machine in the program.
pub(crate) fn build(
    workspace: &Workspace,
    service: &Service,
    key: &ContentKey,
    folder: &Path,
) -> anyhow::Result<Vec<u8>> {
    let machine = Machine::of(workspace.root(), folder)?;
    let target = &key.manifest.target;
    let flags = serde_json::to_string(&machine.flags()?)?;
    let setting = format!("{}={flags}", place(&key.manifest.config, target)?);
    let arguments = [
        "build",
        "--locked",
        "--package",
        &service.name,
        "--release",
        "--target",
        target,
        "--message-format=json-render-diagnostics",
        "--config",
        &setting,
    ];
    let mut environment = build_environment();
    for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_BUILD_DIR"] {
        environment.insert(name.into(), folder.into());
    }
    // What C compilers take for now.
    environment.insert("SOURCE_DATE_EPOCH".into(), "0".into());
    let built = duct::cmd(cargo(), arguments)
        .dir(workspace.root())
        .full_env(environment)
        .stdout_capture()
        .unchecked()
        .run()
        .context("cannot run cargo")?;
    if !built.status.success() {
        return fail(
            format!("the build of {} failed", service.name),
            "Cargo's messages above say where; a static program needs the C library's libc.a (Debian: libc6-dev)",
        );
    }
    let messages = String::from_utf8(built.stdout).context("cargo build printed no UTF-8")?;
    workspace.check_reads(key, &messages)?;
    let path = program(&messages, &service.name)
        .with_context(|| format!("{} has no program of its own name", service.name))
        .hint("give it a src/main.rs")?;
    let program = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if let Some(found) = machine.found_in(&program) {
        return fail(
            format!(
                "the program of {} names {}, so that it would differ on another machine",
                service.name,
                found.display()
            ),
            "env!(\"CARGO_MANIFEST_DIR\"), env!(\"OUT_DIR\") and the like put it there: include the file itself (include_str!), or its path from the package (file!)",
        );
    }
    Ok(program)
}

/// Where Cargo takes flags from: of `target.*` and `build` only the first that has some counts, and what we add to that
/// comes after what configuration files say there.
fn place(config: &BTreeMap<String, String>, target: &str) -> anyhow::Result<String> {
    let names_target = |name: &String| name.starts_with("target.") && name.ends_with(".rustflags");
    let place = if config.keys().any(names_target) {
        format!("target.{target}.rustflags")
    } else {
        "build.rustflags".to_owned()
    };
    if config
        .get(&place)
        .is_some_and(|flags| flags.starts_with('"'))
    {
        return fail(
            format!(
                "{place} in Cargo's configuration is one string, to which no flag can be added"
            ),
            format!("write it as a list: {place} = [\"..\", \"..\"]"),
        );
    }
    Ok(place)
}

/// Where the service's program is, by what Cargo printed.
fn program(messages: &str, service: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message["target"]["name"] == service && message["target"]["kind"][0] == "bin"
        })
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// The folders of this machine that a build works in, each with what stands for it in a program.
struct Machine {
    folders: Vec<(PathBuf, String)>,
}

impl Machine {
    fn of(root: &Path, target: &Path) -> anyhow::Result<Self> {
        let mut folders = vec![
            (root.to_owned(), "/source".to_owned()),
            (target.to_owned(), "/target".to_owned()),
        ];
        let home = cargo_home();
        // The names in it tell registries apart by how they are reached, as through a mirror.
        for registry in folders_in(&home.join("registry/src"))? {
            folders.push((registry, "/cargo/registry".to_owned()));
        }
        folders.push((home.join("git/checkouts"), "/cargo/git".to_owned()));
        let rustc = |arguments: &[&str]| {
            let command = duct::cmd("rustc", arguments).dir(root);
            command
                .full_env(build_environment())
                .read()
                .context("cannot run rustc")
        };
        let version = rustc(&["-vV"])?;
        let commit = version
            .lines()
            .find_map(|line| line.strip_prefix("commit-hash: "));
        let library = Path::new(&rustc(&["--print", "sysroot"])?).join("lib/rustlib/src/rust");
        folders.push((library, format!("/rustc/{}", commit.unwrap_or_default())));
        // Cargo knows some of them by their names without symbolic links.
        for (folder, name) in folders.clone() {
            let real = folder.canonicalize().unwrap_or_else(|_| folder.clone());
            if real != folder {
                folders.push((real, name));
            }
        }
        Ok(Self { folders })
    }

    fn flags(&self) -> anyhow::Result<Vec<String>> {
        let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
        for (folder, name) in &self.folders {
            let folder = folder
                .to_str()
                .with_context(|| format!("{} is not UTF-8", folder.display()))?;
            flags.push(format!("--remap-path-prefix={folder}={name}"));
        }
        Ok(flags)
    }

    /// The first of the folders that the program names. A folder right under the root is not looked for: `/src/` stands
    /// in each path of a crate.
    fn found_in(&self, program: &[u8]) -> Option<&Path> {
        let mut folders = self.folders.iter().map(|(folder, _)| folder.as_path());
        let slashes = || (0..program.len()).filter(|&at| program[at] == b'/');
        folders.find(|folder| {
            let names = folder
                .components()
                .filter(|part| matches!(part, Component::Normal(_)));
            let path = folder.join("").into_os_string().into_encoded_bytes();
            names.count() > 1 && slashes().any(|at| program[at..].starts_with(&path))
        })
    }
}

/// The folders in a folder that may not be there, in the order of their names.
fn folders_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot list {}", folder.display()));
        }
    };
    let mut folders = Vec::new();
    for entry in entries {
        folders.push(entry?.path());
    }
    folders.sort();
    Ok(folders)
}

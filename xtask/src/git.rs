//! git, run as a program in a temporary bare repository.
//!
//! Nothing is written to the caller's clone, and nothing is read but its settings and, where that is
//! asked for, its objects: a clone may be shallow,
//! detached, a linked worktree, read-only or in use by another run, and a run that is killed must
//! leave no lock and no half-written reference in it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use crate::hint::{WithHint, fail};

/// Which settings of the caller's repository the temporary one needs: where remotes are, how to
/// reach them, and who one is.
const SETTINGS: [&str; 9] = [
    "author.",
    "committer.",
    "core.askpass",
    "core.sshcommand",
    "credential.",
    "http.",
    "remote.",
    "url.",
    "user.",
];

/// What a git command left behind.
pub(crate) struct Ran {
    pub(crate) ok: bool,
    pub(crate) out: Vec<u8>,
    /// What it said to people, without secrets.
    pub(crate) words: String,
}

impl Ran {
    /// Its output, or an error with git's own words.
    pub(crate) fn output(self, what: &str) -> anyhow::Result<Vec<u8>> {
        if !self.ok {
            anyhow::bail!("{what}: {}", self.words);
        }
        Ok(self.out)
    }

    /// Its output as one trimmed string.
    pub(crate) fn text(self, what: &str) -> anyhow::Result<String> {
        Ok(String::from_utf8(self.output(what)?)
            .with_context(|| format!("{what}: not UTF-8"))?
            .trim()
            .to_owned())
    }
}

/// Runs git in the caller's repository.
pub(crate) fn in_clone(root: &Path, arguments: &[&str]) -> anyhow::Result<Ran> {
    run(&duct::cmd("git", arguments).dir(root))
}

/// A bare repository of our own that reaches the same remotes in the same way as the caller's.
pub(crate) struct Store {
    folder: TempDir,
    root: PathBuf,
    settings: Vec<(String, String)>,
}

impl Store {
    /// An empty store with these settings.
    pub(crate) fn create(root: &Path, settings: &[(String, String)]) -> anyhow::Result<Self> {
        let folder = empty_repository()
            .context("cannot make a temporary repository")
            .hint("free some space there, or point TMPDIR elsewhere; nothing was changed")?;
        Ok(Self {
            folder,
            root: root.to_owned(),
            settings: settings.to_vec(),
        })
    }

    /// Has it read what the repository with this `objects` folder holds, without a copy.
    pub(crate) fn borrow_from(&self, objects: &Path) -> anyhow::Result<()> {
        let info = self.folder.path().join("objects/info");
        std::fs::create_dir_all(&info)
            .and_then(|()| {
                std::fs::write(info.join("alternates"), format!("{}\n", objects.display()))
            })
            .context("cannot write to a temporary repository")
            .hint("free some space there, or point TMPDIR elsewhere; nothing was changed")
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        self.run_with(arguments, Vec::new())
    }

    /// Runs git with this on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: Vec<u8>) -> anyhow::Result<Ran> {
        // In the root, so that a remote's relative path means what it means there.
        let mut command = duct::cmd("git", arguments)
            .dir(&self.root)
            .stdin_bytes(input)
            .env("GIT_DIR", self.folder.path())
            .env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for name in [
            "WORK_TREE",
            "INDEX_FILE",
            "OBJECT_DIRECTORY",
            "ALTERNATE_OBJECT_DIRECTORIES",
            "COMMON_DIR",
            "NAMESPACE",
            "CONFIG_PARAMETERS",
        ] {
            command = command.env_remove(format!("GIT_{name}"));
        }
        for (index, (key, value)) in self.settings.iter().enumerate() {
            command = command
                .env(format!("GIT_CONFIG_KEY_{index}"), key)
                .env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        run(&command)
    }
}

/// What `git init --bare` makes, without running it.
fn empty_repository() -> std::io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("slipway-").tempdir()?;
    for needed in ["objects", "refs"] {
        std::fs::create_dir(folder.path().join(needed))?;
    }
    std::fs::write(folder.path().join("HEAD"), "ref: refs/heads/none\n")?;
    std::fs::write(
        folder.path().join("config"),
        "[core]\nrepositoryformatversion = 0\nbare = true\n",
    )?;
    Ok(folder)
}

/// The caller's settings as git sees them there, conditional includes and all. They are passed on
/// in the environment, which unlike a file leaves no secret behind.
pub(crate) fn settings_of(root: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let listed =
        in_clone(root, &["config", "--null", "--list"])?.output("git cannot read its settings")?;
    // What is left of a killed run is a folder that nobody reads: no need to wait for the disk.
    let own = [
        ("core.fsync", "none"),
        ("core.hookspath", "/dev/null"),
        ("gc.auto", "0"),
        ("maintenance.auto", "false"),
    ];
    let mut settings: Vec<(String, String)> = own
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    for entry in String::from_utf8_lossy(&listed).split_terminator('\0') {
        let (key, value) = entry.split_once('\n').unwrap_or((entry, "true"));
        let passed = SETTINGS.iter().any(|prefix| key.starts_with(prefix));
        let remote =
            key.starts_with("remote.") && !key.ends_with("url") && !key.ends_with(".proxy");
        if !passed || remote {
            continue;
        }
        // Git reads the user's and the system's file here as well; an empty value takes what it
        // found there back, so that no header is sent twice.
        let list = key.ends_with(".extraheader") || key.ends_with(".helper");
        if list && !settings.iter().any(|(other, _)| other == key) {
            settings.push((key.to_owned(), String::new()));
        }
        settings.push((key.to_owned(), value.to_owned()));
    }
    Ok(settings)
}

/// The names of the remotes that are set.
pub(crate) fn remotes(settings: &[(String, String)]) -> impl Iterator<Item = &str> {
    settings
        .iter()
        .filter_map(|(key, _)| key.strip_prefix("remote.")?.strip_suffix(".url"))
}

/// The name under which a store with these settings reaches `wanted`: a remote of the clone, a URL,
/// or a folder. `setting` says where a person names another one.
pub(crate) fn remote_name(
    root: &Path,
    settings: &mut Vec<(String, String)>,
    wanted: &str,
    setting: &str,
) -> anyhow::Result<String> {
    if remotes(settings).any(|name| name == wanted) {
        return Ok(wanted.to_owned());
    }
    if !wanted.contains([':', '/']) && !root.join(wanted).exists() {
        return fail(
            format!("this clone has no remote `{wanted}`"),
            format!("`git remote add` it, or name another one: {setting} in slipway.toml"),
        );
    }
    settings.push(("remote.slipway.url".to_owned(), wanted.to_owned()));
    Ok("slipway".to_owned())
}

/// Who the caller is to git: `Name <address>`.
pub(crate) fn identity(root: &Path) -> anyhow::Result<String> {
    let mut identity = in_clone(root, &["var", "GIT_COMMITTER_IDENT"])?
        .text("git does not know who you are")
        .hint("set user.name and user.email with git config, or GIT_COMMITTER_NAME and GIT_COMMITTER_EMAIL in CI")?;
    let end = identity.rfind('>').context("git names nobody")?;
    identity.truncate(end + 1);
    Ok(identity)
}

/// Whether a refused push only came too late, or at the same moment as another. The words are git's
/// own, and GitHub's.
pub(crate) fn says_moved(reason: &str) -> bool {
    [
        "fetch first",
        "non-fast-forward",
        "stale info",
        "cannot lock ref",
        "failed to update ref",
        "incorrect old value",
        "reference already exists",
    ]
    .iter()
    .any(|words| reason.contains(words))
}

/// What the remote itself said, of what a command said to people.
pub(crate) fn remote_words(words: &str) -> String {
    let said: Vec<&str> = words
        .lines()
        .filter_map(|line| Some(line.strip_prefix("remote:")?.trim()))
        .collect();
    said.join(" / ")
}

/// One object, as `git cat-file --batch` prints it: `<id> <type> <size>`, the content, a newline.
pub(crate) struct Object<'a> {
    pub(crate) id: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) content: &'a [u8],
    /// What was printed after it.
    pub(crate) rest: &'a [u8],
}

impl<'a> Object<'a> {
    /// The first of what was printed; none where that is no object.
    pub(crate) fn first(printed: &'a [u8]) -> Option<Self> {
        let end = printed.iter().position(|byte| *byte == b'\n')?;
        let mut header = std::str::from_utf8(&printed[..end]).ok()?.split(' ');
        let (id, kind) = (header.next()?, header.next()?);
        let size: usize = header.next()?.parse().ok()?;
        let after = &printed[end + 1..];
        Some(Self {
            id,
            kind,
            content: after.get(..size)?,
            rest: after.get(size + 1..)?,
        })
    }
}

fn run(command: &duct::Expression) -> anyhow::Result<Ran> {
    let ran = command
        .env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .context("cannot run git")
        .hint("install git 2.34 or newer")?;
    Ok(Ran {
        ok: ran.status.success(),
        out: ran.stdout,
        words: without_secrets(String::from_utf8_lossy(&ran.stderr).trim()),
    })
}

/// The text with the user and password of each URL left out.
pub(crate) fn without_secrets(text: &str) -> String {
    let mut clean = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = after
            .find(|c: char| c.is_whitespace() || "/'\"".contains(c))
            .unwrap_or(after.len());
        let host = after[..end].rfind('@').map_or(0, |at| at + 1);
        if host > 0 {
            clean.push_str("***@");
        }
        rest = &after[host..];
    }
    clean + rest
}

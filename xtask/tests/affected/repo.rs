//! A small workspace in a repository of its own: two services, a crate that both use, a procedural macro, a crate that
//! a build script uses.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

pub(crate) struct Repo {
    folder: TempDir,
    pub(crate) root: PathBuf,
}

const FILES: &[(&str, &str)] = &[
    (".gitignore", "/target/\n*.ignored\n"),
    (
        "slipway.toml",
        "registry = \"127.0.0.1:1/shop\"\n[gitops]\nremote = \"../gitops.git\"\nbranch = \"main\"\n[[environments]]\nname = \"staging\"\n",
    ),
    (
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"services/*\", \"crates/*\"]\n\n[workspace.package]\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[profile.release]\nopt-level = 0\n",
    ),
    ("README.md", "# Shop\n"),
    (
        "services/alpha/Cargo.toml",
        "[package]\nname = \"alpha\"\nversion.workspace = true\nedition.workspace = true\n\n[dependencies]\nmacros = { path = \"../../crates/macros\" }\nshared = { path = \"../../crates/shared\" }\n\n[build-dependencies]\ncodegen = { path = \"../../crates/codegen\" }\n\n[dev-dependencies]\n",
    ),
    (
        "services/alpha/build.rs",
        "fn main() {\n    println!(\"cargo::rerun-if-changed=build.rs\");\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    std::fs::write(out + \"/generated.rs\", codegen::code()).unwrap();\n}\n",
    ),
    (
        "services/alpha/src/main.rs",
        "mod text;\ninclude!(concat!(env!(\"OUT_DIR\"), \"/generated.rs\"));\nfn main() {\n    println!(\"{} {} {} {}\", text::TEXT, GENERATED, macros::word!(), shared::word());\n}\n",
    ),
    (
        "services/alpha/src/text.rs",
        "pub const TEXT: &str = include_str!(\"../assets/text.txt\");\n",
    ),
    ("services/alpha/assets/text.txt", "alpha\n"),
    ("services/alpha/tests/it.rs", "#[test]\nfn works() {}\n"),
    ("services/alpha/README.md", "# Alpha\n"),
    (
        "services/beta/Cargo.toml",
        "[package]\nname = \"beta\"\nversion.workspace = true\nedition.workspace = true\n\n[dependencies]\nshared = { path = \"../../crates/shared\" }\n",
    ),
    (
        "services/beta/src/main.rs",
        "fn main() {\n    println!(\"beta {}\", shared::word());\n}\n",
    ),
    (
        "crates/shared/Cargo.toml",
        "[package]\nname = \"shared\"\nversion.workspace = true\nedition.workspace = true\n\n[features]\nloud = []\n",
    ),
    (
        "crates/shared/src/lib.rs",
        "pub fn word() -> &'static str {\n    if cfg!(feature = \"loud\") { \"SHARED\" } else { \"shared\" }\n}\n",
    ),
    (
        "crates/macros/Cargo.toml",
        "[package]\nname = \"macros\"\nversion.workspace = true\nedition.workspace = true\n\n[lib]\nproc-macro = true\n",
    ),
    (
        "crates/macros/src/lib.rs",
        "use proc_macro::{Literal, TokenStream, TokenTree};\n#[proc_macro]\npub fn word(_: TokenStream) -> TokenStream {\n    TokenTree::from(Literal::string(\"macro\")).into()\n}\n",
    ),
    (
        "crates/codegen/Cargo.toml",
        "[package]\nname = \"codegen\"\nversion.workspace = true\nedition.workspace = true\n",
    ),
    (
        "crates/codegen/src/lib.rs",
        "pub fn code() -> String {\n    \"const GENERATED: &str = \\\"generated\\\";\".to_owned()\n}\n",
    ),
    (
        "crates/unused/Cargo.toml",
        "[package]\nname = \"unused\"\nversion.workspace = true\nedition.workspace = true\n",
    ),
    ("crates/unused/src/lib.rs", ""),
];

impl Repo {
    /// The workspace, committed.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("shop");
        let repo = Self { folder, root };
        for (path, text) in FILES {
            repo.write(path, text);
        }
        repo.lock();
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo.commit();
        repo
    }

    /// The folder around the workspace.
    pub(crate) fn around(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a file stands in a folder")).expect("writable");
        fs::write(path, text).expect("writable");
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).expect("readable")
    }

    pub(crate) fn append(&self, path: &str, text: &str) {
        self.write(path, &(self.read(path) + text));
    }

    pub(crate) fn replace(&self, path: &str, old: &str, new: &str) {
        let text = self.read(path);
        assert!(text.contains(old), "{path} has no {old:?}: {text}");
        self.write(path, &text.replace(old, new));
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.root.join(path);
        if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        }
        .expect("removable");
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a file stands in a folder")).expect("writable");
        std::os::unix::fs::symlink(target, path).expect("writable");
    }

    /// Writes Cargo.lock.
    pub(crate) fn lock(&self) {
        run(Command::new("cargo")
            .args(["generate-lockfile", "--quiet", "--offline"])
            .current_dir(&self.root));
    }

    pub(crate) fn git(&self, arguments: &[&str]) {
        run(git().args(arguments).current_dir(&self.root));
    }

    /// Commits everything.
    pub(crate) fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&[
            "commit",
            "--quiet",
            "--allow-empty",
            "--message=chore: change",
        ]);
    }
}

/// Git without the settings of whoever runs the tests.
pub(crate) fn git() -> Command {
    let mut command = Command::new("git");
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Test")
        .env("GIT_AUTHOR_EMAIL", "test@localhost")
        .env("GIT_COMMITTER_NAME", "Test")
        .env("GIT_COMMITTER_EMAIL", "test@localhost");
    command
}

pub(crate) fn run(command: &mut Command) {
    let ran = command.output().expect("it starts");
    assert!(
        ran.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

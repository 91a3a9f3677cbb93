//! Finds or starts the process's PostgreSQL server.

use std::{
    env, fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::OnceLock,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use sqlx::{Connection, PgConnection};
use testcontainers::{
    GenericImage, ImageExt,
    core::{IntoContainerPort, Mount},
    runners::AsyncRunner,
};
use uuid::Uuid;

use crate::watcher;

const DEFAULT_IMAGE: &str = "postgres:17";

/// Durability is not what the tests are about; hundreds of them share the server.
const SETTINGS: [&str; 8] = [
    "-c",
    "fsync=off",
    "-c",
    "synchronous_commit=off",
    "-c",
    "full_page_writes=off",
    "-c",
    "max_connections=300",
];

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Of a database where others can be created.
    pub(crate) url: String,
    /// See [`watcher`].
    _watcher: Option<Child>,
}

impl Server {
    /// The URL with another database's name in it.
    pub(crate) fn url_of(&self, database: &str) -> String {
        let (address, parameters) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let (scheme, place) = address.split_once("://").unwrap_or(("postgres", address));
        let host = place.split_once('/').map_or(place, |(host, _)| host);
        let separator = if parameters.is_empty() { "" } else { "?" };
        format!("{scheme}://{host}/{database}{separator}{parameters}")
    }
}

/// The server, found on first use.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
    let found =
        SERVER.get_or_init(|| crate::on_own_runtime(start_first(candidates(&Machine::this()))));
    match found {
        Ok(server) => server,
        Err(problem) => panic!("{problem}"),
    }
}

/// What the choice depends on.
struct Machine<'a> {
    /// `TEST_DATABASE_URL`
    url: Option<String>,
    /// `SLIPWAY_POSTGRES_IMAGE`
    image: Option<String>,
    /// Why Docker cannot be used, or nothing.
    docker: &'a dyn Fn() -> Result<(), String>,
    /// Folders that may hold `postgres` and `initdb`, the best first.
    folders: Vec<PathBuf>,
}

impl Machine<'static> {
    fn this() -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        Self {
            url: env::var("TEST_DATABASE_URL").ok(),
            image: env::var("SLIPWAY_POSTGRES_IMAGE").ok(),
            docker: &docker_answers,
            folders: env::split_paths(&path)
                .chain(distribution_folders(Path::new("/usr/lib/postgresql")))
                .collect(),
        }
    }
}

/// Debian keeps its versions apart: `/usr/lib/postgresql/17/bin`. Newest first.
fn distribution_folders(root: &Path) -> Vec<PathBuf> {
    let versions = fs::read_dir(root).into_iter().flatten().flatten();
    let mut versions: Vec<u32> = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    let bin = |version: &u32| root.join(version.to_string()).join("bin");
    versions.iter().map(bin).collect()
}

#[derive(Debug, PartialEq, Eq)]
enum Source {
    Given { url: String },
    Docker { image: String },
    Installed { folder: PathBuf },
}

/// What to try, in order. Nothing stands in for a server that was named, nor for an image that Docker was asked to run.
fn candidates(machine: &Machine<'_>) -> Result<Vec<Source>, String> {
    if let Some(url) = machine.url.clone().filter(|url| !url.is_empty()) {
        return Ok(vec![Source::Given { url }]);
    }
    let mut sources = Vec::new();
    let docker = match machine.image.as_deref() {
        Some("") => Err("SLIPWAY_POSTGRES_IMAGE is empty".to_owned()),
        _ => (machine.docker)(),
    };
    if docker.is_ok() {
        let image = machine.image.as_deref().unwrap_or(DEFAULT_IMAGE).to_owned();
        sources.push(Source::Docker { image });
        if machine.image.is_some() {
            return Ok(sources);
        }
    }
    let complete = |folder: &&PathBuf| {
        ["postgres", "initdb"]
            .iter()
            .all(|program| folder.join(program).is_file())
    };
    if let Some(folder) = machine.folders.iter().find(complete) {
        sources.push(Source::Installed {
            folder: folder.clone(),
        });
    }
    match docker {
        Err(reason) if sources.is_empty() => Err(format!(
            "these tests need PostgreSQL, and there is none: TEST_DATABASE_URL is not set; Docker: {reason}; `postgres` \
             and `initdb` are neither on PATH nor in /usr/lib/postgresql\n\
             hint: apt-get install postgresql, or start Docker, or set TEST_DATABASE_URL=postgres://USER:PASSWORD@HOST/NAME"
        )),
        _ => Ok(sources),
    }
}

fn docker_answers() -> Result<(), String> {
    // The command, not only its socket, as it also removes the container in the end.
    let output = Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("the command `docker` does not run ({error})")),
    }
}

async fn start_first(candidates: Result<Vec<Source>, String>) -> Result<Server, String> {
    let mut problems = Vec::new();
    for source in candidates? {
        let started = match &source {
            Source::Given { url } => given(url).await.context("TEST_DATABASE_URL"),
            Source::Docker { image } => start_container(image)
                .await
                .with_context(|| format!("the image '{image}' in Docker")),
            Source::Installed { folder } => start_installed(folder)
                .await
                .with_context(|| folder.display().to_string()),
        };
        match started {
            Ok(server) => return Ok(server),
            Err(problem) => problems.push(format!("{problem:#}")),
        }
    }
    Err(format!(
        "PostgreSQL for the tests: {}",
        problems.join("; and: ")
    ))
}

/// The URL may hold a password: sqlx's errors do not repeat it.
async fn given(url: &str) -> anyhow::Result<Server> {
    PgConnection::connect(url).await?;
    Ok(Server {
        url: url.to_owned(),
        _watcher: None,
    })
}

async fn start_container(image: &str) -> anyhow::Result<Server> {
    let (name, tag) = image
        .rsplit_once(':')
        .filter(|(_, tag)| !tag.contains('/'))
        .unwrap_or((image, "latest"));
    let container_name = format!("testkit-postgres-{}", Uuid::now_v7().simple());
    let password = Uuid::new_v4().simple().to_string();
    let script = "cat; docker rm --force --volumes \"$0\"";
    let watcher = watcher::start(script, &[&container_name], |_| ())?;
    let container = GenericImage::new(name, tag)
        .with_exposed_port(5432.tcp())
        .with_container_name(container_name)
        .with_env_var("POSTGRES_PASSWORD", &password)
        // In memory: a busy disk makes the server wait for seconds, even without fsync.
        .with_env_var("PGDATA", "/memory/data")
        .with_mount(Mount::tmpfs_mount("/memory"))
        .with_cmd(["postgres"].into_iter().chain(SETTINGS))
        .start()
        .await?;
    let (host, port) = (
        container.get_host().await?,
        container.get_host_port_ipv4(5432).await?,
    );
    // It would remove the container at the end of this function.
    std::mem::forget(container);

    let url = format!("postgres://postgres:{password}@{host}:{port}/postgres");
    wait_until_it_answers(&url).await?;
    Ok(Server {
        url,
        _watcher: Some(watcher),
    })
}

async fn start_installed(bin: &Path) -> anyhow::Result<Server> {
    let folder = tempfile::Builder::new()
        .prefix("testkit-postgres-")
        .tempdir()?;
    let path = folder
        .path()
        .to_str()
        .context("the temporary folder's name is not UTF-8")?;
    let program = bin.join("postgres");
    let program = program
        .to_str()
        .context("the program's path is not UTF-8")?;
    // The server refuses to run as root.
    let user = rustix::process::geteuid().is_root().then(postgres_user);
    if let Some((uid, gid)) = user {
        chown(path, Some(uid), Some(gid))?;
    }
    let as_user = |command: &mut Command| {
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        command.current_dir(path);
    };

    let mut initdb = Command::new(bin.join("initdb"));
    as_user(&mut initdb);
    initdb.args([
        "--pgdata=data",
        "--username=postgres",
        "--auth=trust",
        "--no-sync",
    ]);
    let output = initdb
        .args(["--encoding=UTF8", "--locale=C.UTF-8"])
        .output()?;
    ensure!(
        output.status.success(),
        "initdb: {}",
        String::from_utf8_lossy(&output.stderr)
    );

    // A socket in a folder that only its owner may enter: as private as a port can be, and never taken.
    let script =
        "\"$@\" >log 2>&1 & server=$!; cat; kill -QUIT $server; wait $server; rm -rf \"$0\"";
    let fixed = [
        path,
        program,
        "-D",
        "data",
        "-k",
        path,
        "-c",
        "listen_addresses=",
    ];
    let arguments: Vec<&str> = fixed.into_iter().chain(SETTINGS).collect();
    let watcher = watcher::start(script, &arguments, as_user)?;
    let url = format!("postgres://postgres@localhost/postgres?host={path}");
    let answered = wait_until_it_answers(&url).await;
    answered.with_context(|| fs::read_to_string(folder.path().join("log")).unwrap_or_default())?;
    // From here on the watcher removes it.
    let _ = folder.keep();
    Ok(Server {
        url,
        _watcher: Some(watcher),
    })
}

/// The distribution's user for it, else `nobody`.
fn postgres_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |line: &str| {
        let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    users.lines().find_map(ids).unwrap_or((65534, 65534))
}

async fn wait_until_it_answers(url: &str) -> Result<(), sqlx::Error> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match PgConnection::connect(url).await {
            Err(_) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answered => return answered.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Result<(), String> {
        Ok(())
    }

    fn is_stopped() -> Result<(), String> {
        Err("the daemon does not run".to_owned())
    }

    fn must_not_be_asked() -> Result<(), String> {
        panic!("Docker was asked although there is no need")
    }

    /// A folder with these programs.
    fn folder(programs: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for program in programs {
            fs::write(folder.path().join(program), "").unwrap();
        }
        folder
    }

    fn machine(docker: &dyn Fn() -> Result<(), String>, folders: Vec<PathBuf>) -> Machine<'_> {
        Machine {
            url: None,
            image: None,
            docker,
            folders,
        }
    }

    fn docker(image: &str) -> Source {
        Source::Docker {
            image: image.to_owned(),
        }
    }

    #[test]
    fn a_given_server_comes_first_and_alone() {
        let installed = folder(&["postgres", "initdb"]);
        let url = "postgres://ada@db/shop".to_owned();
        let machine = Machine {
            url: Some(url.clone()),
            image: Some("postgres:18".to_owned()),
            ..machine(&must_not_be_asked, vec![installed.path().to_owned()])
        };
        assert_eq!(candidates(&machine), Ok(vec![Source::Given { url }]));
    }

    #[test]
    fn an_empty_url_is_none() {
        let machine = Machine {
            url: Some(String::new()),
            ..machine(&answers, vec![])
        };
        assert_eq!(candidates(&machine), Ok(vec![docker(DEFAULT_IMAGE)]));
    }

    #[test]
    fn then_comes_docker_and_then_what_is_installed() {
        let installed = folder(&["postgres", "initdb"]);
        let machine = machine(&answers, vec![installed.path().to_owned()]);
        let installed = Source::Installed {
            folder: installed.path().to_owned(),
        };
        assert_eq!(
            candidates(&machine),
            Ok(vec![docker(DEFAULT_IMAGE), installed])
        );
    }

    #[test]
    fn nothing_stands_in_for_an_image_that_was_asked_for() {
        let installed = folder(&["postgres", "initdb"]);
        let image = Some("slipway/postgres:ci".to_owned());
        let machine = Machine {
            image,
            ..machine(&answers, vec![installed.path().to_owned()])
        };
        assert_eq!(
            candidates(&machine),
            Ok(vec![docker("slipway/postgres:ci")])
        );
    }

    #[test]
    fn an_empty_image_means_no_docker() {
        let installed = folder(&["postgres", "initdb"]);
        let image = Some(String::new());
        let machine = Machine {
            image,
            ..machine(&must_not_be_asked, vec![installed.path().to_owned()])
        };
        assert_eq!(
            candidates(&machine),
            Ok(vec![Source::Installed {
                folder: installed.path().to_owned()
            }])
        );
    }

    #[test]
    fn without_docker_the_first_folder_with_both_programs_serves() {
        let (partial, complete, later) = (
            folder(&["postgres"]),
            folder(&["postgres", "initdb"]),
            folder(&["postgres", "initdb"]),
        );
        let folders = [&partial, &complete, &later]
            .map(|folder| folder.path().to_owned())
            .to_vec();
        let machine = machine(&is_stopped, folders);
        assert_eq!(
            candidates(&machine),
            Ok(vec![Source::Installed {
                folder: complete.path().to_owned()
            }])
        );
    }

    #[test]
    fn the_distributions_newest_version_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9", "15", "17", "common"] {
            fs::create_dir(root.path().join(version)).unwrap();
        }
        let folders = ["17/bin", "15/bin", "9/bin"].map(|bin| root.path().join(bin));
        assert_eq!(distribution_folders(root.path()), folders);
        assert!(distribution_folders(&root.path().join("missing")).is_empty());
    }

    #[test]
    fn without_any_the_message_says_what_was_tried_and_what_to_do() {
        let problem = candidates(&machine(&is_stopped, vec![])).unwrap_err();
        for part in [
            "TEST_DATABASE_URL",
            "the daemon does not run",
            "initdb",
            "apt-get install postgresql",
        ] {
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn another_databases_url_keeps_the_rest() {
        for (url, expected) in [
            (
                "postgres://a:b@h:1/shop?sslmode=require",
                "postgres://a:b@h:1/new?sslmode=require",
            ),
            ("postgres://h", "postgres://h/new"),
            (
                "postgresql://localhost/postgres?host=/tmp/x",
                "postgresql://localhost/new?host=/tmp/x",
            ),
        ] {
            assert_eq!(
                Server {
                    url: url.to_owned(),
                    _watcher: None
                }
                .url_of("new"),
                expected
            );
        }
    }
}

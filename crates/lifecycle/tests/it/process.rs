//! The example service as a process of its own: exit codes, signals, the environment.

use crate::{eventually, get};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tokio::task::spawn;

fn example() -> Command {
    let test = std::env::current_exe().unwrap();
    let target: PathBuf = test.ancestors().nth(2).unwrap().join("examples/service");
    assert!(
        target.exists(),
        "{} is missing; `cargo test -p lifecycle` builds it",
        target.display()
    );
    Command::new(target)
}

/// A port that was free a moment ago: the process has no way to tell which one it got.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

struct Service {
    child: Child,
    listen: SocketAddr,
}

impl Service {
    async fn start(answer_time: &str) -> Self {
        let (listen, admin) = (free(), free());
        let child = example()
            .env("LISTEN", listen.to_string())
            .env("ADMIN_LISTEN", admin.to_string())
            .env("DRAIN_DELAY", "0s")
            .env("ANSWER_TIME", answer_time)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        eventually("ready", async || {
            tokio::net::TcpStream::connect(admin).await.is_ok()
                && get(admin, "/readyz").await.starts_with("HTTP/1.1 200")
        })
        .await;
        Self { child, listen }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    async fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        eventually("exit", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn sigterm_finishes_the_request_in_flight_and_exits_0() {
    let mut service = Service::start("300ms").await;
    let answer = spawn(get(service.listen, "/"));
    // Whether the request has arrived cannot be seen from outside, but this one was sent later.
    tokio::time::timeout(Duration::from_millis(100), get(service.listen, "/"))
        .await
        .unwrap_err();
    service.signal("TERM");
    assert!(answer.await.unwrap().ends_with("answered\n"));
    assert_eq!(service.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_at_once_with_1() {
    let mut service = Service::start("1h").await;
    let answer = spawn(get(service.listen, "/"));
    tokio::time::timeout(Duration::from_millis(100), get(service.listen, "/"))
        .await
        .unwrap_err();
    service.signal("INT");
    eventually("draining", async || {
        std::net::TcpStream::connect(service.listen).is_err()
    })
    .await;
    let begun = Instant::now();
    service.signal("TERM");
    assert_eq!(service.exit_code().await, Some(1));
    assert!(begun.elapsed() < Duration::from_secs(3));
    answer.abort();
}

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    (
        status.code(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

#[test]
fn a_wrong_setting_exits_64_with_one_line() {
    let (code, stdout, stderr) = output(example().env("LISTEN", "abc"));
    assert_eq!(code, Some(64));
    assert_eq!(stdout, "");
    let expected = "error: --listen (LISTEN): 'abc' is not valid: invalid socket address syntax; hint: takes ADDRESS:PORT, for example 127.0.0.1:8099\n";
    assert_eq!(stderr, expected);
}

#[test]
fn a_setting_that_is_not_text_is_named() {
    use std::os::unix::ffi::OsStringExt;
    let (code, _, stderr) =
        output(example().env("ANSWER_TIME", std::ffi::OsString::from_vec(vec![0xff])));
    assert_eq!(code, Some(64));
    assert_eq!(
        stderr,
        "error: --answer-time (ANSWER_TIME): not UTF-8; hint: settings are text\n"
    );
}

#[test]
fn help_and_settings_exit_0() {
    let (code, help, _) = output(example().arg("--help"));
    assert_eq!(code, Some(0));
    assert!(help.starts_with("Answers after a while"), "{help}");
    let (code, settings, _) = output(example().arg("settings").env("LISTEN", "abc"));
    assert_eq!(code, Some(0));
    let row = "| `--admin-listen` | `ADMIN_LISTEN` | `127.0.0.1:9099` | Where probes, metrics and the version are served |\n";
    assert!(settings.contains(row), "{settings}");
}

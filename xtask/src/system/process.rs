//! One service as a child process.

use std::{
    ffi::OsString,
    fmt::Display,
    fs::File,
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
};

use anstyle::{AnsiColor, Style};
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::Logs;

/// A service's program, its arguments and its settings.
pub(super) struct Command {
    inner: std::process::Command,
    log: PathBuf,
}

impl Command {
    /// The caller's environment reaches the service, so that any setting can be tried; what
    /// [`Command::set`] gives wins.
    pub(super) fn new(program: PathBuf, folder: &Path, service: &str) -> Self {
        Self {
            inner: std::process::Command::new(program),
            log: folder.join(format!("{service}.log")),
        }
    }

    pub(super) fn arguments(&mut self, arguments: &[&str]) {
        self.inner.args(arguments);
    }

    pub(super) fn set(&mut self, name: &str, value: impl Display) {
        self.inner.env(name, OsString::from(value.to_string()));
    }

    /// Runs it to its end; what it printed is shown only when it fails.
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        let output = self
            .inner
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {:?}", self.inner.get_program()))?;
        if !output.status.success() {
            bail!(
                "{}\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr).trim_end(),
            );
        }
        Ok(())
    }
}

/// A running service. Dropping it kills it.
pub(super) struct Process {
    pub(super) name: &'static str,
    child: Child,
    log: Option<PathBuf>,
}

impl Process {
    pub(super) fn start(
        name: &'static str,
        mut command: Command,
        logs: Logs,
    ) -> anyhow::Result<Self> {
        // A group of its own: Ctrl-C reaches xtask alone, which then stops the services in order.
        command.inner.process_group(0).stdin(Stdio::null());
        let log = match logs {
            Logs::Follow => {
                command.inner.stdout(Stdio::piped()).stderr(Stdio::piped());
                None
            }
            Logs::Files => {
                let file = File::options()
                    .create(true)
                    .append(true)
                    .open(&command.log)
                    .with_context(|| format!("cannot write {}", command.log.display()))?;
                command.inner.stdout(file.try_clone()?).stderr(file);
                Some(command.log)
            }
        };
        let mut child = command
            .inner
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        if let Some(out) = child.stdout.take() {
            follow(name, out);
        }
        if let Some(err) = child.stderr.take() {
            follow(name, err);
        }
        Ok(Self { name, child, log })
    }

    /// How it ended, if it has.
    pub(super) fn exited(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("cannot wait for {}", self.name))
    }

    /// Asks it to drain and end (SIGTERM).
    pub(super) fn terminate(&mut self) -> anyhow::Result<()> {
        // Until it is waited for, the pid stays this child's.
        if self.exited()?.is_none() {
            let pid = Pid::from_child(&self.child);
            kill_process(pid, Signal::TERM)
                .with_context(|| format!("cannot signal {}", self.name))?;
        }
        Ok(())
    }

    /// Ends it at once (SIGKILL).
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.child
            .kill()
            .with_context(|| format!("cannot kill {}", self.name))
    }

    /// A hint: where its last words are.
    pub(super) fn where_it_says_why(&self) -> String {
        match &self.log {
            Some(log) => format!("its log is {}", log.display()),
            None => "its last lines above say why".to_owned(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            // Reaps it; there is nothing left to do about a failure.
            let _reaped = self.child.wait();
        }
    }
}

/// Prints each line after the service's name in its colour, until the stream ends.
fn follow(name: &'static str, stream: impl Read + Send + 'static) {
    let color = match name {
        "gateway" => AnsiColor::Cyan,
        "catalog" => AnsiColor::Green,
        "orders" => AnsiColor::Yellow,
        _ => AnsiColor::Magenta,
    };
    let style = Style::new().fg_color(Some(color.into()));
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line);
            anstream::println!("{style}{name:>10}{style:#} | {}", text.trim_end());
            line.clear();
        }
    });
}

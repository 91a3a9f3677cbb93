//! Ends what must not outlive the test process.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

/// Starts a shell script whose `cat` ends when this process does: its standard input is a pipe that only we hold open.
///
/// That covers a normal end, a panic, Ctrl-C and SIGKILL alike. Statics are never dropped, testcontainers' `Drop` and
/// its watchdog cover only some of these, and `PR_SET_PDEATHSIG` needs unsafe code. In a process group of its own,
/// so that Ctrl-C in the terminal does not end the watcher first.
pub(crate) fn start(
    script: &str,
    arguments: &[&str],
    adjust: impl Fn(&mut Command),
) -> io::Result<Child> {
    let mut shell = Command::new("sh");
    adjust(&mut shell);
    shell
        .args(["-c", script])
        .args(arguments)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

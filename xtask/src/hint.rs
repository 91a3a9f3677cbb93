//! Errors for people: what went wrong, why, and `hint:` what to do about it.

use std::{
    fmt::{self, Display},
    process::ExitCode,
};

use anstyle::{AnsiColor, Style};

/// What to do about an error; stands outermost in its chain.
#[derive(Debug)]
struct Hint(String);

impl Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Adds a hint to an error.
pub(crate) trait WithHint<T> {
    /// Says what to do about this error; printed as its last line.
    fn hint(self, text: impl Display) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> WithHint<T> for Result<T, E> {
    fn hint(self, text: impl Display) -> anyhow::Result<T> {
        self.map_err(|error| error.into().context(Hint(text.to_string())))
    }
}

/// An error with what to do about it.
pub(crate) fn fail<T>(message: impl Display, hint: impl Display) -> anyhow::Result<T> {
    Err(anyhow::anyhow!("{message}")).hint(hint)
}

/// Something wrong in what was asked for, rather than in doing it.
#[derive(Debug)]
struct Usage(String);

impl Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error in what was asked for, with what can be asked for.
pub(crate) fn usage<T>(message: impl Display, hint: impl Display) -> anyhow::Result<T> {
    Err(Usage(message.to_string())).hint(hint)
}

/// 2 for wrong use, as clap does it; else 1.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref::<Usage>().is_some() {
        return ExitCode::from(2);
    }
    ExitCode::FAILURE
}

/// Prints `error:` with its causes, then `hint:` if there is one.
pub(crate) fn report(error: &anyhow::Error) {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let cyan = Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()));
    anstream::eprintln!("{red}error{red:#}: {}", causes(error));
    if let Some(hint) = error.downcast_ref::<Hint>() {
        anstream::eprintln!("{cyan}hint{cyan:#}: {hint}");
    }
}

/// An error with its causes, in one line, without its hint.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    let has_hint = error.downcast_ref::<Hint>().is_some();
    let causes = error.chain().skip(usize::from(has_hint));
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

//! The settings of a service as documentation.

use std::fmt::Write;

/// A Markdown table of all settings of `C`, by name.
pub fn markdown<C: clap::CommandFactory>() -> String {
    let mut table = String::from("| flag | environment | default | what |\n|---|---|---|---|\n");
    let command = C::command();
    let mut args: Vec<_> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .collect();
    args.sort_by_key(|arg| arg.get_long());
    for arg in args {
        let (Some(flag), Some(env)) = (arg.get_long(), arg.get_env()) else {
            continue;
        };
        let default = match arg.get_default_values() {
            [default, ..] => format!("`{}`", default.to_string_lossy()),
            [] if arg.is_required_set() => "required".to_owned(),
            [] => "none".to_owned(),
        };
        let help = arg.get_long_help().or(arg.get_help());
        let help = help.map(ToString::to_string).unwrap_or_default();
        let help = help.replace('\n', " ").replace('|', "\\|");
        let env = env.to_string_lossy();
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| `--{flag}` | `{env}` | {default} | {help} |");
    }
    table
}

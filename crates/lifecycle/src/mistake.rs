//! What is said about a wrong setting: one line with its name, what was given, what it takes, and no secret.

use clap::builder::PossibleValue;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Arg, Command};
use std::error::Error as _;

pub(crate) fn describe(command: &Command, error: &Error) -> String {
    let args: Vec<&Arg> = texts(error, ContextKind::InvalidArg)
        .filter_map(|shown| find(command, shown))
        .collect();
    match (error.kind(), args.as_slice()) {
        (ErrorKind::MissingRequiredArgument, [_, ..]) => {
            let missing =
                |arg: &&Arg| format!("{}: not set; hint: takes {}", name(arg), takes(arg));
            args.iter().map(missing).collect::<Vec<_>>().join("; ")
        }
        (ErrorKind::ValueValidation | ErrorKind::InvalidValue, [arg]) => {
            let refusal = refusal(arg, error);
            format!("{}: {refusal}; hint: takes {}", name(arg), takes(arg))
        }
        (ErrorKind::InvalidUtf8, _) => {
            let arg = command.get_arguments().find(|arg| not_text(arg));
            let name = arg.map_or("an argument".to_owned(), name);
            format!("{name}: not UTF-8; hint: settings are text")
        }
        (ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand, _) => unknown(error),
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.trim_start_matches("error: ").to_owned()
        }
    }
}

fn texts(error: &Error, kind: ContextKind) -> impl Iterator<Item = &str> {
    let texts = match error.get(kind) {
        Some(ContextValue::String(text)) => std::slice::from_ref(text),
        Some(ContextValue::Strings(texts)) => texts,
        _ => &[],
    };
    texts.iter().map(String::as_str)
}

/// The argument that clap shows as `shown`, for example `--listen <ADDRESS:PORT>`.
fn find<'a>(command: &'a Command, shown: &str) -> Option<&'a Arg> {
    let own = command.get_arguments().find(|arg| arg.to_string() == shown);
    own.or_else(|| command.get_subcommands().find_map(|sub| find(sub, shown)))
}

/// `--listen (LISTEN)`
fn name(arg: &Arg) -> String {
    let flag = arg.get_long().unwrap_or(arg.get_id().as_str());
    match arg.get_env() {
        Some(env) => format!("--{flag} ({})", env.to_string_lossy()),
        None => format!("--{flag}"),
    }
}

/// `ADDRESS:PORT, for example 0.0.0.0:50051`, from the argument's value name and default.
fn takes(arg: &Arg) -> String {
    let values = arg.get_possible_values();
    if !values.is_empty() {
        let names: Vec<_> = values.iter().map(PossibleValue::get_name).collect();
        return names.join(" or ");
    }
    let what = arg.get_value_names().unwrap_or_default().join(" ");
    match arg.get_default_values().first() {
        Some(default) => format!("{what}, for example {}", default.to_string_lossy()),
        None => what,
    }
}

/// What is wrong with the value. Of a secret neither the value nor the reason is told, which may quote it.
fn refusal(arg: &Arg, error: &Error) -> String {
    if arg.is_hide_env_values_set() {
        return "'***' is not valid".to_owned();
    }
    let given: String = texts(error, ContextKind::InvalidValue).collect();
    let given = given.escape_debug();
    match error.source() {
        Some(reason) => format!(
            "'{given}' is not valid: {}",
            reason.to_string().replace('\n', " ")
        ),
        None => format!("'{given}' is not valid"),
    }
}

/// clap does not say whose value is not UTF-8.
fn not_text(arg: &Arg) -> bool {
    let value = arg.get_env().and_then(std::env::var_os);
    value.is_some_and(|value| value.to_str().is_none())
}

fn unknown(error: &Error) -> String {
    let text = |kind| texts(error, kind).next();
    let near = text(ContextKind::SuggestedArg).or(text(ContextKind::SuggestedSubcommand));
    let hint = near.map_or("--help lists them".to_owned(), |near| {
        format!("did you mean {near}?")
    });
    let flag = text(ContextKind::InvalidArg).filter(|flag| flag.starts_with('-'));
    // A word that is like no command may be a secret that lost its flag: it is not repeated.
    let word = text(ContextKind::InvalidSubcommand).filter(|_| near.is_some());
    match (flag, word) {
        (Some(flag), _) => format!("{flag}: no such flag; hint: {hint}"),
        (None, Some(word)) => format!("{word}: no such command; hint: {hint}"),
        (None, None) => format!("an argument is neither a flag nor a command; hint: {hint}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Config, parse_from};
    use clap::Parser;
    use std::{net::SocketAddr, time::Duration};

    #[derive(Clone, Debug, clap::ValueEnum)]
    enum Colour {
        Red,
        Green,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Command {
        Migrate,
    }

    /// A service.
    #[derive(Debug, Parser)]
    #[command(name = "shop", mut_arg("admin_listen", |arg| arg.default_value("127.0.0.1:9091")))]
    struct Settings {
        /// Where it listens.
        #[arg(
            long,
            env = "CONFIG_TEST_LISTEN",
            value_name = "ADDRESS:PORT",
            default_value = "0.0.0.0:50051"
        )]
        listen: SocketAddr,
        #[arg(long, env = "CONFIG_TEST_LIMIT", value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=512))]
        limit: u32,
        #[arg(long, env = "CONFIG_TEST_COLOUR", value_enum, default_value = "red")]
        colour: Colour,
        #[arg(
            long,
            env = "CONFIG_TEST_KEY",
            value_name = "32 BYTES IN HEX",
            hide_env_values = true
        )]
        key: u64,
        #[arg(long, env = "CONFIG_TEST_URL", value_name = "URL")]
        url: String,
        #[command(flatten)]
        lifecycle: Config,
        #[command(subcommand)]
        command: Option<Command>,
    }

    fn error(args: &[&str]) -> String {
        let required = ["shop", "--key", "1", "--url", "http://catalog"];
        parse_from::<Settings>(required.iter().chain(args))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn each_service_has_its_own_admin_port() {
        let settings: Settings =
            parse_from(["shop", "--key", "1", "--url", "x", "migrate"]).unwrap();
        assert_eq!(
            settings.lifecycle.admin_listen.to_string(),
            "127.0.0.1:9091"
        );
        assert!(matches!(settings.command, Some(Command::Migrate)));
        assert_eq!(settings.lifecycle.drain_delay, Duration::from_secs(5));
    }

    #[test]
    fn a_bad_address_is_named_with_an_example() {
        assert_eq!(
            error(&["--listen", "abc"]),
            "--listen (CONFIG_TEST_LISTEN): 'abc' is not valid: invalid socket address syntax; hint: takes ADDRESS:PORT, for example 0.0.0.0:50051"
        );
    }

    #[test]
    fn a_bad_duration_is_named_with_an_example() {
        let error = error(&["--drain-delay", "soon"]);
        assert!(
            error.starts_with("--drain-delay (DRAIN_DELAY): 'soon' is not valid: "),
            "{error}"
        );
        assert!(
            error.ends_with("; hint: takes DURATION, for example 5s"),
            "{error}"
        );
    }

    #[test]
    fn a_bad_number_is_named_with_its_range() {
        assert_eq!(
            error(&["--limit", "513"]),
            "--limit (CONFIG_TEST_LIMIT): '513' is not valid: 513 is not in 1..=512; hint: takes NUMBER, for example 10"
        );
        assert!(error(&["--limit="]).starts_with("--limit (CONFIG_TEST_LIMIT): '' is not valid"));
    }

    #[test]
    fn a_bad_choice_is_named_with_all_choices() {
        assert_eq!(
            error(&["--colour", "blue"]),
            "--colour (CONFIG_TEST_COLOUR): 'blue' is not valid; hint: takes red or green"
        );
    }

    #[test]
    fn missing_settings_are_all_named() {
        let error = parse_from::<Settings>(["shop"]).unwrap_err().to_string();
        assert_eq!(
            error,
            "--key (CONFIG_TEST_KEY): not set; hint: takes 32 BYTES IN HEX; --url (CONFIG_TEST_URL): not set; hint: takes URL"
        );
    }

    #[test]
    fn unknown_flags_and_commands_get_a_suggestion() {
        assert_eq!(
            error(&["--lisen", "x"]),
            "--lisen: no such flag; hint: did you mean --listen?"
        );
        assert_eq!(
            error(&["--qqq=secret"]),
            "--qqq: no such flag; hint: --help lists them"
        );
        assert_eq!(
            error(&["migrat"]),
            "migrat: no such command; hint: did you mean migrate?"
        );
    }

    #[test]
    fn secrets_are_never_repeated() {
        let settings = parse_from::<Settings>(["shop", "--key", "hunter2", "--url", "x"]);
        let key = settings.unwrap_err().to_string();
        assert_eq!(
            key,
            "--key (CONFIG_TEST_KEY): '***' is not valid; hint: takes 32 BYTES IN HEX"
        );
        for stray in [
            error(&["postgres://shop:hunter2@db/shop"]),
            error(&["migrate", "hunter2"]),
        ] {
            assert_eq!(
                stray,
                "an argument is neither a flag nor a command; hint: --help lists them"
            );
        }
    }

    #[test]
    fn a_mistake_is_one_line() {
        for args in [
            &["--listen", "a\nb"][..],
            &["--listen", "a", "--listen", "b"],
            &["--listen"],
            &["--key=1", "--url=\n"],
        ] {
            assert_eq!(error(args).lines().count(), 1, "{args:?}");
        }
    }
}

//! Settings and their documentation.

use std::process::Command;

use gateway::app::{Config, CookieKey};
use gateway::problem::Kind;

#[test]
fn the_readme_lists_the_settings_and_problems_as_they_are() {
    let readme = include_str!("../../README.md");
    let settings = lifecycle::settings::markdown::<Config>();
    assert!(
        readme.contains(&settings),
        "run `gateway settings` and put this into README.md:\n{settings}"
    );

    let row = |kind: &Kind| {
        format!(
            "| `{}` | {} | {} |\n",
            kind.slug(),
            kind.status().as_u16(),
            kind.about()
        )
    };
    let problems: String = Kind::ALL.iter().map(row).collect();
    assert!(
        readme.contains(&problems),
        "put this into README.md:\n{problems}"
    );
}

#[test]
fn a_cookie_key_is_64_bytes_in_hex_or_base64() {
    let padded = format!("{}QQ==", "QUJD".repeat(21));
    for good in [
        &"0f".repeat(64),
        &"AF".repeat(80),
        &"QUJD".repeat(22),
        &padded,
    ] {
        assert!(good.parse::<CookieKey>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "secret",
        &"0f".repeat(63),
        &"0f".repeat(64)[1..],
        &"!?".repeat(64),
        &"é".repeat(64),
    ] {
        assert!(bad.parse::<CookieKey>().is_err(), "{bad}");
    }
}

#[test]
fn a_wrong_cookie_key_is_not_repeated() {
    let error =
        lifecycle::parse_from::<Config>(["gateway", "--cookie-key", "hunter2"]).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("--cookie-key (COOKIE_KEY)") && error.contains("64 BYTES"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
    let key = "0f".repeat(64);
    let config: Config = lifecycle::parse_from(["gateway", "--cookie-key", &key]).unwrap();
    assert!(!format!("{config:?}").contains("0f0f"));
}

#[test]
fn a_wrong_setting_ends_the_process_with_64_and_one_line() {
    for (name, value, hint) in [
        ("LISTEN", "abc", "ADDRESS:PORT"),
        ("CATALOG_URL", "catalog:50051", "URL"),
        ("PUBLIC_URL", "shop.example", "https://HOST"),
        ("MAX_CONCURRENT", "0", "REQUESTS"),
        ("COOKIE_KEY", "secret", "64 BYTES"),
    ] {
        let mut gateway = Command::new(env!("CARGO_BIN_EXE_gateway"));
        let ended = gateway.env_clear().env(name, value).output().unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(64), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(name) && stderr.contains(hint), "{stderr}");
    }
}

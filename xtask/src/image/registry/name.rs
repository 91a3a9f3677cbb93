//! What a repository is called, and where a URL may lead.

use std::net::IpAddr;

use crate::hint::fail;

/// A repository of a registry.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Name {
    /// Host and port, as people write them and as credentials are kept.
    pub(super) host: String,
    pub(super) path: String,
}

impl Name {
    /// Reads `host[:port]/path`.
    pub(super) fn parse(repository: &str) -> anyhow::Result<Self> {
        let part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
                && !part.starts_with(['.', '_', '-'])
        };
        match repository.split_once('/') {
            Some((host, path)) if is_host(host) && path.split('/').all(part) => Ok(Self {
                host: host.to_owned(),
                path: path.to_owned(),
            }),
            _ => fail(
                format!("{repository:?} is no repository"),
                "a repository is HOST[:PORT]/PATH, the path in lower case: registry.example/shop/catalog",
            ),
        }
    }

    /// The registry's origin: scheme and authority.
    pub(super) fn origin(&self) -> String {
        match self.host.as_str() {
            "docker.io" => "https://registry-1.docker.io".to_owned(),
            host if is_loopback(host) => format!("http://{host}"),
            host => format!("https://{host}"),
        }
    }

    /// The URL of something of this repository.
    pub(super) fn url(&self, rest: &str) -> String {
        format!("{}/v2/{}/{rest}", self.origin(), self.path)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

/// Whether a URL may be followed: what is sent without TLS stays on this machine.
pub(super) fn is_safe(url: &str) -> bool {
    let Some((scheme, authority)) = parts(url) else {
        return false;
    };
    !authority.contains('@') && (scheme == "https" || scheme == "http" && is_loopback(authority))
}

/// Whether two URLs have one scheme and authority, so that one's credentials may be sent to the other.
pub(super) fn is_same_origin(one: &str, other: &str) -> bool {
    parts(one).is_some_and(|one| parts(other) == Some(one))
}

/// Where a `Location` or `Link` leads from `url`.
pub(super) fn join(url: &str, location: &str) -> Option<String> {
    if location.starts_with('/') && !location.starts_with("//") {
        let (scheme, authority) = parts(url)?;
        return Some(format!("{scheme}://{authority}{location}"));
    }
    parts(location).map(|_| location.to_owned())
}

/// The host of a URL, for messages: the rest of it may hold a signature or a password.
pub(super) fn host_of(url: &str) -> &str {
    parts(url).map_or("nowhere", |(_, authority)| {
        authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host)
    })
}

fn parts(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    (!authority.is_empty()).then_some((scheme, authority))
}

fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']'))
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(host, _)| host),
        None => authority
            .split_once(':')
            .map_or(authority, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_reached_without_tls() {
        for (host, origin) in [
            ("localhost:5000", "http://localhost:5000"),
            ("LOCALHOST", "http://LOCALHOST"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("127.9.9.9", "http://127.9.9.9"),
            ("[::1]:5000", "http://[::1]:5000"),
            ("[::2]:5000", "https://[::2]:5000"),
            ("10.0.0.1:5000", "https://10.0.0.1:5000"),
            ("localhost.example", "https://localhost.example"),
            ("127.0.0.1.example", "https://127.0.0.1.example"),
            ("ghcr.io", "https://ghcr.io"),
            ("docker.io", "https://registry-1.docker.io"),
        ] {
            let name = Name::parse(&format!("{host}/shop/catalog")).unwrap();
            assert_eq!(name.origin(), origin);
        }
    }

    #[test]
    fn a_url_is_followed_when_it_is_safe() {
        assert!(is_safe("https://bucket.example/blob?sig=1"));
        assert!(is_safe("http://127.0.0.1:1/x"));
        for url in [
            "http://registry.example/x",
            "http://127.0.0.1@registry.example/x",
            "http://localhost:x@registry.example/",
            "ftp://127.0.0.1/x",
            "file:///etc/passwd",
            "/relative",
        ] {
            assert!(!is_safe(url), "{url}");
        }
    }

    #[test]
    fn locations_are_read_from_where_they_were_given() {
        let url = "https://registry.example:444/v2/a/blobs/uploads/?x=1";
        let join = |location| join(url, location);
        assert_eq!(
            join("/v2/a?y=2").unwrap(),
            "https://registry.example:444/v2/a?y=2"
        );
        assert_eq!(join("http://other/z").unwrap(), "http://other/z");
        assert_eq!(join("//other/z"), None);
        assert_eq!(join("z"), None);
    }

    #[test]
    fn what_is_no_repository_is_refused() {
        for repository in [
            "catalog",
            "host/",
            "host//x",
            "host/Upper",
            "host/a/../b",
            "user@host/a",
            "host/a:b",
            "",
        ] {
            assert!(Name::parse(repository).is_err(), "{repository}");
        }
    }
}

//! Requests to a registry: with its login, followed where it sends them, and tried again when it is
//! busy or away.

use std::{io, sync::Arc, time::Duration};

use jiff::Timestamp;
use ureq::{
    Agent, Body, Proxy,
    http::{HeaderMap, Method, Request, Response, header},
    tls::{RootCerts, TlsConfig},
};

use super::{
    auth::Auth,
    credentials::Credentials,
    errors::{self, said},
    name::{Name, host_of, is_safe, is_same_origin, join},
    retry::{Failed, Patience, retry_after},
};
use crate::hint::fail;

/// Manifests and documents are far smaller, images of services too.
const LONGEST_BODY: u64 = 256 << 20;
const REDIRECTS: usize = 5;

/// A client for registries.
pub(super) struct Client {
    /// Loopback is never reached through a proxy.
    near: Agent,
    far: Agent,
    auth: Auth,
    pub(super) patience: Patience,
}

/// A request to a repository.
#[derive(Clone)]
pub(super) struct Call<'a> {
    pub(super) name: &'a Name,
    method: Method,
    url: String,
    scope: Vec<String>,
    headers: Vec<(header::HeaderName, &'a str)>,
    body: Option<&'a [u8]>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    url: String,
}

impl<'a> Call<'a> {
    /// A request that reads.
    pub(super) fn read(name: &'a Name, method: Method, url: String) -> Self {
        Self {
            name,
            method,
            url,
            scope: vec![format!("repository:{}:pull", name.path)],
            headers: Vec::new(),
            body: None,
        }
    }

    /// A request that writes.
    pub(super) fn write(name: &'a Name, method: Method, url: String, body: &'a [u8]) -> Self {
        Self {
            scope: vec![format!("repository:{}:pull,push", name.path)],
            body: Some(body),
            ..Self::read(name, method, url)
        }
    }

    pub(super) fn header(mut self, name: header::HeaderName, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Asks for leave to read another repository too.
    pub(super) fn and_read(mut self, path: &str) -> Self {
        self.scope.push(format!("repository:{path}:pull"));
        self
    }
}

impl Client {
    pub(super) fn new(credentials: Credentials, patience: Patience) -> Self {
        Self {
            near: agent(patience, None),
            far: agent(patience, Proxy::try_from_env()),
            auth: Auth::new(credentials),
            patience,
        }
    }

    /// Sends a request that may arrive twice.
    pub(super) fn send(&self, call: &Call) -> anyhow::Result<Answer> {
        self.patience.persist(|| self.once(call))
    }

    /// Sends a request once; a second time only to log in.
    pub(super) fn once(&self, call: &Call) -> Result<Answer, Failed> {
        let mut refused = false;
        loop {
            let login = self.auth.header(self, call.name, &call.scope)?;
            let answer = self.follow(call, login.as_deref())?;
            match answer.status {
                401 if !refused => {
                    refused = true;
                    self.auth
                        .challenged(call.name, login.as_deref(), &answer.headers)?;
                }
                401 => return Ok(self.auth.refused(call.name, &said(&answer))?),
                _ => return Ok(answer),
            }
        }
    }

    /// The error for an answer that does what was asked for only in part, or not at all.
    pub(super) fn unexpected<T>(&self, name: &Name, answer: &Answer) -> anyhow::Result<T> {
        if answer.status == 403 {
            return self.auth.refused(name, &said(answer));
        }
        errors::unexpected(name, answer)
    }

    pub(super) fn agent(&self, url: &str) -> &Agent {
        if url.starts_with("http:") {
            &self.near
        } else {
            &self.far
        }
    }

    fn follow(&self, call: &Call, login: Option<&str>) -> Result<Answer, Failed> {
        let mut url = call.url.clone();
        let origin = call.name.origin();
        for _ in 0..REDIRECTS {
            if !is_safe(&url) {
                return Ok(fail(
                    format!("{} leads to {} without TLS", call.name.host, host_of(&url)),
                    "have it give https URLs (behind a proxy that ends TLS: X-Forwarded-Proto, or http.host in its configuration); http is for loopback only",
                )?);
            }
            // A login is for the registry alone: what is elsewhere is signed, or free.
            let login = login.filter(|_| is_same_origin(&url, &origin));
            let answer = self.exchange(call, &url, login)?;
            let follows = match answer.status {
                307 | 308 => true,
                301..=303 => call.method == Method::GET || call.method == Method::HEAD,
                _ => return Ok(answer),
            };
            match answer.location().filter(|_| follows) {
                Some(location) => url = location,
                None => return Ok(answer),
            }
        }
        Ok(fail(
            format!("{} leads in a circle", call.name.host),
            "see its configuration for redirects",
        )?)
    }

    fn exchange(&self, call: &Call, url: &str, login: Option<&str>) -> Result<Answer, Failed> {
        let mut request = Request::builder().method(&call.method).uri(url);
        for (name, value) in &call.headers {
            request = request.header(name, *value);
        }
        if let Some(login) = login {
            request = request.header(header::AUTHORIZATION, login);
        }
        let agent = self.agent(url);
        let answer = match call.body {
            Some(body) => request.body(body).map(|request| agent.run(request)),
            None => request.body(()).map(|request| agent.run(request)),
        };
        match answer {
            Ok(answer) => Answer::read(url, answer),
            Err(_) => Ok(fail(
                format!("{} gives a URL or a token that is none", call.name.host),
                "see its configuration",
            )?),
        }
    }
}

impl Answer {
    /// Reads an answer to its end. One that says "later" is a failure that may pass.
    pub(super) fn read(
        url: &str,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<Self, Failed> {
        let answer = answer.or_else(|error| failed(url, &error))?;
        let (parts, mut body) = answer.into_parts();
        let body = body
            .with_config()
            .limit(LONGEST_BODY)
            .read_to_vec()
            .or_else(|error| failed(url, &error))?;
        let status = parts.status.as_u16();
        if matches!(status, 408 | 429 | 500 | 502..=504) {
            let after = parts.headers.get(header::RETRY_AFTER);
            return Err(Failed::Passing {
                reason: format!("{} answers {status}", host_of(url)),
                after: after.and_then(|value| retry_after(value.to_str().ok()?, Timestamp::now())),
            });
        }
        Ok(Self {
            status,
            headers: parts.headers,
            body,
            url: url.to_owned(),
        })
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Where it sends.
    pub(super) fn location(&self) -> Option<String> {
        join(&self.url, self.header("location")?)
    }

    /// The next page of a list (RFC 8288).
    pub(super) fn next(&self) -> Option<String> {
        let link = self.header("link")?;
        let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = rest.contains("rel=\"next\"") || rest.contains("rel=next");
        join(&self.url, target).filter(|_| next)
    }

    /// Whether the registry gives this code for its error, or says so in its words.
    pub(super) fn says(&self, code: &str) -> bool {
        errors::errors(&self.body)
            .iter()
            .any(|error| error.code == code || error.message.contains(code))
    }
}

fn agent(patience: Patience, proxy: Option<Proxy>) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections_per_host(8)
        .proxy(proxy)
        .timeout_connect(Some(patience.silence.min(Duration::from_secs(10))))
        .timeout_per_read(Some(patience.silence))
        .timeout_per_write(Some(patience.silence))
        .tls_config(tls)
        .user_agent(concat!("slipway-xtask/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// A connection may work the next time; a certificate does not get better.
fn failed<T>(url: &str, error: &ureq::Error) -> Result<T, Failed> {
    let host = host_of(url);
    match error {
        ureq::Error::Rustls(_) => untrusted(host, error),
        ureq::Error::Io(inner) if inner.kind() == io::ErrorKind::InvalidData => {
            untrusted(host, inner)
        }
        ureq::Error::Io(_)
        | ureq::Error::Timeout(_)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::ConnectProxyFailed(_)
        | ureq::Error::Protocol(_)
        | ureq::Error::BodyStalled => Err(Failed::passing(format!("{host}: {error}"))),
        ureq::Error::BodyExceedsLimit(limit) => Ok(fail(
            format!("{host} sends more than {} MiB", limit >> 20),
            "images of services are far smaller: see what was pushed there",
        )?),
        // Its text may hold the URL.
        _ => Ok(fail(
            format!("{host} cannot be asked: the request is not a proper one"),
            "see the registry's address and its configuration",
        )?),
    }
}

fn untrusted<T>(host: &str, error: &dyn std::fmt::Display) -> Result<T, Failed> {
    Ok(fail(
        format!("{host}: {error}"),
        "its certificate must come from an authority that this machine trusts (SSL_CERT_FILE names others)",
    )?)
}

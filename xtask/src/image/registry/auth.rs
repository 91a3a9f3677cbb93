//! Logging in: HTTP's Basic, and the tokens of the distribution project's specification
//! (distribution.github.io/distribution/spec/auth).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use docker_credential::DockerCredential;
use serde::Deserialize;
use ureq::http::{HeaderMap, header::WWW_AUTHENTICATE};

use super::{
    client::{Answer, Client},
    credentials::Credentials,
    name::{Name, host_of, is_safe},
    retry::Failed,
};
use crate::hint::fail;

/// What is known of the registries' ways to log in.
pub(super) struct Auth {
    credentials: Credentials,
    hosts: Mutex<HashMap<String, Host>>,
}

#[derive(Default)]
struct Host {
    challenge: Option<Challenge>,
    /// Looked up once, and again when the registry refuses it: helpers give passwords that expire.
    credential: Option<Option<Arc<DockerCredential>>>,
    /// By scope.
    tokens: HashMap<String, Token>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: String },
}

struct Token {
    header: String,
    until: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    /// The same by OAuth 2's name. Some give both.
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Auth {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            hosts: Mutex::default(),
        }
    }

    /// The `Authorization` header for a scope: none until the registry asks for one.
    pub(super) fn header(
        &self,
        client: &Client,
        name: &Name,
        scope: &[String],
    ) -> Result<Option<String>, Failed> {
        // Held while a token is fetched: uploads side by side share one.
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.entry(name.host.clone()).or_default();
        let Some(challenge) = &host.challenge else {
            return Ok(None);
        };
        let key = scope.join(" ");
        if let Some(token) = host.tokens.get(&key).filter(|it| Instant::now() < it.until) {
            return Ok(Some(token.header.clone()));
        }
        let credential = match &host.credential {
            Some(credential) => credential.clone(),
            None => {
                let found = self.credentials.find(&name.host)?.map(Arc::new);
                host.credential.insert(found).clone()
            }
        };
        match challenge {
            Challenge::Basic => match credential.as_deref() {
                Some(DockerCredential::UsernamePassword(user, password)) => {
                    Ok(Some(basic(user, password)))
                }
                _ => Ok(self.refused(name, "")?),
            },
            Challenge::Bearer { realm, service } => {
                let token =
                    self.token(client, name, realm, service, scope, credential.as_deref())?;
                let header = token.header.clone();
                host.tokens.insert(key, token);
                Ok(Some(header))
            }
        }
    }

    /// Takes in that the registry refused a request with this header, and how to log in.
    pub(super) fn challenged(
        &self,
        name: &Name,
        used: Option<&str>,
        headers: &HeaderMap,
    ) -> anyhow::Result<()> {
        let Some(challenge) = Challenge::of(headers) else {
            return self.refused(name, "");
        };
        if let Challenge::Bearer { realm, .. } = &challenge
            && !is_safe(realm)
        {
            return fail(
                format!(
                    "{} sends to {} for tokens without TLS",
                    name.host,
                    host_of(realm)
                ),
                "its realm must be an https URL; http is for loopback only",
            );
        }
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.entry(name.host.clone()).or_default();
        host.challenge = Some(challenge);
        host.credential = None;
        // One that somebody has renewed meanwhile stays.
        host.tokens
            .retain(|_, token| Some(token.header.as_str()) != used);
        Ok(())
    }

    /// The error for a login that does not suffice, with what the registry said.
    pub(super) fn refused<T>(&self, name: &Name, said: &str) -> anyhow::Result<T> {
        fail(
            format!("{} refuses access to {}{said}", name.host, name.path),
            self.credentials.advice(&name.host),
        )
    }

    fn token(
        &self,
        client: &Client,
        name: &Name,
        realm: &str,
        service: &str,
        scope: &[String],
        credential: Option<&DockerCredential>,
    ) -> Result<Token, Failed> {
        let agent = client.agent(realm);
        let asked = Instant::now();
        let answer = if let Some(DockerCredential::IdentityToken(token)) = credential {
            let scope = scope.join(" ");
            agent.post(realm).send_form([
                ("grant_type", "refresh_token"),
                ("client_id", "slipway"),
                ("service", service),
                ("scope", &scope),
                ("refresh_token", token),
            ])
        } else {
            let mut request = agent.get(realm).query("service", service);
            for scope in scope {
                request = request.query("scope", scope);
            }
            if let Some(DockerCredential::UsernamePassword(user, password)) = credential {
                request = request.header("Authorization", basic(user, password));
            }
            request.call()
        };
        let answer = Answer::read(realm, answer)?;
        if matches!(answer.status, 400 | 401 | 403) {
            return Ok(self.refused(name, "")?);
        }
        let parsed: Option<TokenAnswer> = (answer.status == 200)
            .then(|| serde_json::from_slice(&answer.body).ok())
            .flatten();
        let expires_in = parsed.as_ref().and_then(|answer| answer.expires_in);
        let Some(token) = parsed.and_then(|answer| answer.token.or(answer.access_token)) else {
            return Ok(fail(
                format!("{} gives no token for {name}", host_of(realm)),
                format!("it answers {}; see its log", answer.status),
            )?);
        };
        // Without a word it is 60 s. Renewed a little earlier: requests take time to arrive.
        let valid = Duration::from_secs(expires_in.unwrap_or(60).min(24 * 60 * 60));
        Ok(Token {
            header: format!("Bearer {token}"),
            until: asked + valid - (valid / 4).min(Duration::from_secs(10)),
        })
    }
}

impl Challenge {
    /// A token is preferred where a registry takes both.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let challenges: Vec<Self> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| Self::parse(value.to_str().ok()?))
            .collect();
        let bearer = challenges.iter().find(|it| **it != Self::Basic);
        bearer.or(challenges.first()).cloned()
    }

    fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest);
        Some(Self::Bearer {
            realm: parameters.get("realm")?.clone(),
            service: parameters.get("service").cloned().unwrap_or_default(),
        })
    }
}

/// `name=value` and `name="quoted value"`, with commas in between (RFC 9110, 11.2).
fn parameters(mut rest: &str) -> HashMap<String, String> {
    let mut parameters = HashMap::new();
    while let Some((name, value)) = rest.split_once('=') {
        let value = value.trim_start();
        let mut text = String::new();
        let mut characters = value.char_indices();
        let quoted = value.starts_with('"');
        if quoted {
            characters.next();
        }
        let mut end = value.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' if quoted => text.extend(characters.next().map(|(_, it)| it)),
                '"' if quoted => {
                    end = at + 1;
                    break;
                }
                ',' if !quoted => {
                    end = at;
                    break;
                }
                other => text.push(other),
            }
        }
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        let text = if quoted { &text } else { text.trim_end() };
        parameters.insert(name, text.to_owned());
        rest = &value[end..];
    }
    parameters
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = |realm: &str, service: &str| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.to_owned(),
            })
        };
        for (header, challenge) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                bearer("https://auth.docker.io/token", "registry.docker.io"),
            ),
            (
                r#"bearer service = "a \"b\"", realm=https://t.example/x , error="invalid_token""#,
                bearer("https://t.example/x", "a \"b\""),
            ),
            (
                r#"Bearer realm="https://t.example""#,
                bearer("https://t.example", ""),
            ),
            (r#"Basic realm="a, b=c""#, Some(Challenge::Basic)),
            ("Basic", Some(Challenge::Basic)),
            ("Bearer", None),
            ("Negotiate", None),
        ] {
            assert_eq!(Challenge::parse(header), challenge, "{header}");
        }
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "Basic realm=\"x\"".parse().unwrap());
        headers.append(
            WWW_AUTHENTICATE,
            "Bearer realm=\"https://t.example\"".parse().unwrap(),
        );
        assert!(matches!(
            Challenge::of(&headers),
            Some(Challenge::Bearer { .. })
        ));
    }
}

//! The tags `<service>-v<x.y.z>`: their names, and what stands in them.

use jiff::Timestamp;
use semver::Version;

const KEY: &str = "Slipway-Key: ";
const DIGEST: &str = "Slipway-Digest: ";

/// The tag's name.
pub(crate) fn name(service: &str, version: &Version) -> String {
    format!("{service}-v{version}")
}

/// The version that a tag's name holds, if it is one of this service's releases.
pub(super) fn version(service: &str, name: &str) -> Option<Version> {
    let version = name.strip_prefix(service)?.strip_prefix("-v")?;
    let version = Version::parse(version).ok()?;
    (version.pre.is_empty() && version.build.is_empty()).then_some(version)
}

/// What a tag says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// When it was made; for a tag without an object of its own, when its commit was.
    pub(super) at: Timestamp,
    /// The message without its first line and the trailers: the changelog.
    pub(super) changelog: String,
    /// The content key and the image's digest, unless a person made the tag.
    pub(super) made: Option<(String, String)>,
}

/// The message of a tag.
pub(super) fn message(
    service: &str,
    version: &Version,
    changelog: &str,
    key: &str,
    digest: &str,
) -> String {
    format!(
        "{service} {version}\n\n{}\n\n{KEY}{key}\n{DIGEST}{digest}\n",
        changelog.trim_end()
    )
}

/// Reads a tag object, or the commit that a tag without one stands on.
pub(super) fn parse(object: &str) -> Option<Tag> {
    let (head, message) = object.split_once("\n\n").unwrap_or((object, ""));
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    let tagger = field("tagger ");
    let at = tagger
        .or(field("committer "))?
        .rsplit_once("> ")?
        .1
        .split(' ')
        .next()?;
    let at = Timestamp::from_second(at.parse().ok()?).ok()?;
    if tagger.is_none() {
        return Some(Tag {
            at,
            changelog: String::new(),
            made: None,
        });
    }
    let (_, body) = message.split_once('\n').unwrap_or_default();
    let body = body.trim_end();
    let last = body.rfind("\n\n").map_or(0, |at| at + 2);
    let trailer = |name: &str| {
        body[last..]
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::to_owned)
    };
    let made = trailer(KEY).zip(trailer(DIGEST));
    let changelog = if made.is_some() { &body[..last] } else { body };
    Some(Tag {
        at,
        changelog: changelog.trim().to_owned(),
        made,
    })
}

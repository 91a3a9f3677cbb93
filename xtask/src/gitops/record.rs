//! `image.yaml`: what an environment runs of a service. The only file that automation writes.

use jiff::Timestamp;

use super::yaml::Yaml;

/// What is recorded for a service in an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Registry and path, without tag.
    pub(crate) repository: String,
    /// The version.
    pub(crate) tag: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub(crate) digest: String,
    /// The content key of what was built.
    pub(crate) key: String,
    /// The commit that was released.
    pub(crate) source: String,
    /// Since when the environment runs it.
    pub(crate) at: Timestamp,
    /// Set by a rollback: release and promote leave the service alone.
    pub(crate) hold: Option<Hold>,
}

/// Why and until when a service is left alone.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Hold {
    pub(crate) reason: String,
    /// Without it, until it is resumed.
    pub(crate) until: Option<Timestamp>,
    pub(crate) by: String,
}

impl Hold {
    /// Says so.
    pub(crate) fn note(&self, environment: &str, service: &str) -> String {
        let until = self
            .until
            .map_or("it is resumed".to_owned(), |until| until.to_string());
        format!(
            "{service} is held in {environment} until {until}, by {}: {}",
            self.by, self.reason
        )
    }
}

const HOLD: [&str; 2] = ["release", "hold"];

impl Record {
    /// Reads a record. A file in which no image is named yet, such as one that a person prepared,
    /// holds none.
    pub(crate) fn read(yaml: &Yaml) -> anyhow::Result<Option<Self>> {
        let Some(digest) = yaml.string(&["image", "digest"])? else {
            return Ok(None);
        };
        let hold = match yaml.find(&HOLD)? {
            Some(node) if !node.is_null() => Some(Hold {
                reason: field(yaml, &["release", "hold", "reason"], |_| true)?,
                until: match yaml.string(&["release", "hold", "until"])? {
                    Some(_) => Some(time(yaml, &["release", "hold", "until"])?),
                    None => None,
                },
                by: field(yaml, &["release", "hold", "by"], |_| true)?,
            }),
            _ => None,
        };
        Ok(Some(Self {
            repository: field(yaml, &["image", "repository"], is_word)?,
            tag: field(yaml, &["image", "tag"], is_word)?,
            digest: field(yaml, &["image", "digest"], |_| is_digest(&digest))?,
            key: field(yaml, &["release", "key"], is_word)?,
            source: field(yaml, &["release", "source"], is_commit)?,
            at: time(yaml, &["release", "at"])?,
            hold,
        }))
    }

    /// The file's text with this record in it: `old` with its own lines changed, or a new file.
    pub(crate) fn write(&self, name: &str, old: Option<&str>) -> anyhow::Result<String> {
        let mut yaml = Yaml::parse(name, old.unwrap_or_default())?;
        if yaml.is_empty() {
            yaml = Yaml::parse(name, &with_skeleton(yaml.text()))?;
        }
        let at = self.at.to_string();
        for (path, value) in [
            (["image", "repository"], &self.repository),
            (["image", "tag"], &self.tag),
            (["image", "digest"], &self.digest),
            (["release", "key"], &self.key),
            (["release", "source"], &self.source),
            (["release", "at"], &at),
        ] {
            yaml.set(&path, value)?;
        }
        match &self.hold {
            None => yaml.remove(&HOLD)?,
            Some(hold) => {
                yaml.set(&["release", "hold", "reason"], &hold.reason)?;
                match hold.until {
                    Some(until) => yaml.set(&["release", "hold", "until"], &until.to_string())?,
                    None => yaml.remove(&["release", "hold", "until"])?,
                }
                yaml.set(&["release", "hold", "by"], &hold.by)?;
            }
        }
        Ok(yaml.text().to_owned())
    }

    /// The hold, unless its time is over.
    pub(crate) fn held(&self, now: Timestamp) -> Option<&Hold> {
        self.hold
            .as_ref()
            .filter(|hold| hold.until.is_none_or(|until| now < until))
    }
}

/// A file's first content, after the comments that stand in it already.
fn with_skeleton(comments: &str) -> String {
    let newline = if comments.is_empty() || comments.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let fields = "image:\n  repository: x\n  tag: \"\"\n  digest: x\nrelease:\n  key: x\n  source: x\n  at: \"\"\n";
    format!("{comments}{newline}{fields}")
}

/// A string that must be there and be right.
fn field(yaml: &Yaml, path: &[&str], is_right: impl Fn(&str) -> bool) -> anyhow::Result<String> {
    let hint = "every record has image.repository, tag and digest, and release.key, source (a commit) and at (a time in UTC); copy the form of another service's image.yaml";
    let Some(value) = yaml.string(path)? else {
        return yaml.missing(path, hint);
    };
    if !is_right(&value) {
        return yaml.refuse(
            path,
            &format!("`{}` cannot be {value:?}", path.join(".")),
            hint,
        );
    }
    Ok(value)
}

fn time(yaml: &Yaml, path: &[&str]) -> anyhow::Result<Timestamp> {
    let text = field(yaml, path, |text| text.parse::<Timestamp>().is_ok())?;
    Ok(text.parse()?)
}

/// One word that no program takes for an option.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// `sha256:` and 64 hexadecimal digits.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hash| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A whole commit id, SHA-1 or SHA-256.
pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;

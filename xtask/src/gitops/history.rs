//! The history of what environments ran: the trailers of the commits that recorded it.

use jiff::Timestamp;

use super::record::{Record, is_commit, is_digest};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Release,
    Promote,
    Rollback,
    Resume,
}

impl Action {
    const ALL: [Self; 4] = [Self::Release, Self::Promote, Self::Rollback, Self::Resume];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Resume => "resume",
        }
    }
}

/// One service in one recording commit.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Entry {
    pub(crate) commit: String,
    pub(crate) at: Timestamp,
    pub(crate) by: String,
    pub(crate) action: Action,
    pub(crate) environment: String,
    pub(crate) service: String,
    pub(crate) version: String,
    pub(crate) digest: String,
    pub(crate) key: String,
    pub(crate) source: String,
    /// The source commit's own time, where it was known.
    pub(crate) committed: Option<Timestamp>,
    /// What was broken, where this was marked as the fix.
    pub(crate) fix: Option<String>,
}

impl Entry {
    /// Whether it brought something new, rather than going back or lifting a hold.
    pub(crate) fn deploys(&self) -> bool {
        matches!(self.action, Action::Release | Action::Promote)
    }
}

/// What git log is asked for: fields divided by U+001F, whatever a person has set for it.
pub(super) const LOG: [&str; 8] = [
    "log",
    "-z",
    "--reverse",
    "--encoding=UTF-8",
    "--no-show-signature",
    "--basic-regexp",
    "--grep=^Slipway-Action: ",
    "--format=%H%x1f%ct%x1f%an <%ae>%x1f%(trailers:only,unfold)",
];

/// One service of a commit that is to be written.
pub(super) struct Line<'a> {
    pub(super) service: &'a str,
    pub(super) before: Option<&'a str>,
    pub(super) after: &'a Record,
    pub(super) committed: Option<Timestamp>,
}

/// The message of a recording commit: a line and a paragraph for people, and the trailers.
pub(super) fn message(
    action: Action,
    environment: &str,
    lines: &[Line<'_>],
    marks: &[(&str, String)],
) -> String {
    let name = action.name();
    let what = match lines {
        [one] => format!("{} {}", one.service, one.after.tag),
        many => format!("{} services", many.len()),
    };
    let mut message = format!("{name}({environment}): {what}\n\n");
    for Line {
        service,
        before,
        after,
        ..
    } in lines
    {
        message.push_str(&format!(
            "{service} {} -> {}\n",
            before.unwrap_or("(new)"),
            after.tag
        ));
    }
    message.push('\n');
    let mut trailer =
        |name: &str, value: &str| message.push_str(&format!("Slipway-{name}: {value}\n"));
    trailer("Action", name);
    trailer("Environment", environment);
    for (mark, text) in marks {
        trailer(mark, text);
    }
    for Line {
        service,
        after,
        committed,
        ..
    } in lines
    {
        trailer("Service", service);
        trailer("Version", &after.tag);
        trailer("Digest", &after.digest);
        trailer("Key", &after.key);
        trailer("Source", &after.source);
        if let Some(committed) = committed {
            trailer("Committed", &committed.to_string());
        }
    }
    message
}

/// Reads what [`LOG`] printed, oldest first. The second list names commits whose trailers make no
/// sense.
pub(super) fn parse(log: &str) -> (Vec<Entry>, Vec<String>) {
    let (mut entries, mut wrong) = (Vec::new(), Vec::new());
    for commit in log.split_terminator('\0') {
        match parse_commit(commit) {
            Some(services) => entries.extend(services),
            None => wrong.push(commit.chars().take(12).collect()),
        }
    }
    (entries, wrong)
}

fn parse_commit(text: &str) -> Option<Vec<Entry>> {
    let mut fields = text.splitn(4, '\u{1f}');
    let (commit, at, by, trailers) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let at = Timestamp::from_second(at.parse().ok()?).ok()?;
    let trailers: Vec<(&str, &str)> = trailers
        .lines()
        .filter_map(|line| line.strip_prefix("Slipway-")?.split_once(": "))
        .collect();
    let starts: Vec<usize> = (0..trailers.len())
        .filter(|at| trailers[*at].0 == "Service")
        .collect();
    let find = |among: &[(&str, &str)], name: &str| {
        among
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    };
    let head = &trailers[..*starts.first()?];
    let (action, environment) = (find(head, "Action")?, find(head, "Environment")?);
    let action = Action::ALL
        .into_iter()
        .find(|known| known.name() == action)?;
    let fix = find(head, "Fix");
    let ends = starts.iter().skip(1).copied().chain([trailers.len()]);
    let services = starts.iter().zip(ends).map(|(start, end)| {
        let own = &trailers[*start..end];
        Some(Entry {
            commit: commit.to_owned(),
            at,
            by: by.to_owned(),
            action,
            environment: environment.clone(),
            service: find(own, "Service")?,
            version: find(own, "Version")?,
            digest: find(own, "Digest").filter(|digest| is_digest(digest))?,
            key: find(own, "Key")?,
            source: find(own, "Source").filter(|source| is_commit(source))?,
            committed: find(own, "Committed").and_then(|time| time.parse().ok()),
            fix: fix.clone(),
        })
    });
    services.collect()
}

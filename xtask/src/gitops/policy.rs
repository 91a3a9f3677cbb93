//! `policy.yaml`: when an environment takes a promotion. People write it.

use std::time::Duration;

use jiff::{
    Timestamp, ZonedDateTime,
    civil::{Date, DateTime, Time, Weekday},
    tz::TimeZone,
};

use super::yaml::{Node, Yaml};

/// What an environment asks of a promotion.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    /// The environment whose releases it takes.
    pub(crate) source: Option<String>,
    /// How long the source environment must have run a release.
    pub(crate) soak: Duration,
    /// Whether the release must be healthy in the source environment, which Argo CD knows.
    pub(crate) health: bool,
    freezes: Vec<Freeze>,
}

/// A time in which nothing is promoted.
#[derive(Debug)]
struct Freeze {
    window: Window,
    zone: TimeZone,
    reason: String,
}

#[derive(Debug)]
enum Window {
    Weekly {
        from: (Weekday, Time),
        to: (Weekday, Time),
    },
    Dated {
        from: DateTime,
        to: DateTime,
    },
}

/// The freeze that is on, and when it ends.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) until: ZonedDateTime,
    pub(crate) reason: String,
}

const MOMENTS: &str = "write `Friday 16:00` (each week) or `2026-12-23 16:00` (once), with `from` and `to` of one kind, and a zone such as Europe/Berlin";

impl Policy {
    /// Reads a policy; unknown keys are errors, since a misspelt freeze would freeze nothing.
    pub(crate) fn read(yaml: &Yaml) -> anyhow::Result<Self> {
        let mut policy = Self::default();
        if yaml.is_empty() {
            return Ok(policy);
        }
        for (name, node) in yaml.fields(yaml.root(), &["source", "soak", "health", "freezes"])? {
            match name {
                "source" => policy.source = Some(yaml.text_of(node)?.to_owned()),
                "soak" => match humantime::parse_duration(yaml.text_of(node)?) {
                    Ok(soak) => policy.soak = soak,
                    Err(_) => {
                        return yaml.wrong(
                            node,
                            "`soak` is not a duration",
                            "write `30m`, `2h` or `1day 12h`",
                        );
                    }
                },
                "health" => match yaml.text_of(node)? {
                    "required" => policy.health = true,
                    "ignored" => policy.health = false,
                    _ => {
                        return yaml.wrong(
                            node,
                            "`health` is not known",
                            "write `required` or `ignored`",
                        );
                    }
                },
                _ => {
                    for item in yaml.items(node)? {
                        policy.freezes.push(Freeze::read(yaml, item)?);
                    }
                }
            }
        }
        Ok(policy)
    }

    /// The freeze that is on at this time; of several, the one that ends last.
    pub(crate) fn frozen(&self, now: Timestamp) -> Option<Frozen> {
        let on = self.freezes.iter().filter_map(|freeze| {
            let until = freeze
                .window
                .end_if_within(&now.to_zoned_datetime(freeze.zone.clone()))?;
            Some(Frozen {
                until,
                reason: freeze.reason.clone(),
            })
        });
        on.max_by(|a, b| a.until.cmp(&b.until))
    }
}

impl Freeze {
    fn read(yaml: &Yaml, node: &Node) -> anyhow::Result<Self> {
        let fields = yaml.fields(node, &["from", "to", "zone", "reason"])?;
        let text = |name: &str| match fields.iter().find(|(field, _)| *field == name) {
            Some((_, value)) => yaml.text_of(value),
            None => yaml.wrong(node, &format!("`{name}` is missing"), MOMENTS),
        };
        let Ok(zone) = TimeZone::get(text("zone")?) else {
            return yaml.wrong(
                node,
                &format!("the time zone {:?} is not known", text("zone")?),
                "write a name of the IANA database: Europe/Berlin, America/New_York, UTC",
            );
        };
        let Some(window) = Window::parse(text("from")?, text("to")?, &zone) else {
            return yaml.wrong(node, "`from` and `to` make no window", MOMENTS);
        };
        Ok(Self {
            window,
            zone,
            reason: text("reason")?.to_owned(),
        })
    }
}

impl Window {
    fn parse(from: &str, to: &str, zone: &TimeZone) -> Option<Self> {
        if let (Some(from), Some(to)) = (weekly(from), weekly(to)) {
            return (from != to).then_some(Self::Weekly { from, to });
        }
        let (from, to) = (dated(from)?, dated(to)?);
        // A time at the end of the calendar may be no moment in every zone.
        let moments = [from, to].map(|time| time.to_zoned_datetime(zone.clone()).is_ok());
        (from < to && moments == [true; 2]).then_some(Self::Dated { from, to })
    }

    /// When the window ends that this moment lies in. Times on the wall are turned into moments
    /// only at the end, so that a change of the clocks lengthens or shortens a window but never
    /// moves its ends; one that the clocks skip is read as if they had not been changed.
    fn end_if_within(&self, now: &ZonedDateTime) -> Option<ZonedDateTime> {
        let zone = now.time_zone();
        let within = |from: DateTime, to: DateTime| {
            let (from, to) = (
                from.to_zoned_datetime(zone.clone()).ok()?,
                to.to_zoned_datetime(zone.clone()).ok()?,
            );
            (from <= *now && *now < to).then_some(to)
        };
        match *self {
            Self::Dated { from, to } => within(from, to),
            Self::Weekly {
                from: (first, start),
                to: (last, end),
            } => {
                // The window that began on the latest `first`, or the week before where today's has
                // not begun.
                let today = now.date();
                let days = |from: Weekday, to: Weekday| i64::from(from.until(to));
                let began = today
                    .checked_sub(jiff::Span::new().days(days(first, today.weekday())))
                    .ok()?;
                let length = match days(first, last) {
                    0 if end < start => 7,
                    days => days,
                };
                [began, began.checked_sub(jiff::Span::new().days(7)).ok()?]
                    .into_iter()
                    .find_map(|day: Date| {
                        let ends = day.checked_add(jiff::Span::new().days(length)).ok()?;
                        within(day.to_datetime(start), ends.to_datetime(end))
                    })
            }
        }
    }
}

/// `Friday 16:00`, `Fri 16:00`.
fn weekly(text: &str) -> Option<(Weekday, Time)> {
    let (day, time) = text.split_once(' ')?;
    let names = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let day = day.to_ascii_lowercase();
    let index = names
        .iter()
        .position(|name| *name == day || name[..3] == day)?;
    let day = Weekday::from_monday_zero_offset(i8::try_from(index).ok()?).ok()?;
    Some((day, clock(time)?))
}

/// `2026-12-23 16:00`.
fn dated(text: &str) -> Option<DateTime> {
    let (date, time) = text.split_once([' ', 'T'])?;
    Some(date.parse::<Date>().ok()?.to_datetime(clock(time)?))
}

/// `16:00`.
fn clock(text: &str) -> Option<Time> {
    Time::strptime("%H:%M", text.trim()).ok()
}

#[cfg(test)]
mod tests;

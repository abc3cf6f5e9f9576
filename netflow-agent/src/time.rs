//! Moments, hours and windows. The pure rooms get every moment from outside: the clock is `sys::clock`.

use core::fmt;
use core::str::FromStr;

/// A moment: milliseconds since the Unix epoch, UTC. Written as RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// The text was no RFC 3339 date-time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time, such as 2026-11-20T10:00:00Z")]
pub struct NotATime;

impl Time {
    pub const MIN: Self = Self(i64::MIN);
    pub const MAX: Self = Self(i64::MAX);

    pub const fn from_milliseconds(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    pub const fn milliseconds(self) -> i64 {
        self.0
    }

    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The hour that this moment falls in.
    pub const fn hour(self) -> Hour {
        Hour(self.0.div_euclid(Hour::MILLISECONDS))
    }

    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => fmt::Display::fmt(&timestamp, f),
            // Only the sentinels are out of range, and they mark open ends.
            Err(_) => f.write_str("-"),
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Time {
    /// The form of the header `Date`: `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn from_http(text: &str) -> Option<Self> {
        jiff::fmt::rfc2822::parse(text).ok().map(|at| Self(at.timestamp().as_millisecond()))
    }
}

impl FromStr for Time {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        if let Some(seconds) = plain_utc(text.as_bytes()) {
            return Ok(Self::from_seconds(seconds));
        }
        text.parse::<jiff::Timestamp>().map(|at| Self(at.as_millisecond())).map_err(|_unparsed| NotATime)
    }
}

/// Seconds since the epoch of exactly `YYYY-MM-DDTHH:MM:SSZ`, the form that recordings hold by the million;
/// every other form, and every doubt, is left to jiff.
fn plain_utc(text: &[u8]) -> Option<i64> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1, b'Z'] = *text
    else {
        return None;
    };
    let two = |tens: u8, ones: u8| {
        (tens.is_ascii_digit() && ones.is_ascii_digit())
            .then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    };
    let year = two(y0, y1)? * 100 + two(y2, y3)?;
    let (month, day) = (two(m0, m1)?, two(d0, d1)?);
    let (hour, minute, second) = (two(h0, h1)?, two(n0, n1)?, two(s0, s1)?);
    // The 29th to 31st exist in some months only.
    if !(1..=12).contains(&month) || !(1..=28).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970-01-01, with years that begin in March so that the leap day comes last.
    let shifted = if month > 2 { year } else { year - 1 };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// A whole hour, counted from the Unix epoch. Written as the RFC 3339 time of its start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i64);

impl Hour {
    const MILLISECONDS: i64 = 3_600_000;

    pub const fn from_index(index: i64) -> Self {
        Self(index)
    }

    /// Hours since the Unix epoch.
    pub const fn index(self) -> i64 {
        self.0
    }

    pub const fn start(self) -> Time {
        Time(self.0.saturating_mul(Self::MILLISECONDS))
    }

    pub const fn end(self) -> Time {
        Time(self.0.saturating_add(1).saturating_mul(Self::MILLISECONDS))
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.start(), f)
    }
}

impl fmt::Debug for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A span of time, both ends included: a flow is in it when its [first, last] meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: Time,
    pub to: Time,
}

impl Window {
    pub const ALL: Self = Self { from: Time::MIN, to: Time::MAX };

    pub const fn meets(self, first: Time, last: Time) -> bool {
        first.0 <= self.to.0 && self.from.0 <= last.0
    }
}

/// What `--since` and `--until` take: a duration back from the window's end, or a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Ago { milliseconds: i64 },
    At(Time),
}

/// The text was neither a duration nor a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a duration (90m, 24h, 7d, 1w) nor an RFC 3339 time (2026-11-20T10:00:00Z)")]
pub struct NotAMoment;

impl Moment {
    /// The moment meant, where `end` is what durations count back from.
    pub const fn resolve(self, end: Time) -> Time {
        match self {
            Self::At(time) => time,
            Self::Ago { milliseconds } => Time(end.0.saturating_sub(milliseconds)),
        }
    }
}

impl FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        match duration(text) {
            Some(milliseconds) => Ok(Self::Ago { milliseconds }),
            None => text.parse().map(Self::At).map_err(|NotATime| NotAMoment),
        }
    }
}

/// `90m`, `1h30m`, `7d`, `1w`, in milliseconds; a unit is needed, as kubectl wants it.
fn duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let unit = match &after[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = &after[letters..];
    }
    (!text.is_empty()).then_some(total)
}

/// A duration flag of the command line, such as `--interval 10s`, in milliseconds.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, NotADuration> {
    duration(text)
        .and_then(|ms| u64::try_from(ms).ok())
        .map(std::time::Duration::from_millis)
        .ok_or(NotADuration)
}

/// The text was no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a duration, such as 10s, 90m, 24h, 7d or 1w")]
pub struct NotADuration;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_units_of_kubectl_and_days_and_weeks() {
        for (text, expected) in [
            ("90m", Some(5_400_000)),
            ("1h30m", Some(5_400_000)),
            ("24h", Some(86_400_000)),
            ("7d", Some(604_800_000)),
            ("1w", Some(604_800_000)),
            ("0s", Some(0)),
            ("", None),
            ("24", None),
            ("h", None),
            ("-1h", None),
            ("1y", None),
            ("99999999999999999999h", None),
            ("9999999999999999w", None),
        ] {
            assert_eq!(duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_moment_is_a_duration_or_a_time() {
        let end: Time = "2026-11-20T12:00:00Z".parse().expect("a time");
        let at = |text: &str| text.parse::<Moment>().map(|moment| moment.resolve(end).to_string());
        assert_eq!(at("90m").as_deref(), Ok("2026-11-20T10:30:00Z"));
        assert_eq!(at("2026-11-20T10:00:00Z").as_deref(), Ok("2026-11-20T10:00:00Z"));
        assert_eq!(at("2026-11-20T12:00:00+02:00").as_deref(), Ok("2026-11-20T10:00:00Z"));
        assert_eq!(at("yesterday"), Err(NotAMoment));
    }

    #[test]
    fn the_plain_form_agrees_with_jiff() {
        for year in ["0000", "1600", "1969", "1970", "1999", "2000", "2024", "2026", "2100", "9999"] {
            for month in 1..=12 {
                for day in [1, 2, 27, 28, 29, 30, 31, 32] {
                    let text = format!("{year}-{month:02}-{day:02}T23:04:59Z");
                    let slow = text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second);
                    let fast = text.parse::<Time>().ok().map(Time::seconds);
                    assert_eq!(fast, slow, "{text}");
                }
            }
        }
        for odd in
            ["2026-11-20T10:00:60Z", "2026-11-20t10:00:00Z", "2026-13-20T10:00:00Z", "2026-11-20T1a:00:00Z"]
        {
            let slow = odd.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second);
            assert_eq!(odd.parse::<Time>().ok().map(Time::seconds), slow, "{odd}");
        }
    }

    #[test]
    fn an_hour_holds_its_start_and_not_its_end() {
        let hour = "2026-11-20T10:59:59.999Z".parse::<Time>().expect("a time").hour();
        assert_eq!(hour.to_string(), "2026-11-20T10:00:00Z");
        assert_eq!(hour.start().hour(), hour);
        assert_ne!(hour.end().hour(), hour);
        assert_eq!(Time::from_milliseconds(-1).hour().index(), -1);
    }
}

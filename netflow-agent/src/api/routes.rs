//! What the agent can be asked. In: a method, a path and a query string, from whoever reaches a socket.
//! Out: the route, or why there is none.

use crate::time::{Moment, Time, Window};

/// The prefix of the query API; health and metrics have none.
pub const EXPORT: &str = "/v1/export";
pub const FOLLOW: &str = "/v1/follow";
pub const STATUS: &str = "/v1/status";

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The process makes progress.
    Livez,
    /// Attached, drained and stored, and the inventory is known.
    Readyz,
    /// The state folder is open and the programs are attached.
    Startupz,
    Metrics,
    /// The recording of a window.
    Export {
        since: Option<Moment>,
        until: Option<Moment>,
    },
    /// The objects there are, then everything new as it is saved.
    Follow,
    Status,
}

/// Who may ask: what listens on the network tells health and metrics only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    Anyone,
    /// Whoever reaches the socket in the state folder, or the loopback of this machine or pod.
    Local,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no such path; there are /livez, /readyz, /startupz, /metrics")]
    NotFound,
    #[error("only GET is answered")]
    Method,
    #[error("`{name}`: {reason}")]
    Query { name: String, reason: String },
}

impl Refusal {
    /// The status code of HTTP.
    pub const fn status(&self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Method => 405,
            Self::Query { .. } => 400,
        }
    }
}

/// Which question a request is.
pub fn route(audience: Audience, method: &str, path: &str, query: &str) -> Result<Route, Refusal> {
    if !matches!(method, "GET" | "HEAD") {
        return Err(Refusal::Method);
    }
    let route = match (audience, path) {
        (_, "/livez") => Route::Livez,
        (_, "/readyz") => Route::Readyz,
        (_, "/startupz") => Route::Startupz,
        (_, "/metrics") => Route::Metrics,
        (Audience::Local, EXPORT) => return export(query),
        (Audience::Local, FOLLOW) => Route::Follow,
        (Audience::Local, STATUS) => Route::Status,
        _ => return Err(Refusal::NotFound),
    };
    Ok(route)
}

/// The window that an export means: a day back from now when nothing is said. What is still to come is no
/// part of it.
pub fn window(since: Option<Moment>, until: Option<Moment>, now: Time) -> Window {
    let to = until.map_or(now, |until| until.resolve(now)).min(now);
    let day = Moment::Ago { milliseconds: 86_400_000 };
    Window { from: since.unwrap_or(day).resolve(to), to }
}

fn export(query: &str) -> Result<Route, Refusal> {
    let (mut since, mut until) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let slot = match name {
            "since" => &mut since,
            "until" => &mut until,
            _ => {
                return Err(Refusal::Query {
                    name: printable(name),
                    reason: "not a parameter: there are `since` and `until`".to_owned(),
                });
            }
        };
        let moment = decode(value).and_then(|text| text.parse::<Moment>().ok());
        *slot = Some(moment.ok_or_else(|| Refusal::Query {
            name: name.to_owned(),
            reason: crate::time::NotAMoment.to_string(),
        })?);
    }
    Ok(Route::Export { since, until })
}

/// `%3A` and the like; none for what is no text.
fn decode(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn printable(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_hears_of_health_and_metrics_only() {
        for path in ["/livez", "/readyz", "/startupz", "/metrics"] {
            assert!(route(Audience::Anyone, "GET", path, "").is_ok(), "{path}");
            assert!(route(Audience::Local, "GET", path, "").is_ok(), "{path}");
        }
        for path in [EXPORT, FOLLOW, STATUS, "/", "", "/v1", "/v1/export/", "/LIVEZ"] {
            assert_eq!(route(Audience::Anyone, "GET", path, ""), Err(Refusal::NotFound), "{path}");
        }
        assert_eq!(route(Audience::Local, "GET", FOLLOW, ""), Ok(Route::Follow));
    }

    #[test]
    fn an_export_takes_durations_and_times() {
        let at = |text: &str| text.parse::<Moment>().ok();
        for (query, expected) in [
            ("", Ok((None, None))),
            ("since=24h", Ok((at("24h"), None))),
            (
                "since=2026-11-20T10%3A00%3A00Z&until=2026-11-20T11:00:00Z",
                Ok((at("2026-11-20T10:00:00Z"), at("2026-11-20T11:00:00Z"))),
            ),
            ("since=yesterday", Err(400)),
            ("since", Err(400)),
            ("since=%zz", Err(400)),
            ("since=%f", Err(400)),
            ("since=%ff%fe", Err(400)),
            ("limit=3", Err(400)),
        ] {
            let answer = route(Audience::Local, "GET", EXPORT, query);
            let expected = expected.map(|(since, until)| Route::Export { since, until });
            assert_eq!(answer.map_err(|refusal| refusal.status()), expected, "{query}");
        }
        assert_eq!(route(Audience::Local, "POST", EXPORT, ""), Err(Refusal::Method));
    }

    #[test]
    fn without_a_word_an_export_is_of_the_last_day() {
        let now: Time = "2026-11-20T12:00:00Z".parse().expect("a time");
        let window = window(None, None, now);
        assert_eq!((window.from.to_string(), window.to), ("2026-11-19T12:00:00Z".to_owned(), now));
        let tomorrow = "2026-11-21T12:00:00Z".parse().ok();
        assert_eq!(super::window(None, tomorrow, now).to, now, "what is to come was not observed");
    }
}

//! What is not known or not expressible, by name. A gap is never an error: it says what the policies do not
//! settle, and carries the review entry that would.

use std::sync::Arc;

use crate::review::{Action, Entry};

/// Kinds of gap, in the order they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GapKind {
    UnknownPeer,
    ServiceWithoutBackends,
    Attempt,
    Scan,
    Unanswered,
    Unconfirmed,
    Indistinguishable,
    NoLabels,
    NotExpressible,
    StillAllowed,
    Probe,
    Node,
    NodePort,
    HiddenClient,
    Metadata,
    NoDns,
    PublicService,
    DeclaredCaller,
    CronJob,
    SilentNamespace,
    SilentWorkload,
    YoungPod,
    NodeGone,
    NotCovered,
    Lost,
    Icmp,
    LivePolicy,
    OtherPolicy,
    WideCover,
}

impl GapKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownPeer => "unknown-peer",
            Self::ServiceWithoutBackends => "service-without-backends",
            Self::Attempt => "attempt",
            Self::Scan => "scan",
            Self::Unanswered => "unanswered",
            Self::Unconfirmed => "unconfirmed",
            Self::Indistinguishable => "indistinguishable",
            Self::NoLabels => "no-labels",
            Self::NotExpressible => "not-expressible",
            Self::StillAllowed => "still-allowed",
            Self::Probe => "probe",
            Self::Node => "node",
            Self::NodePort => "node-port",
            Self::HiddenClient => "hidden-client",
            Self::Metadata => "metadata-service",
            Self::NoDns => "no-dns",
            Self::PublicService => "public-service",
            Self::DeclaredCaller => "declared-caller",
            Self::CronJob => "cronjob",
            Self::SilentNamespace => "silent-namespace",
            Self::SilentWorkload => "silent-workload",
            Self::YoungPod => "young-pod",
            Self::NodeGone => "node-gone",
            Self::NotCovered => "not-covered",
            Self::Lost => "lost",
            Self::Icmp => "icmp",
            Self::LivePolicy => "live-policy",
            Self::OtherPolicy => "other-policy",
            Self::WideCover => "wide-cover",
        }
    }
}

/// One thing that the policies do not settle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub kind: GapKind,
    /// The workload, namespace, node or pair it is about.
    pub about: String,
    /// What is so, and what it means.
    pub text: String,
    /// What would settle it, ready to be put into the review file.
    pub review: Option<Entry>,
}

impl Gap {
    pub fn new(kind: GapKind, about: impl Into<String>, text: impl Into<String>) -> Self {
        let (about, text) = (printable(about.into()), printable(text.into()));
        Self { kind, about, text, review: None }
    }

    #[must_use]
    pub fn settled_by(mut self, entry: Option<Entry>) -> Self {
        self.review = entry;
        self
    }
}

/// Names come from recordings, and a terminal obeys what is no letter.
fn printable(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let shown = |letter: char| {
        if letter.is_control() { letter.escape_default().collect() } else { letter.to_string() }
    };
    text.chars().map(shown).collect::<Vec<String>>().concat()
}

/// An entry that declares what a gap says may be missing.
pub fn declare(
    from: crate::review::End,
    to: crate::review::End,
    port: Option<super::Port>,
    reason: &str,
) -> Entry {
    Entry {
        action: Action::Declare,
        from,
        to,
        ports: port.map(|port| port.range),
        protocol: port.map(|port| port.protocol),
        reason: Arc::from(reason),
    }
}

//! `assert`: intent as a test. One claim from the flags, or files of claims; exit 3 names each broken one.

use std::path::PathBuf;

use super::judged::{self, Judged, JudgedArgs};
use super::{Exit, Failure, Streams};
use crate::evaluate::EndName;
use crate::evaluate::Verdict;
use crate::evaluate::assertion::{self, Assertion, Expected, parse_port, parse_protocol};
use crate::manifest::TargetPort;
use crate::net::Protocol;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netflow-agent assert -f manifests/ --from shop/web-0 --to shop/db-0 --port 5432 --denied
  netflow-agent assert -f manifests/ --assertions intent.yaml

A file of assertions:
  assertions:
  - from: shop/deployment/frontend
    to: shop/statefulset/db
    port: 5432          # a number or a name; absent: any port
    protocol: TCP       # the default
    expect: denied      # or allowed
    reason: only the backend talks to the database")]
pub struct Args {
    /// A file of assertions (YAML); may be repeated
    #[arg(long, value_name = "FILE", required_unless_present = "from", conflicts_with_all = ["from", "to", "port"])]
    assertions: Vec<PathBuf>,

    /// Who connects: `namespace/pod`, `namespace/kind/name` or an address
    #[arg(long, value_name = "END", requires = "to")]
    from: Option<String>,

    /// Who is connected to, likewise
    #[arg(long, value_name = "END", requires = "from")]
    to: Option<String>,

    /// The port of the destination's pods, by number or by name; without it any port is meant
    #[arg(long, value_parser = parse_port, requires = "from")]
    port: Option<TargetPort>,

    #[arg(long, value_parser = parse_protocol, requires = "from")]
    protocol: Option<Protocol>,

    #[command(flatten)]
    expect: Expect,

    #[command(flatten)]
    judged: JudgedArgs,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Expect {
    /// It must be allowed; without a port: all ports must be
    #[arg(long, requires = "from")]
    allowed: bool,

    /// It must be denied; without a port: all ports must be
    #[arg(long, requires = "from")]
    denied: bool,
}

pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let claims = claims(&args)?;
    let Args { judged: from_where, .. } = args;
    let judged = judged::load(&from_where, streams)?;
    let mut n_broken = 0;
    for (place, claim) in &claims {
        if let Some(words) = broken(&judged, claim) {
            n_broken += 1;
            writeln!(streams.out, "broken: {place}{claim}: {words}")?;
        }
    }
    let n_claims = claims.len();
    let plural = if n_claims == 1 { "" } else { "s" };
    writeln!(streams.err, "{n_claims} assertion{plural}, {n_broken} broken")?;
    Ok(if n_broken > 0 { Exit::Findings } else { judged.exit() })
}

/// Each with the place it was written at.
fn claims(args: &Args) -> Result<Vec<(String, Assertion)>, Failure> {
    let namespace = args.judged.namespace.as_deref();
    let mut claims = Vec::new();
    for path in &args.assertions {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| format!("read {name}: {error}"))?;
        let read = assertion::read(&text, namespace).map_err(|error| format!("{name}: {error}"))?;
        let numbered = (1..).zip(read).map(|(at, claim)| (format!("{name} assertion {at}: "), claim));
        claims.extend(numbered);
    }
    if let (Some(from), Some(to)) = (&args.from, &args.to) {
        let expected = match (args.expect.allowed, args.expect.denied) {
            (true, _) => Expected::Allowed,
            (_, true) => Expected::Denied,
            _ => {
                return Err(Failure::usage("nothing is asserted").with_hint("add `--allowed` or `--denied`"));
            }
        };
        let claim = Assertion {
            from: EndName::parse(from, namespace).map_err(Failure::usage)?,
            to: EndName::parse(to, namespace).map_err(Failure::usage)?,
            port: args.port.clone(),
            protocol: args.protocol,
            expected,
            reason: None,
        };
        claims.push((String::new(), claim));
    }
    Ok(claims)
}

/// None where the claim holds.
fn broken(judged: &Judged, claim: &Assertion) -> Option<String> {
    let expected = claim.expected.verdict();
    let why = claim.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let judgement = match claim.judge(&judged.cluster) {
        Ok(judgement) if judgement.verdict == expected => return None,
        Ok(judgement) => judgement,
        Err(error) => return Some(format!("cannot be judged: {error}{why}")),
    };
    let found = match (judgement.verdict, &claim.port) {
        (Verdict::Undefined, None) => match claim.allowed_ports(&judged.cluster) {
            Ok(ports) if !ports.is_empty() => format!("only {ports} is allowed"),
            _ => "it is not the same for all ports".to_owned(),
        },
        (verdict, _) => format!("is {verdict}"),
    };
    let sides = format!("egress {}, ingress {}", judgement.egress, judgement.ingress);
    Some(format!("must be {expected}, but {found}: {sides}{why}"))
}

//! What was generated, in words. In: the recommendation, its edges and gaps. Out: the lines that stand on
//! stderr beside the policies.

use std::io::{self, Write};

use crate::assess::{Assessment, HalfTime};
use crate::edge::Edge;
use crate::policy::{Gap, Recommendation, words};
use crate::review::Review;

/// Gaps of one kind that are spelled out; the rest is counted.
const SHOWN: usize = 5;

/// Counts, shares, the score.
pub fn summary(answer: &Recommendation, edges: &[Edge], out: &mut dyn Write) -> io::Result<()> {
    let denies = answer.policies.iter().filter(|policy| policy.is_default_deny()).count();
    let rules: usize = answer.policies.iter().map(|policy| policy.rules.len()).sum();
    writeln!(
        out,
        "{} workloads, {} edges, {} policies and {denies} default denies, {rules} rules",
        answer.workloads,
        edges.len(),
        answer.policies.len() - denies,
    )?;
    let all: u64 = edges.iter().fold(0, |sum, edge| sum.saturating_add(edge.connections));
    let kept_out = |at: &usize| edges.get(*at).map_or(0, |edge| edge.connections);
    let out_of: u64 =
        answer.not_judged.iter().chain(answer.withheld.iter().map(|one| &one.edge)).map(kept_out).sum();
    if all > 0 {
        writeln!(out, "{} of {all} connections are allowed ({})", all - out_of, share(all - out_of, all))?;
    }
    let score = answer.score;
    if let (Some(slack), Some(open)) = (score.slack(), score.open_slack()) {
        writeln!(
            out,
            "least privilege: {slack:.1} % of what is allowed between workloads was never seen ({} of {}); {open:.1} % \
             without policies ({})",
            score.never_seen, score.allowed, score.open,
        )?;
    }
    Ok(())
}

fn share(part: u64, whole: u64) -> String {
    // Rounded down, so that 100 % means all.
    let tenths = u128::from(part) * 1_000 / u128::from(whole.max(1));
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Withheld edges and entries of the review that met nothing.
pub fn withheld(
    answer: &Recommendation,
    edges: &[Edge],
    review: &Review,
    out: &mut dyn Write,
) -> io::Result<()> {
    for one in &answer.withheld {
        if let Some(edge) = edges.get(one.edge) {
            writeln!(
                out,
                "withheld: {} ({} connections): {}",
                words::edge(&edge.key),
                edge.connections,
                one.reason
            )?;
        }
    }
    for at in &answer.unused_entries {
        if let Some(entry) = review.entries.get(*at) {
            writeln!(out, "review: nothing met `{entry}`")?;
        }
    }
    Ok(())
}

/// The first of each kind with what would settle it; all of them with `all`.
pub fn gaps(gaps: &[Gap], all: bool, out: &mut dyn Write) -> io::Result<()> {
    for kind in gaps.chunk_by(|a, b| a.kind == b.kind) {
        let shown = if all { kind.len() } else { SHOWN.min(kind.len()) };
        for gap in &kind[..shown] {
            writeln!(out, "gap {}: {}: {}", gap.kind.as_str(), gap.about, gap.text)?;
        }
        if let Some(more) = kind.len().checked_sub(shown).filter(|more| *more > 0) {
            writeln!(out, "gap {}: {more} more", kind[0].kind.as_str())?;
        }
    }
    Ok(())
}

/// The ready-made entries of all gaps, as a review file to pick from.
pub fn ready_made(gaps: &[Gap], out: &mut dyn Write) -> io::Result<()> {
    use super::tree::{Item, Tree};
    use crate::review::Action;
    for action in Action::ALL {
        let entries: Vec<Item> = gaps
            .iter()
            .filter_map(|gap| gap.review.as_ref().map(|entry| (gap, entry)))
            .filter(|(_, entry)| entry.action == action)
            .map(|(gap, entry)| {
                let mut fields = vec![
                    ("from".to_owned(), Tree::text(entry.from.to_string())),
                    ("to".to_owned(), Tree::text(entry.to.to_string())),
                ];
                if let Some(ports) = entry.ports {
                    let text = if ports.first == ports.last {
                        Tree::Number(ports.first.into())
                    } else {
                        Tree::text(format!("{}-{}", ports.first, ports.last))
                    };
                    fields.push(("port".to_owned(), text));
                }
                if let Some(protocol) = entry.protocol {
                    fields.push(("protocol".to_owned(), Tree::text(protocol.as_str())));
                }
                fields.push(("reason".to_owned(), Tree::text(&*entry.reason)));
                Item { comments: vec![format!("{}: {}", gap.about, gap.text)], tree: Tree::Map(fields) }
            })
            .collect();
        if !entries.is_empty() {
            super::tree::yaml(&Tree::Map(vec![(action.as_str().to_owned(), Tree::List(entries))]), out)?;
        }
    }
    Ok(())
}

/// How far to trust it: the whole window, then each workload, of which the first few are spelled out.
pub fn how_sure(
    assessments: &[Assessment],
    half_time: HalfTime,
    all: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (total, each): (Vec<_>, Vec<_>) = assessments.iter().partition(|one| one.workload.is_none());
    for one in total {
        writeln!(
            out,
            "completeness: {} hours watched, {} missed, {} hours since the last new edge; at least {:.1} edges not \
             seen ({:.1} to {:.1}, Chao2, 95 %){}: {}",
            one.hours_watched,
            one.hours_missed,
            one.quiet_hours,
            one.unseen.estimate,
            one.unseen.low,
            one.unseen.high,
            one.new_an_hour.map_or(String::new(), |rate| format!(
                "; at most {rate:.2} new an hour (rule of three, 95 %)"
            )),
            one.verdict,
        )?;
    }
    if half_time.looked_ready > 0 {
        writeln!(
            out,
            "of {} workloads that looked ready at half-time, {} then showed a new edge",
            half_time.looked_ready, half_time.then_new
        )?;
    }
    let shown = if all { each.len() } else { SHOWN.min(each.len()) };
    for one in &each[..shown] {
        if let Some(name) = &one.workload {
            writeln!(out, "{}: {}", words::workload(name), one.verdict)?;
        }
    }
    if each.len() > shown {
        writeln!(out, "{} more workloads (see --all-gaps)", each.len() - shown)?;
    }
    Ok(())
}

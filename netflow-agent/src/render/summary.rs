//! What was generated, in words. In: the recommendation, its edges and gaps. Out: the lines that stand on
//! stderr beside the policies.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::tree::{self, Item, Tree};
use crate::assess::{self, Assessment, HalfTime, Verdict};
use crate::edge::Edge;
use crate::net::Protocol;
use crate::policy::{Gap, GapKind, Options, Recommendation, Score, Today, words};
use crate::review::{Action, End, Entry, Review};

/// Gaps of one kind that are spelled out; the rest is counted.
const SHOWN: usize = 5;
/// Workloads whose completeness is spelled out.
const WORKLOADS_SHOWN: usize = 20;
const HEAD: [&str; 10] =
    ["WORKLOAD", "EDGES", "WATCHED", "MISSED", "LOST", "QUIET", "NEW/HOUR", "UNSEEN", "JOB", "VERDICT"];

/// Counts, shares, the score; of the edges that touch a workload which is written for.
pub fn summary(
    answer: &Recommendation,
    edges: &[Edge],
    options: &Options,
    today: Option<Today>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let denies = answer.policies.iter().filter(|policy| policy.is_default_deny()).count();
    let rules: usize = answer.policies.iter().map(|policy| policy.rules.len()).sum();
    let concerned = edges.iter().enumerate().filter(|(_, edge)| options.concerns(&edge.key));
    let (mut n_edges, mut all, mut left_out) = (0, 0u64, 0u64);
    let out_of: BTreeSet<usize> = {
        let whole = answer.withheld.iter().filter(|one| one.is_whole());
        answer.not_judged.iter().copied().chain(whole.map(|one| one.edge)).collect()
    };
    for (at, edge) in concerned {
        n_edges += 1;
        all = all.saturating_add(edge.connections);
        if out_of.contains(&at) {
            left_out = left_out.saturating_add(edge.connections);
        }
    }
    writeln!(
        out,
        "{}, {}; {}, {}, {}",
        count(answer.workloads, ["workload", "workloads"]),
        count(n_edges, ["edge", "edges"]),
        count(answer.policies.len() - denies, ["policy", "policies"]),
        count(denies, ["default deny", "default denies"]),
        count(rules, ["rule", "rules"]),
    )?;
    if all > 0 {
        let kept = all - left_out;
        writeln!(out, "{kept} of {all} connections are allowed ({})", share(kept, all))?;
    }
    score(answer.score, today, out)
}

fn score(score: Score, today: Option<Today>, out: &mut dyn Write) -> io::Result<()> {
    let (Some(slack), Some(open)) = (score.slack(), score.open_slack()) else { return Ok(()) };
    write!(
        out,
        "least privilege: of what is allowed between workloads, never seen: {slack:.1} % ({} of {}) with these policies",
        score.never_seen, score.allowed,
    )?;
    if let Some((today, slack)) = today.and_then(|today| Some((today, today.slack()?))) {
        write!(out, ", {slack:.1} % ({} of {}", today.never_seen, today.allowed)?;
        if today.one_in > 1 {
            write!(out, ", counted for one source in {}", today.one_in)?;
        }
        write!(out, ") with those in force")?;
    }
    let never = score.open.saturating_sub(score.allowed - score.never_seen);
    writeln!(out, ", {open:.1} % ({never} of {}) without any", score.open)
}

/// `1 edge`, `2 edges`.
fn count(number: usize, [one, many]: [&str; 2]) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
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
                "withheld: {} ({} connection{}): {}",
                words::edge(one.way.as_ref().unwrap_or(&edge.key)),
                edge.connections,
                if edge.connections == 1 { "" } else { "s" },
                one.reason
            )?;
        }
    }
    for at in &answer.unused_entries {
        if let Some(entry) = review.entries.get(*at) {
            writeln!(out, "review: nothing met `{entry}`")?;
        }
    }
    for (at, one) in review.accepted.iter().enumerate() {
        if !answer.accepted.contains_key(&at) {
            writeln!(out, "review: nothing met `accept {} {}`", one.gap, one.about)?;
        }
    }
    let accepted: usize = answer.accepted.values().sum();
    if accepted > 0 {
        writeln!(out, "review: {} accepted and not listed", count(accepted, ["gap", "gaps"]))?;
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

/// The ready-made entries of all gaps, as a review file to pick from; gaps that share an entry share it here.
pub fn ready_made(gaps: &[Gap], out: &mut dyn Write) -> io::Result<()> {
    let mut entries: BTreeMap<Asked<'_>, (Vec<String>, &Entry)> = BTreeMap::new();
    for (gap, entry) in gaps.iter().filter_map(|gap| Some((gap, gap.review.as_ref()?))) {
        let ports = entry.ports.map(|ports| (ports.first, ports.last));
        let key = (entry.action, &entry.from, &entry.to, ports, entry.protocol);
        let known = entries.entry(key).or_insert_with(|| (Vec::new(), entry));
        known.0.push(format!("{}: {}", gap.about, gap.text));
    }
    if !gaps.is_empty() {
        tree::comment(
            "What would settle each gap. Delete what is not meant, and say why in the reason.",
            out,
        )?;
    }
    for action in Action::ALL {
        let of_action = entries.values().filter(|(_, entry)| entry.action == action);
        let items: Vec<Item> = of_action
            .map(|(comments, entry)| Item { comments: comments.clone(), tree: ready_made_entry(entry) })
            .collect();
        if !items.is_empty() {
            tree::yaml(&Tree::Map(vec![(action.as_str().to_owned(), Tree::List(items))]), out)?;
        }
    }
    lived_with(gaps, out)
}

/// What no edge settles: to be declared by hand, mended, or lived with.
fn lived_with(gaps: &[Gap], out: &mut dyn Write) -> io::Result<()> {
    let mut places: BTreeMap<(GapKind, &str), Vec<String>> = BTreeMap::new();
    for gap in gaps.iter().filter(|gap| gap.review.is_none()) {
        places.entry((gap.kind, &gap.about)).or_default().push(gap.text.clone());
    }
    let item = |((kind, about), comments): ((GapKind, &str), Vec<String>)| {
        let fields = [("gap", kind.as_str()), ("about", about), ("reason", "seen, and lived with")];
        Item { comments, tree: Tree::map(fields.map(|(key, value)| (key, Tree::text(value)))) }
    };
    let items: Vec<Item> = places.into_iter().map(item).collect();
    if items.is_empty() {
        return Ok(());
    }
    tree::yaml(&Tree::Map(vec![("accept".to_owned(), Tree::List(items))]), out)
}

/// An entry without its reason.
type Asked<'a> = (Action, &'a End, &'a End, Option<(u16, u16)>, Option<Protocol>);

fn ready_made_entry(entry: &Entry) -> Tree {
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
    Tree::Map(fields)
}

/// How far to trust it: a table of the whole window and of the first workloads, and how many more there are.
pub fn how_sure(
    assessments: &[Assessment],
    half_time: HalfTime,
    all: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let n_each = assessments.iter().filter(|one| one.workload.is_some()).count();
    let n_ready = |some: &[Assessment]| {
        let ready = |one: &&Assessment| one.workload.is_some() && one.verdict == Verdict::Ready;
        some.iter().filter(ready).count()
    };
    writeln!(
        out,
        "completeness: {} of {n_each} workloads are ready (WATCHED: hours watched for half of them or more; QUIET: of \
         these, since the last new edge; NEW/HOUR: at most, by the rule of three; UNSEEN: edges, at least, by Chao2; \
         both at 95 %)",
        n_ready(assessments)
    )?;
    let shown = if all { assessments.len() } else { assessments.len().min(WORKLOADS_SHOWN + 1) };
    let rows: Vec<Vec<String>> = assessments[..shown].iter().map(row).collect();
    super::table::write(&HEAD, &rows, out)?;
    let rest = &assessments[shown..];
    if !rest.is_empty() {
        let (more, ready) = (rest.len(), n_ready(rest));
        writeln!(out, "and {more} workloads more, of which {ready} are ready (--all-gaps lists them)")?;
    }
    if half_time.looked_ready > 0 {
        writeln!(
            out,
            "split check: of {} workloads that looked ready at half-time, {} then showed a new edge",
            half_time.looked_ready, half_time.then_new
        )?;
    }
    Ok(())
}

fn row(one: &Assessment) -> Vec<String> {
    let hours = |count: usize| format!("{count} h");
    vec![
        one.workload.as_ref().map_or_else(|| "all".to_owned(), words::workload),
        one.n_edges.to_string(),
        if one.hours_watched > 0 { hours(one.hours_watched) } else { assess::duration(one.watched_seconds) },
        hours(one.hours_missed),
        one.lost.to_string(),
        hours(one.quiet_hours),
        one.new_an_hour.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.2}")),
        format!("{:.1} ({:.1} to {:.1})", one.unseen.estimate, one.unseen.low, one.unseen.high),
        one.job.as_ref().map_or_else(|| "-".to_owned(), |job| assess::period_words(job.seconds)),
        one.verdict.to_string(),
    ]
}

//! The recording format and the output contracts, clause by clause, each with the tests that prove it. In: the
//! table below. It fails when a test that a clause relies on is gone; and it proves compressed recordings itself,
//! which no golden run can hold.

use std::path::Path;
use std::process::{Command, Stdio};

/// A clause, and its proofs: `FILE#TEST`, or a folder of `tests/golden`.
const CLAUSES: &[(&str, &[&str])] = &[
    ("JSON Lines, UTF-8; .jsonl, or .jsonl.zst", &["tests/clauses.rs#compressed_recordings_are_recordings"]),
    ("times are RFC 3339 UTC", &["src/time.rs#the_plain_form_agrees_with_jiff"]),
    (
        "`-` is standard input; repeat the flag to merge",
        &["golden/observe/recordings_are_merged", "golden/observe/a_broken_line_is_named"],
    ),
    (
        "the concatenation of recordings is a recording",
        &["src/recording/tests.rs#the_concatenation_of_recordings_is_a_recording"],
    ),
    (
        "the order of lines means nothing",
        &[
            "src/recording/tests.rs#the_order_of_lines_means_nothing",
            "src/edge/tests/mod.rs#edges_do_not_depend_on_the_order_of_lines",
        ],
    ),
    (
        "unknown fields are ignored, absent fields may be",
        &["src/recording/tests.rs#absent_fields_and_foreign_forms_are_taken_as_the_format_says"],
    ),
    (
        "an unknown kind is skipped and counted in one warning",
        &[
            "src/recording/tests.rs#unknown_kinds_are_skipped_whatever_they_hold_and_counted_once",
            "golden/observe/unknown_kinds_are_counted_in_one_warning",
        ],
    ),
    (
        "a line that is not valid is an error with file and line, exit 1",
        &[
            "src/recording/tests.rs#a_line_that_is_not_valid_is_an_error_with_its_place",
            "golden/graph/a_broken_line_is_named",
            "golden/export/a_broken_line_is_named",
        ],
    ),
    (
        "a duration counts back from the end of the last covered hour, else from the latest `last`",
        &[
            "src/recording/tests.rs#a_duration_counts_back_from_the_last_covered_hour_or_the_latest_flow",
            "golden/observe/a_window_is_cut_from_the_last_covered_hour",
        ],
    ),
    (
        "live, the default is 24h back from now",
        &[
            "src/api/routes.rs#without_a_word_an_export_is_of_the_last_day",
            "src/cli/cluster.rs#all_nodes_are_asked_for_the_same_moments",
        ],
    ),
    ("a flow is in the window when [first, last] meets it", &["golden/export/cuts_the_window"]),
    (
        "equal lines are one flow that grew; other seqs add up; absent seq is 0",
        &["src/recording/tests.rs#equal_keys_are_one_flow_that_grew_and_other_seqs_add_up"],
    ),
    ("coverage likewise", &["src/recording/tests.rs#coverage_merges_by_node_hour_and_seq"]),
    (
        "an hour without a line was not observed",
        &["src/render/coverage.rs#an_hour_without_a_line_was_not_observed_and_is_named"],
    ),
    (
        "without any coverage line fully covered, and the answer says so",
        &["src/render/coverage.rs#without_coverage_lines_all_is_taken_as_covered_and_it_says_so"],
    ),
    (
        "one UID has one history; a stated end beats an absent one",
        &[
            "src/identity/tests.rs#one_object_has_one_history",
            "src/edge/tests/reuse.rs#the_end_of_a_hold_is_stated_or_the_next_one_s_begin",
        ],
    ),
    (
        "an absent end means until now, or until the next holder",
        &["src/edge/tests/reuse.rs#the_end_of_a_hold_is_stated_or_the_next_one_s_begin"],
    ),
    (
        "an absent begin means from the pod's start, else from the window's",
        &["src/edge/tests/reuse.rs#nobody_is_the_peer_of_a_flow_that_began_before_the_address_was_theirs"],
    ),
    (
        "a Node owns its addresses and its pods' default gateway",
        &["src/edge/tests/mod.rs#nodes_own_their_addresses_and_gateways"],
    ),
    (
        "the pod's UID, else `local` and the time decide",
        &["src/edge/tests/mod.rs#both_ends_of_one_connection_are_one_edge"],
    ),
    (
        "unanswered is an edge by the server's word only, towards nodes and outside unconfirmed, else an attempt",
        &["src/edge/tests/mod.rs#unanswered_is_an_edge_only_with_a_witness_or_beyond_the_pods"],
    ),
    ("attempts are never edges", &["golden/observe/attempts_are_listed_apart"]),
    (
        "the peer is who held the address then; changed hands: whose own end witnessed it, else Unknown",
        &[
            "src/edge/tests/reuse.rs#an_address_that_changed_hands_needs_a_witness",
            "src/edge/tests/reuse.rs#nobody_is_the_peer_of_a_flow_that_began_before_the_address_was_theirs",
        ],
    ),
    (
        "the live API counts only from when the pod had the address",
        &["src/cli/cluster.rs#a_live_pod_has_its_address_since_its_network_was_made"],
    ),
    (
        "a sidecar's port gives way to the client's",
        &[
            "src/edge/tests/mod.rs#a_sidecars_port_gives_way_to_the_clients",
            "src/edge/tests/reuse.rs#a_sidecar_does_not_hide_who_held_the_address",
        ],
    ),
    (
        "a Service is translated as of that time; where the server witnesses, it adds nothing",
        &[
            "src/edge/tests/service.rs#a_service_is_translated_as_of_then",
            "src/edge/tests/service.rs#a_service_leads_where_its_endpoints_of_that_time_are",
        ],
    ),
    ("an edge's fields", &["golden/observe/json_is_one_edge_a_line"]),
    (
        "basis: observed beats existing",
        &["src/edge/tests/mod.rs#an_older_connection_needs_the_other_end_or_a_plain_port_outside"],
    ),
    (
        "ends on the command line",
        &[
            "src/evaluate/end.rs#ends_are_pods_workloads_or_addresses",
            "golden/observe/a_namespace_completes_names",
            "golden/observe/a_name_without_a_namespace_is_a_usage_error",
            "golden/observe/a_pod_stands_for_its_workload",
        ],
    ),
    (
        "`--input`; else a folder or a socket; else the cluster by kubeconfig, context or name; else the default socket",
        &[
            "golden/observe/input_comes_before_the_cluster",
            "golden/observe/the_plugin_asks_the_cluster",
            "golden/observe/no_agent_at_the_socket_is_said_with_a_hint",
            "golden/observe/two_sources_are_a_usage_error",
        ],
    ),
    (
        "replay's verdicts",
        &["golden/replay/json_has_a_verdict_for_each_edge", "golden/replay/a_review_file_withholds"],
    ),
    (
        "exit 2",
        &[
            "golden/observe/an_unknown_form_is_a_usage_error",
            "golden/export/a_word_that_is_no_time_is_a_usage_error",
        ],
    ),
    ("exit 3", &["golden/replay/what_would_be_denied_is_named_and_ends_with_three"]),
    (
        "exit 4 with --require-complete only, by every verb",
        &[
            "golden/observe/gaps_end_with_four_where_completeness_is_required",
            "tests/nodes/answers.rs#what_is_missing_is_named_by_each_verb_and_ends_with_four_where_all_is_required",
        ],
    ),
    (
        "an export answers as its source does",
        &[
            "tests/nodes/answers.rs#a_recording_of_the_cluster_answers_as_the_cluster_does",
            "golden/export/writes_what_it_reads",
        ],
    ),
];

#[test]
fn every_clause_has_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut missing = Vec::new();
    for (clause, proofs) in CLAUSES {
        for proof in *proofs {
            let is_there = match proof.split_once('#') {
                Some((file, test)) => std::fs::read_to_string(root.join(file))
                    .is_ok_and(|text| text.contains(&format!("fn {test}("))),
                None => root.join("tests").join(proof).join("command").is_file(),
            };
            if !is_there {
                missing.push(format!("{clause}: {proof}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// What the README shows of `generate-policies` is what the golden runs hold.
#[test]
fn the_readme_shows_what_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |path: &str| std::fs::read_to_string(root.join(path)).expect("a file");
    let claims = "tests/golden/generate_policies";
    let (readme, err) = (text("../README.md"), text(&format!("{claims}/each_rule_says_why/stderr")));
    let out = text(&format!("{claims}/a_review_withholds_and_declares/stdout"));
    let gaps: Vec<&str> = readme.lines().filter(|line| line.starts_with("gap ")).collect();
    assert!(!gaps.is_empty());
    for gap in gaps {
        assert!(err.lines().any(|line| line == gap), "not printed: {gap}");
    }
    let (_, section) = readme.split_once("\n## Generate policies\n").expect("a section");
    let sample = section.split("```").nth(1).and_then(|block| block.split_once('\n')).expect("a sample").1;
    let rest = sample.trim_start_matches("  egress:\n");
    assert!(sample.starts_with("  egress:\n") && out.contains(rest), "not printed:\n{sample}");
}

fn run(words: &[&str]) -> (Option<i32>, Vec<u8>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netflow-agent"));
    let output = command.args(words).stdin(Stdio::null()).output().expect("the program runs");
    (output.status.code(), output.stdout)
}

#[test]
fn compressed_recordings_are_recordings() {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/shop.jsonl");
    let folder = tempfile::tempdir().expect("a folder");
    let (shop, packed) = (shop.display().to_string(), folder.path().join("shop.jsonl.zst"));
    let name = packed.display().to_string();
    assert_eq!(run(&["export", "--input", &shop, "--output-file", &name]).0, Some(0));
    let bytes = std::fs::read(&packed).expect("it was written");
    assert!(bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]), "by its name it is compressed");
    let plain = run(&["observe", "--input", &shop, "-o", "json"]);
    assert!(plain.0 == Some(0) && !plain.1.is_empty());
    assert_eq!(run(&["observe", "--input", &name, "-o", "json"]), plain);
    // Concatenated they are one still.
    std::fs::write(&packed, [bytes.as_slice(), &bytes].concat()).expect("a file");
    assert_eq!(run(&["observe", "--input", &name, "-o", "json"]), plain);
    assert_eq!(run(&["export", "--compress", "--input", &shop]).1, bytes);
}

//! The tool on a real two-node Kubernetes: `cargo xtask test --cluster`. One cluster, and steps in an order:
//! a shop, the agents installed as README.md says, what they saw, its policies, trouble, and nothing left.
//! Each step is a claim; a failed one ends the run.
//!
//! The cluster is the kit's beside the project (`shared/kube`); no kubeconfig of the user's is ever read.
#![expect(clippy::print_stdout, reason = "it speaks as the test harness does")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

mod agents;
mod answers;
mod expected;
mod install;
mod judged;
mod kube;
mod late;
mod node;
mod rights;
mod shop;
mod trouble;

#[path = "../support/naive.rs"]
#[expect(dead_code, reason = "other suites judge more of it")]
mod naive;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/tools.rs"]
#[expect(dead_code, reason = "other suites compare with more")]
mod tools;

use kube::Kube;

type Step = (&'static str, fn(&Kube));

const STEPS: &[Step] = &[
    ("a_shop_opens", shop::opens),
    ("readme_ends_with_policies_for_the_clusters_traffic", install::ends_with_policies),
    ("agents_are_ready_on_both_nodes", agents::by_kustomize_are_ready),
    ("the_process_has_two_capabilities_and_its_own_namespaces", agents::the_process_is_closed),
    ("the_network_hears_of_health_and_metrics_only", agents::the_network_hears_of_health_and_metrics_only),
    ("the_shop_is_at_work", shop::is_at_work),
    ("a_user_without_port_forward_reads_nothing", rights::without_port_forward_nothing_is_read),
    ("a_viewer_reads_flows_and_is_told_what_not", rights::a_viewer_reads),
    ("each_agent_reads_the_flows_of_its_own_node_only", answers::each_agent_reads_its_own_node_only),
    ("the_edges_are_those_of_the_manifests", answers::the_edges_are_those_of_the_manifests),
    ("what_is_unknown_is_what_was_expected", answers::what_is_unknown_is_what_was_expected),
    ("the_api_server_accepts_the_policies", judged::the_api_server_accepts_the_policies),
    ("the_policies_allow_what_the_manifests_say", judged::the_policies_allow_what_the_manifests_say),
    ("a_replay_denies_nothing", judged::a_replay_denies_nothing),
    ("the_audit_finds_what_was_expected", judged::the_audit_finds_what_was_expected),
    ("in_force_the_policies_change_nothing", judged::in_force_they_change_nothing),
    ("an_address_used_again_is_the_new_pods", late::an_address_used_again_is_the_new_pods),
    ("an_agent_cut_off_from_the_api_names_all_afterwards", late::an_agent_cut_off_names_all_afterwards),
    ("an_update_of_the_agents_keeps_the_hour", trouble::an_update_keeps_the_hour),
    ("a_killed_agent_is_a_named_gap_and_comes_back", trouble::a_killed_agent_comes_back),
    ("the_api_server_away_loses_no_flow", trouble::the_api_server_away_loses_no_flow),
    ("a_node_cut_off_is_named", trouble::a_node_cut_off_is_named),
    ("removed_as_readme_says_nothing_stays", install::by_kustomize_ends_without_a_trace),
    ("installed_by_helm_it_sets_another_layout_aside", install::by_helm_goes_on_with_the_state),
    ("removed_by_helm_only_the_state_stays_until_it_goes", install::by_helm_ends_without_a_trace),
];

#[expect(clippy::disallowed_methods, reason = "the steps are timed")]
fn main() -> ExitCode {
    let kube = match Kube::up() {
        Ok(kube) => kube,
        Err(reason) => {
            skip::skip("cluster", &reason);
            println!("test result: ok. 1 passed; 0 failed");
            return ExitCode::SUCCESS;
        }
    };
    let only = std::env::args().nth(1);
    let is_asked_for = |name: &str| only.as_deref().is_some_and(|only| name.contains(only));
    let kept = kube::is_kept();
    let mut passed = 0;
    for (name, step) in STEPS {
        // What is set up by a step is needed by those after it, so a filter ends the run and skips nothing; but on
        // a cluster that was kept all is set up.
        if kept && only.is_some() && !is_asked_for(name) {
            continue;
        }
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| step(&kube)));
        let took = began.elapsed().as_secs_f32();
        if outcome.is_err() {
            println!("test {name} ... FAILED");
            kube.tell_state();
            println!("test result: FAILED. {passed} passed; 1 failed");
            return ExitCode::FAILURE;
        }
        passed += 1;
        println!("test {name} ... ok ({took:.1} s)");
        if !kept && is_asked_for(name) {
            break;
        }
    }
    println!("test result: ok. {passed} passed; 0 failed");
    ExitCode::SUCCESS
}

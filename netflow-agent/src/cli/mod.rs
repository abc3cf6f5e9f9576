//! The command line: one file per verb, each with its `Args` and its `run`. Data goes to `Streams::out`,
//! words to `Streams::err`; nothing here decides anything about flows or policies.

use std::io::Write;

use clap::{Parser, Subcommand};

#[cfg(feature = "cluster")]
pub mod cluster;
pub mod exit;
pub mod files;
pub mod filter;
mod follow;
#[cfg(feature = "cluster")]
mod follow_nodes;
pub mod judged;
mod local;
pub mod plugin;
pub mod policy_args;
mod policy_diff;
pub mod policy_dir;
pub mod source;

pub use exit::{Exit, Failure};

macro_rules! verbs {
    ($($(#[$attribute:meta])* $variant:ident $module:ident),* $(,)?) => {
        $(pub mod $module;)*

        /// What to do.
        #[derive(Debug, Subcommand)]
        pub enum Verb {
            $($(#[$attribute])* $variant(Box<$module::Args>),)*
        }

        impl Verb {
            fn run(self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
                match self {
                    $(Self::$variant(args) => $module::run(*args, streams),)*
                }
            }
        }
    };
}

verbs! {
    /// Run the agent on this node
    Run run,
    /// Show the observed edges
    Observe observe,
    /// Draw the dependency graph
    Graph graph,
    /// Generate least-privilege NetworkPolicies from what was observed
    GeneratePolicies generate_policies,
    /// Replay the observed edges against policies
    Replay replay,
    /// Judge connections by policies, in a batch
    Evaluate evaluate,
    /// Explain one verdict
    Explain explain,
    /// Check that connections are allowed or denied as intended
    Assert assert,
    /// Show who can reach whom
    Connectivity connectivity,
    /// Compare two sets of policies by their meaning
    Diff diff,
    /// Find faults in policies
    Audit audit,
    /// Learn on the first part of the window, replay the rest
    Backtest backtest,
    /// Write a recording
    Export export,
    /// Check this machine
    Doctor doctor,
    /// Print a shell completion script
    Completion completion,
}

/// Observe flows, map them to workloads, and generate network policy.
#[derive(Debug, Parser)]
#[command(name = "netflow-agent", version, about, propagate_version = true)]
pub struct Command {
    #[command(subcommand)]
    pub verb: Verb,
}

/// Where a verb reads and writes; tests hand in buffers.
pub struct Streams<'a> {
    pub input: &'a mut dyn std::io::Read,
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
    /// By which name: the plugin's verbs ask the cluster where no other source is named.
    pub called: plugin::Called,
}

impl Command {
    pub fn run(self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        self.verb.run(streams)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_examples_under_its_own_name() {
        let command = <Command as clap::CommandFactory>::command();
        for verb in command.get_subcommands() {
            let after = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let named = format!("netflow-agent {}", verb.get_name());
            assert!(after.starts_with("Examples:") && after.contains(&named), "{}", verb.get_name());
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
        }
    }

    #[test]
    fn no_flag_of_a_verb_is_there_twice() {
        <Command as clap::CommandFactory>::command().debug_assert();
    }

    /// A flag that follows a flattened group in its struct would be shown under that group's heading.
    #[test]
    fn a_group_of_flags_is_the_same_at_every_verb() {
        let command = <Command as clap::CommandFactory>::command();
        for heading in ["Where the data comes from", "The cluster"] {
            let group = |verb: &clap::Command| -> Vec<String> {
                let flags = verb.get_arguments().filter(|flag| flag.get_help_heading() == Some(heading));
                flags.map(|flag| flag.get_id().to_string()).collect()
            };
            let groups: Vec<_> =
                command.get_subcommands().map(group).filter(|group| !group.is_empty()).collect();
            assert!(groups.len() > 5, "{heading}: the verbs that read flows have it");
            assert!(groups.iter().all(|group| *group == groups[0]), "{heading}: {groups:?}");
        }
    }
}

//! What is a node's own: its network, its mounts, its containerd, and the folder of its agent.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::kube::{Kube, succeed};

impl Kube {
    /// Where a node's `/var/lib/netflow` is.
    pub(crate) fn state_folder(&self, node: &str) -> PathBuf {
        self.folder.join(node).join("netflow")
    }

    /// The kit's nodes share the machine's /var/lib, in which an agent of the machine's own may have its state;
    /// real ones have each their own, and so have these from here on.
    pub(crate) fn give_own_state(&self, node: &str) {
        let own = self.folder.join(node);
        fs::create_dir(&own).expect("our own folder");
        let own = own.display();
        self.shell(
            node,
            &format!(
                "set -e; for name in kubelet containerd cni; do mkdir {own}/$name; \
                 mount --rbind /var/lib/$name {own}/$name; done; mount --rbind {own} /var/lib"
            ),
        );
    }

    /// The pid of one of the kit's daemons, or of what holds a node's namespaces.
    pub(crate) fn pid(&self, name: &str) -> String {
        let run = self.kubeconfig.parent().expect("the kubeconfig is in the run's folder");
        let line = fs::read_to_string(run.join("pid").join(name)).expect("the kit keeps its pids");
        line.split(' ').next().expect("a pid").to_owned()
    }

    /// A program that runs in the network of `nfk-PLACE`.
    pub(crate) fn inside(&self, place: &str, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/nfk-{place}"));
        match words {
            ["nettool", rest @ ..] => command.arg(self.tool("nettool")).args(rest),
            words => command.args(words),
        };
        command
    }

    /// A line of shell among a node's mounts; what it wrote.
    pub(crate) fn shell(&self, node: &str, line: &str) -> String {
        let target = self.pid(node);
        let output =
            succeed(Command::new("nsenter").args(["--target", &target, "--mount", "--", "sh", "-c", line]));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

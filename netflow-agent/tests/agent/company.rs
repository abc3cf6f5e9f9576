//! Two agents on one node, as during an upgrade by hand: both see everything, and one outlives the other.

use crate::lab_of;
use crate::running::{Agent, lost, served, stored};
use crate::traffic::{assert_detached, converse};

#[test]
fn two_agents_see_the_same_and_one_outlives_the_other() {
    let lab = lab_of!("company::two_agents_see_the_same_and_one_outlives_the_other", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let first = Agent::start(&lab, &one, &["--interval", "100ms"]);
    let second = Agent::start(&lab, &two, &["--interval", "100ms"]);
    converse(lab.pod(0), lab.pod(1), 8080, 15);
    for agent in [&first, &second] {
        assert_eq!(served(&agent.export(), 8080), 15);
    }
    let programs = second.programs();
    second.kill();
    assert_detached(&programs);
    converse(lab.pod(0), lab.pod(1), 8080, 15);
    first.stop();
    let [left, killed] = [stored(&one), stored(&two)];
    assert_eq!([served(&left, 8080), served(&killed, 8080)], [30, 15]);
    assert_eq!([lost(&left), lost(&killed)], [0, 0]);
}

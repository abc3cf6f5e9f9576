//! The claims of this folder, as tests.

use netflow_common::Address;

use super::*;

const CLOCK: Clock = Clock { now: Time::from_seconds(1_000), now_ns: 100_000_000_000 };

fn key(protocol: u8, side: u8) -> FlowKey {
    FlowKey {
        netns: 7,
        cgroup: 0,
        local: Address::UNSPECIFIED,
        remote: Address::from(core::net::Ipv4Addr::new(10, 0, 0, 9)),
        port: 53,
        protocol,
        side,
        outcome: outcome::ESTABLISHED,
        basis: basis::OBSERVED,
        padding: 0,
    }
}

/// A difference: begun, ended, sent, received.
fn delta(key: FlowKey, [begun, ended, sent, received]: [u64; 4]) -> Delta {
    let (first_ns, last_ns) = (98_000_000_000, 99_000_000_000);
    let answer = if received > 0 { Answer::Came } else { Answer::Awaited };
    Delta { key, begun, ended, sent, received, first_ns, last_ns, answer }
}

/// What comes of differences, one list a drain: outcome, connections and open of each sample.
fn run(drains: &[&[Delta]]) -> Vec<Vec<(Outcome, u64, u64)>> {
    let mut interpreter = Interpreter::default();
    let one = |deltas: &&[Delta]| {
        let mut samples = Vec::new();
        for delta in *deltas {
            interpreter.take(delta, CLOCK, &mut samples);
        }
        interpreter.end_drain(CLOCK, &mut samples);
        samples.iter().map(|sample| (sample.outcome, sample.connections, sample.open)).collect()
    };
    drains.iter().map(one).collect()
}

#[test]
fn a_udp_answer_that_comes_a_drain_later_makes_one_established_flow() {
    let client = key(protocol::UDP, side::CLIENT);
    let asked = delta(client, [1, 0, 1, 0]);
    let answered = delta(client, [0, 0, 0, 1]);
    assert_eq!(run(&[&[asked], &[answered], &[]]), [vec![], vec![(Outcome::Established, 1, 0)], vec![]]);
}

#[test]
fn a_udp_sender_without_an_answer_is_unanswered_one_drain_later() {
    let asked = delta(key(protocol::UDP, side::CLIENT), [1, 0, 1, 0]);
    assert_eq!(run(&[&[asked], &[], &[]]), [vec![], vec![(Outcome::Unanswered, 1, 0)], vec![]]);
    // Going on sending puts it off no further.
    let more = delta(key(protocol::UDP, side::CLIENT), [0, 0, 1, 0]);
    assert_eq!(run(&[&[asked], &[more]])[1], [(Outcome::Unanswered, 1, 0)]);
}

#[test]
fn a_sender_of_the_map_has_waited_there_and_is_told_of_with_what_the_ring_had() {
    let client = key(protocol::UDP, side::CLIENT);
    let asked = delta(client, [1, 0, 1, 0]);
    let overdue = Delta { answer: Answer::Overdue, ..asked };
    assert_eq!(run(&[&[overdue], &[]]), [vec![(Outcome::Unanswered, 1, 0)], vec![]]);
    assert_eq!(run(&[&[asked, overdue], &[]]), [vec![(Outcome::Unanswered, 2, 0)], vec![]]);
    let answered = delta(client, [0, 0, 0, 1]);
    assert_eq!(run(&[&[asked, answered], &[]]), [vec![(Outcome::Established, 1, 0)], vec![]]);
}

#[test]
fn a_resolvers_probe_is_nothing_even_when_its_end_comes_a_drain_later() {
    let client = key(protocol::UDP, side::CLIENT);
    let probe = delta(client, [1, 1, 0, 0]);
    assert_eq!(run(&[&[probe], &[], &[]]), [vec![], vec![], vec![]]);
    let begun = delta(client, [1, 0, 0, 0]);
    let ended = delta(client, [0, 1, 0, 0]);
    assert_eq!(run(&[&[begun], &[ended], &[]]), [vec![], vec![], vec![]]);
}

#[test]
fn open_connections_are_those_begun_and_not_ended_and_never_below_none() {
    let server = key(protocol::TCP, side::SERVER);
    let drains: [&[Delta]; 3] =
        [&[delta(server, [3, 1, 0, 0])], &[delta(server, [0, 5, 0, 0])], &[delta(server, [1, 0, 0, 0])]];
    let opens: Vec<u64> = run(&drains).into_iter().flatten().map(|(_, _, open)| open).collect();
    assert_eq!(opens, [2, 0, 1]);
}

#[test]
fn an_open_connection_is_told_again_and_a_closed_one_is_not() {
    let mut interpreter = Interpreter::default();
    let (open, closed) = (key(protocol::TCP, side::SERVER), key(protocol::TCP, side::CLIENT));
    for delta in [delta(open, [1, 0, 0, 0]), delta(closed, [1, 1, 0, 0])] {
        interpreter.take(&delta, CLOCK, &mut Vec::new());
    }
    let mut samples = Vec::new();
    interpreter.tell_open(CLOCK, Time::from_seconds(900), &mut samples);
    let told: Vec<_> =
        samples.iter().map(|sample| (sample.side, sample.connections, sample.first, sample.last)).collect();
    assert_eq!(told, [(Side::Server, 0, Time::from_seconds(900), CLOCK.now)]);
    interpreter.forget_open();
    samples.clear();
    interpreter.tell_open(CLOCK, Time::from_seconds(900), &mut samples);
    assert_eq!(samples, []);
}

#[test]
fn kernel_times_become_wall_clock_times_whatever_the_clock_did_before() {
    let mut samples = Vec::new();
    Interpreter::default().take(&delta(key(protocol::TCP, side::CLIENT), [1, 0, 0, 0]), CLOCK, &mut samples);
    assert_eq!((samples[0].first, samples[0].last), (Time::from_seconds(998), Time::from_seconds(999)));
}

#[test]
fn a_key_that_no_program_of_ours_makes_gives_no_sample() {
    for odd in [
        FlowKey { protocol: 1, ..key(protocol::TCP, side::CLIENT) },
        FlowKey { outcome: 9, ..key(protocol::TCP, side::CLIENT) },
        FlowKey { basis: 0, ..key(protocol::TCP, side::CLIENT) },
        FlowKey { side: 0, ..key(protocol::TCP, side::CLIENT) },
        FlowKey { remote: Address::UNSPECIFIED, ..key(protocol::TCP, side::CLIENT) },
    ] {
        let mut samples = Vec::new();
        Interpreter::default().take(&delta(odd, [1, 0, 0, 0]), CLOCK, &mut samples);
        assert_eq!(samples, [], "{odd:?}");
    }
}

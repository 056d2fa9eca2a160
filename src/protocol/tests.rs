//! The core, exhaustively: small enough that every case can be run.

use super::*;

const VALID_UNTIL: Moment = Moment::from_nanos(1_000);
const GIVE_UP_AT: Moment = Moment::from_nanos(100);
const NOW: Moment = Moment::from_nanos(10);
const VOTES: [Vote; 4] = [Vote::Granted, Vote::Refused, Vote::Failed, Vote::Unknown];

fn majority(nodes: usize) -> Quorum {
    Quorum::new(nodes, Quorum::majority(nodes)).unwrap()
}

fn round(quorum: Quorum) -> Round {
    Round::new(quorum, VALID_UNTIL, GIVE_UP_AT)
}

/// The verdict of a round in which each node cast this last vote, worked out from
/// the definitions alone.
fn expected(quorum: Quorum, cast: &[Option<Vote>]) -> Option<Verdict> {
    let count = |vote| cast.iter().filter(|v| **v == Some(vote)).count();
    let silent = cast.iter().filter(|v| v.is_none()).count();
    if count(Vote::Granted) >= quorum.votes() {
        Some(Verdict::Held)
    } else if count(Vote::Granted) + silent >= quorum.votes() {
        None
    } else if count(Vote::Failed) + count(Vote::Unknown) > quorum.nodes() - quorum.votes() {
        Some(Verdict::Lost(Loss::NoQuorum))
    } else {
        Some(Verdict::Lost(Loss::Contended))
    }
}

fn check(round: &Round, cast: &[Option<Vote>], verdict: Option<Verdict>) {
    assert_eq!(round.verdict(), verdict, "{cast:?}");
    for (node, vote) in NodeId::all(cast.len()).zip(cast) {
        let innocent = matches!(vote, Some(Vote::Refused | Vote::Failed));
        assert_eq!(round.suspects().contains(node), !innocent, "{cast:?}");
    }
    let waits = verdict.is_none() && cast.iter().any(Option::is_none);
    assert_eq!(round.poll_timeout(), waits.then_some(GIVE_UP_AT), "{cast:?}");
}

/// Walks every order in which the nodes can vote, with a duplicate of a vote
/// and a timeout tried at every step. Returns how many states it saw.
fn walk(quorum: Quorum, round: &Round, cast: &mut [Option<Vote>], fixed: Option<Verdict>) -> u64 {
    let verdict = fixed.or_else(|| expected(quorum, cast));
    check(round, cast, verdict);

    let mut late = round.clone();
    late.handle_timeout(GIVE_UP_AT);
    assert!(late.verdict().is_some(), "nothing is awaited after the timeout: {cast:?}");
    assert_eq!(late.suspects(), round.suspects());
    assert!(verdict.is_none() || late.verdict() == verdict);
    let mut early = round.clone();
    early.handle_timeout(NOW);
    check(&early, cast, verdict);

    let mut seen = 1;
    for (node, place) in NodeId::all(cast.len()).zip(0..) {
        for vote in VOTES {
            let before = cast[place];
            let mut next = round.clone();
            next.handle_vote(node, vote, NOW);
            if before.is_some_and(|v| v != Vote::Unknown) {
                check(&next, cast, verdict); // a duplicate changes nothing
            } else if before.is_none() {
                cast[place] = Some(vote);
                seen += walk(quorum, &next, cast, verdict);
                cast[place] = None;
            }
        }
    }
    seen
}

#[test]
fn every_order_of_votes_duplicates_and_timeouts_for_one_to_five_nodes() {
    let mut seen = 0;
    for nodes in 1..=5 {
        // Larger quorums too, but for the largest count: that would take minutes.
        let largest = if nodes == 5 { Quorum::majority(nodes) } else { nodes };
        for votes in Quorum::majority(nodes)..=largest {
            let quorum = Quorum::new(nodes, votes).unwrap();
            seen += walk(quorum, &round(quorum), &mut vec![None; nodes], None);
        }
    }
    assert!(seen > 150_000, "only {seen} states were reached");
}

#[test]
fn no_assignment_of_nodes_gives_two_clients_the_lock() {
    for nodes in 1..=7 {
        let quorum = majority(nodes);
        // Each node grants to A, to B, or to neither.
        for assignment in 0..3u32.pow(u32::try_from(nodes).unwrap()) {
            let (mut a, mut b) = (round(quorum), round(quorum));
            for (node, place) in NodeId::all(nodes).zip(0..) {
                let grants_to = assignment / 3u32.pow(place) % 3;
                let vote = |client| {
                    if grants_to == client { Vote::Granted } else { Vote::Refused }
                };
                a.handle_vote(node, vote(0), NOW);
                b.handle_vote(node, vote(1), NOW);
            }
            let held = [&a, &b].iter().filter(|r| r.verdict() == Some(Verdict::Held)).count();
            assert!(held <= 1, "{nodes} nodes, assignment {assignment}: both hold");
            assert!(a.verdict().is_some() && b.verdict().is_some());
        }
    }
}

#[test]
fn a_quorum_at_or_after_the_deadline_is_expired() {
    for (at, verdict) in [
        (VALID_UNTIL.as_nanos() - 1, Verdict::Held),
        (VALID_UNTIL.as_nanos(), Verdict::Lost(Loss::Expired)),
        (VALID_UNTIL.as_nanos() + 1, Verdict::Lost(Loss::Expired)),
    ] {
        let mut round = Round::new(majority(3), VALID_UNTIL, Moment::NEVER);
        for node in NodeId::all(2) {
            round.handle_vote(node, Vote::Granted, Moment::from_nanos(at));
        }
        assert_eq!(round.verdict(), Some(verdict), "quorum at {at}");
        assert_eq!(round.suspects(), NodeSet::first(3), "all may hold the key");
    }
}

#[test]
fn a_late_answer_settles_an_unknown_but_not_the_verdict() {
    let mut round = round(majority(3));
    round.handle_timeout(GIVE_UP_AT);
    assert_eq!(round.verdict(), Some(Verdict::Lost(Loss::NoQuorum)));
    let mut nodes = NodeId::all(3);
    round.handle_vote(nodes.next().unwrap(), Vote::Refused, GIVE_UP_AT);
    assert_eq!(round.suspects().len(), 2, "it refused: nothing to release there");
    for node in nodes {
        round.handle_vote(node, Vote::Granted, GIVE_UP_AT);
    }
    assert_eq!(round.verdict(), Some(Verdict::Lost(Loss::NoQuorum)), "a late grant is no lock");
    assert_eq!(round.suspects().len(), 2, "and is still to be released");
}

#[test]
fn a_node_outside_the_configuration_has_no_vote() {
    let mut round = round(majority(1));
    round.handle_vote(NodeId::all(2).last().unwrap(), Vote::Granted, NOW);
    assert_eq!(round.verdict(), None);
}

#[test]
fn even_counts_need_more_than_half() {
    let mut round = round(majority(4));
    for (node, vote) in NodeId::all(4).zip([Vote::Granted, Vote::Granted, Vote::Refused]) {
        assert_eq!(round.verdict(), None);
        round.handle_vote(node, vote, NOW);
    }
    round.handle_vote(NodeId::all(4).last().unwrap(), Vote::Refused, NOW);
    assert_eq!(round.verdict(), Some(Verdict::Lost(Loss::Contended)), "a tie is lost, at once");
}

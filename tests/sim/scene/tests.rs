//! The directions must be such that the claims about them hold: what a scene calls
//! at once, in time and undisturbed is so in every plan that is drawn.

use std::{collections::HashSet, time::Duration};

use super::*;
use crate::{
    net,
    plan::{Deposed, Fault, Plan, Planned, Refusal, SECOND},
    profile::Profile,
};

const SEEDS: std::ops::Range<u64> = 0..500;

fn plans(profile: Profile) -> impl Iterator<Item = Plan> {
    SEEDS.map(move |seed| Plan::draw(seed, profile))
}

/// How many of all plans are so, in hundredths.
fn share(profile: Profile, is_so: impl Fn(&Plan) -> bool) -> usize {
    plans(profile).filter(is_so).count() * 100 / (SEEDS.end - SEEDS.start) as usize
}

#[test]
fn in_a_rush_a_round_trip_is_short_and_a_quorum_is_up() {
    for plan in plans(Profile::Rush) {
        let Some(Scene::Rush(rush)) = &plan.scene else { panic!("{plan:#?}") };
        for client in 0..plan.clients.len() {
            let timeout = plan.node_timeout(client, plan.habits.ttl);
            assert!(timeout >= Duration::from_millis(100), "{plan:#?}");
            assert!(timeout >= 20 * Duration::from_nanos(2 * plan.latency.1), "{plan:#?}");
            assert_eq!(plan.clients[client].users, 1);
        }
        assert!(plan.faults.len() <= plan.nodes.len() - plan.quorum());
        let over = rush.rounds.iter().map(|round| round.at + 2 * SECOND).max().unwrap();
        for fault in &plan.faults {
            assert_eq!((fault.at, fault.lasts), (0, over), "from the start to the end");
            assert!(fault.lasts < 10 * SECOND, "the slower level plays no longer faults");
        }
    }
    let hurt = share(Profile::Rush, |plan| !plan.faults.is_empty());
    let can_be_hurt = share(Profile::Rush, |plan| plan.nodes.len() > 2);
    assert!((can_be_hurt * 2 / 5..=can_be_hurt * 3 / 5).contains(&hurt), "{hurt}");
}

#[test]
fn in_half_of_the_scenes_each_client_has_names_of_its_own_for_the_nodes() {
    for profile in [Profile::Rush, Profile::Watch, Profile::Failover] {
        let named = share(profile, |plan| plan.clients[0].alias.is_some());
        assert!((40..=60).contains(&named), "{named}");
    }
    for plan in plans(Profile::Rush) {
        let aliases = plan.clients.iter().filter_map(|client| client.alias);
        let distinct = aliases.collect::<HashSet<_>>().len();
        assert!(distinct == 0 || distinct == plan.clients.len());
        for (client, node) in (0..plan.clients.len()).flat_map(|c| [(c, 0), (c, 10)]) {
            assert_eq!(Plan::node_at(&plan.host(client, node)), Some(node));
        }
    }
    assert_eq!(["", "x1", "n", "n-a"].map(Plan::node_at), [None; 4]);
}

#[test]
fn a_watch_is_quiet_only_where_those_who_wait_hear() {
    for plan in plans(Profile::Watch) {
        let Some(Scene::Watch(watch)) = &plan.scene else { panic!("{plan:#?}") };
        for (from, until) in &watch.quiet {
            assert!(watch.foreign.is_empty(), "nobody is told of what another library does");
            assert!(from < until && *from >= 3 * SECOND && *until <= watch.ends);
            let disturbs = |at| (from..until).contains(&at);
            let disturbed = plan.faults.iter().any(|fault| disturbs(&fault.at));
            assert!(!disturbed, "{plan:#?}");
        }
        assert!(watch.foreign.is_empty() || watch.foreign.len() >= plan.quorum());
        assert_eq!(watch.quiet.is_empty(), !watch.foreign.is_empty());
    }
    let foreign = share(Profile::Watch, |plan| match &plan.scene {
        Some(Scene::Watch(watch)) => !watch.foreign.is_empty(),
        _ => false,
    });
    assert!((40..=60).contains(&foreign), "{foreign}");
    let deaf = share(Profile::Watch, |plan| !plan.faults.is_empty());
    assert!(deaf >= 15, "{deaf}");
}

/// What the slower level makes of a plan must keep its promises, too.
#[test]
fn the_slower_level_keeps_to_the_directions() {
    for mut plan in [Profile::Rush, Profile::Watch, Profile::Failover].into_iter().flat_map(plans) {
        let before = plan.faults.len();
        net::coarsen(&mut plan);
        match &plan.scene {
            Some(Scene::Rush(_)) => {
                // A round trip takes three ticks of 10 ms at most.
                let timeout = plan.clients.iter().filter_map(|client| client.node_timeout).min();
                assert!(timeout >= Some(20 * Duration::from_millis(30)), "{plan:#?}");
                assert_eq!(plan.faults.len(), before);
            }
            Some(Scene::Watch(_)) => {
                let crashes = |fault: Fault| matches!(fault, Fault::Crash { .. });
                assert!(plan.faults.iter().all(|planned| crashes(planned.fault)), "{plan:#?}");
            }
            Some(Scene::Failover(_)) => assert_eq!(plan.faults.len(), before),
            None => panic!("{plan:#?}"),
        }
    }
}

#[test]
fn after_the_failovers_all_names_lead_to_the_nodes_and_no_login_is_cut() {
    let is_proxy = |fault| matches!(fault, Fault::Refuse { how: Refusal::Greeting, .. });
    for plan in plans(Profile::Failover) {
        let Some(Scene::Failover(failover)) = &plan.scene else { panic!("{plan:#?}") };
        let (proxies, others): (Vec<&Planned>, Vec<&Planned>) =
            plan.faults.iter().partition(|planned| is_proxy(planned.fault));
        assert!(others.iter().all(|planned| planned.at + planned.lasts <= failover.well_from));
        assert!(plan.faults.iter().all(|planned| planned.lasts < 10 * SECOND), "{plan:#?}");
        assert!(proxies.iter().all(|planned| planned.at + planned.lasts > failover.well_from));
        assert!(plan.faults.iter().any(|planned| planned.fault.deposed().is_some()));
    }
    let proxied = |plan: &Plan| plan.faults.iter().any(|planned| is_proxy(planned.fault));
    assert!(share(Profile::Failover, proxied) > 10);
    let moved = |plan: &Plan| (0..plan.nodes.len()).filter(|node| plan.servers(*node) > 1).count();
    assert!(share(Profile::Failover, |plan| moved(plan) >= plan.quorum()) > 50);
}

/// Only its greeting says what such a server is, so all logins there must come to it.
#[test]
fn where_an_old_server_writes_nothing_keeps_a_login_from_greeting_it() {
    let writes = |planned: &Planned| match planned.fault.deposed() {
        Some((node, Deposed::Writes)) => Some(node),
        Some((_, Deposed::Stays | Deposed::HangsUp)) | None => None,
    };
    for plan in plans(Profile::Failover) {
        let writing: Vec<_> = plan.faults.iter().filter_map(writes).collect();
        for planned in &plan.faults {
            let (Fault::CutLogin { node, .. } | Fault::Refuse { node, .. }) = planned.fault else {
                continue;
            };
            assert!(!writing.contains(&node), "{plan:#?}");
        }
    }
    assert!(plans(Profile::Moves).all(|plan| plan.faults.iter().filter_map(writes).count() == 0));
    assert!(
        share(Profile::Failover, |plan| plan.faults.iter().any(|it| writes(it).is_some())) > 30
    );
}

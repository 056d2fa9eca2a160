//! Single schedules in which a node has set the key and says that it has not, as one behind a
//! proxy that sends a command twice does. Who sees that at a look leaves no key there.

use super::{
    CALM,
    caller::Act::{Drop, Try},
    scenario::{Scenario, Step},
    world::World,
};
use crate::{exchange::Answer, protocol::Moment};

/// A client that has asked all nodes: those in `deny` have its key and refuse it, those in
/// `others` have another's, and the rest grant it.
fn refused_by(nodes: usize, deny: &[usize], others: &[usize]) -> World {
    let clients = vec![vec![vec![Try, Drop]]];
    let mut world = World::new(&Scenario { clients, nodes, stalls: 1_000, ..CALM });
    for node in others {
        world.nodes[*node] = Some((format!("another {node}").into_bytes(), Moment::NEVER));
    }
    world.play(Step::Act { client: 0, caller: 0 });
    for node in deny {
        world.play(Step::Execute { client: 0, node: *node });
        world.clients[0].links[*node].answers[0].1 = Answer::Refused;
    }
    world
}

/// Plays on until nothing more can happen, and says which nodes have a key for nobody.
fn left(mut world: World, others: &[usize]) -> Vec<usize> {
    while let Some(step) = world.steps().into_iter().next() {
        world.play(step);
    }
    let keys = world.nodes.iter().enumerate().filter(|(_, key)| key.is_some());
    keys.map(|(node, _)| node).filter(|node| !others.contains(node)).collect()
}

#[test]
fn a_node_that_a_look_shows_to_have_the_key_is_asked_to_release_it() {
    assert_eq!(left(refused_by(3, &[0], &[1, 2]), &[1, 2]), []);
}

#[test]
fn a_node_is_asked_so_where_the_attempt_was_taken_back_before() {
    for deny in [[0, 1], [1, 0]] {
        let mut world = refused_by(5, &deny, &[2, 3]);
        (0..5).for_each(|node| world.play(Step::Deliver { client: 0, node }));
        // The first that is seen has the attempt taken back, before the second is seen.
        deny.iter().for_each(|node| world.play(Step::Deliver { client: 0, node: *node }));
        assert_eq!(left(world, &[2, 3]), [], "{deny:?}");
    }
}

#[test]
fn a_node_is_asked_so_where_the_votes_were_kept() {
    for home in 0..3 {
        let others = [(home + 1) % 3];
        assert_eq!(left(refused_by(3, &[(home + 2) % 3], &others), &others), [], "{home}");
    }
}

//! The home-node rule: which contender goes on after a split vote.
//!
//! When several clients ask for a lock at once, each may get some nodes and none a
//! quorum. All of them then agree, without a word, on one node that decides. The
//! contender that has its vote keeps what it has and asks for the rest, while all
//! others give theirs back. This is a way out of a tie and no part of the guarantee:
//! contenders that see different nodes only take longer.

use super::{NodeId, NodeSet};

/// The node in `among` that decides for `key`. It is chosen by the names of the
/// nodes, since contenders may list them in different orders.
pub(crate) fn home<'a>(
    key: &[u8],
    names: impl Iterator<Item = (NodeId, &'a str)>,
    among: NodeSet,
) -> Option<NodeId> {
    let ranked = names.filter(|(node, _)| among.contains(*node));
    ranked.max_by_key(|(_, name)| (rank(key, name.as_bytes()), *name)).map(|(node, _)| node)
}

/// A hash over both names, FNV-1a: it is the same in every process.
fn rank(key: &[u8], name: &[u8]) -> u64 {
    let bytes = key.iter().chain([&0xff]).chain(name);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // FNV mixes its last bytes too little into the high bits.
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["a:6379", "b:6379", "c:6379", "d:6379", "e:6379"];

    fn home_of(key: &str, order: &[usize], among: NodeSet) -> Option<&'static str> {
        let names: Vec<_> = NodeId::all(5).zip(order.iter().map(|place| NAMES[*place])).collect();
        let home = home(key.as_bytes(), names.iter().copied(), among)?;
        names.iter().find(|(node, _)| *node == home).map(|(_, name)| *name)
    }

    #[test]
    fn it_is_the_same_however_the_nodes_are_listed() {
        let all = NodeSet::first(5);
        for key in ["k", "orders:42", ""] {
            let here = home_of(key, &[0, 1, 2, 3, 4], all);
            assert_eq!(here, home_of(key, &[4, 2, 0, 1, 3], all), "{key}");
        }
    }

    #[test]
    fn keys_spread_over_the_nodes_and_a_node_that_is_down_is_passed_over() {
        let mut homes = [0; 5];
        for key in 0..1000 {
            let key = format!("job:{key}");
            let first = home_of(&key, &[0, 1, 2, 3, 4], NodeSet::first(5)).unwrap();
            let place = NAMES.iter().position(|name| *name == first).unwrap();
            homes[place] += 1;
            let down = NodeId::all(5).nth(place).unwrap();
            let next = home_of(&key, &[0, 1, 2, 3, 4], NodeSet::first(5).without(down)).unwrap();
            assert_ne!(next, first);
        }
        assert!(homes.iter().all(|count| (120..=280).contains(count)), "{homes:?}");
        assert_eq!(home_of("k", &[0, 1, 2, 3, 4], NodeSet::EMPTY), None);
    }
}

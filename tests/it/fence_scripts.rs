//! The scripts of fencing numbers, each on a real server by itself: what they answer is settled
//! here, and what the library makes of it in `fenced`.

use redlock_quorum::testing::{Cluster, Reply, TestNode};

use crate::support::{assert_no_keys, bulk, run, set_up, start};

const ACQUIRE: &str = include_str!("../../src/node/fenced_acquire.lua");
const EXTEND: &str = include_str!("../../src/node/fenced_extend.lua");
const BURY: &str = include_str!("../../src/node/bury.lua");

/// A number of 2026, as a clock gives it in microseconds; servers' clocks are later.
const NUMBER: u64 = 1_760_000_000_000_000;

/// The largest number that a double tells from the one before.
const LAST: u64 = (1 << 53) - 1;

/// More than an hour ahead of any clock here.
const FUTURE: u64 = 4_000_000_000_000_000;

const TTL: &str = "600000";
const RETENTION: &str = "90000000";

/// What is no number, and yet at the key of a fence; some of it Lua takes for one.
const NO_NUMBERS: [&str; 12] = [
    "inf",
    "nan",
    "-5",
    "1e30",
    "junk",
    "12345",
    "18446744073709551615",
    "1760000000000000.5",
    "0x38d7ea4c68000ab",
    "0000000000000001",
    "9007199254740992",
    "9999999999999999",
];

/// One server, and a lock there.
struct Stand {
    cluster: Cluster,
}

impl Stand {
    async fn new() -> Self {
        Self { cluster: start(1).await }
    }

    fn node(&self) -> &TestNode {
        &self.cluster.nodes()[0]
    }

    async fn eval(&self, script: &str, args: &[&str]) -> Reply {
        let head = ["EVAL", script, "2", "job", "job:fence"];
        self.node().command(&[&head, args].concat()).await.unwrap()
    }

    async fn acquire(&self, token: &str, number: u64) -> Reply {
        self.eval(ACQUIRE, &[token, TTL, &number.to_string(), RETENTION]).await
    }

    async fn extend(&self, token: &str, number: u64, hands_on: bool) -> Reply {
        let hands_on = if hands_on { "1" } else { "" };
        self.eval(EXTEND, &[token, TTL, &number.to_string(), RETENTION, hands_on]).await
    }

    async fn bury(&self, token: &str, number: u64) -> Reply {
        self.eval(BURY, &[token, "", &number.to_string(), RETENTION]).await
    }

    /// The value at the lock, and the fence.
    async fn is(&self, value: Option<&str>, fence: Option<u64>) {
        let found = [run(self.node(), "GET job").await, run(self.node(), "GET job:fence").await];
        let text = |text: Option<String>| text.map_or(Reply::Nil, bulk);
        let wanted = [text(value.map(Into::into)), text(fence.map(|fence| fence.to_string()))];
        assert_eq!(found, wanted);
    }

    async fn life(&self, key: &str) -> i64 {
        run(self.node(), &format!("PTTL {key}")).await.as_int().unwrap()
    }

    async fn forget(&self) {
        run(self.node(), "DEL job job:fence").await;
    }

    async fn end(self) {
        self.forget().await;
        assert_no_keys(&self.cluster).await;
    }
}

fn int(number: u64) -> Reply {
    Reply::Int(i64::try_from(number).unwrap())
}

/// Another's value is at the lock, and this is the fence.
fn locked(fence: u64) -> Reply {
    Reply::Int(-1 - i64::try_from(fence).unwrap())
}

fn assert_refused(reply: &Reply, code: &str) {
    let Reply::Error(text) = reply else { panic!("{code}: {reply:?}") };
    assert!(text.starts_with(code), "{code}: {text}");
}

#[tokio::test]
async fn a_number_is_taken_only_if_it_is_above_the_fence() {
    let stand = Stand::new().await;
    assert_eq!(stand.acquire("a", NUMBER).await, int(0));
    stand.is(Some("a"), Some(NUMBER)).await;
    for (token, number, answer) in [
        ("b", NUMBER + 9, locked(NUMBER)),
        ("a", NUMBER, int(NUMBER)),
        ("a", NUMBER - 1, int(NUMBER)),
        ("a", NUMBER + 1, int(0)),
    ] {
        assert_eq!(stand.acquire(token, number).await, answer, "{token} {number}");
    }
    stand.is(Some("a"), Some(NUMBER + 1)).await;
    run(stand.node(), "DEL job").await;
    assert_eq!(stand.acquire("b", NUMBER + 1).await, int(NUMBER + 1), "two would have it");
    assert_eq!(stand.acquire("b", NUMBER + 2).await, int(0));
    stand.is(Some("b"), Some(NUMBER + 2)).await;
    stand.end().await;
}

#[tokio::test]
async fn numbers_are_told_apart_up_to_the_last() {
    let stand = Stand::new().await;
    run(stand.node(), &format!("SET job:fence {} PX 600000", LAST - 1)).await;
    assert_eq!(stand.acquire("a", LAST - 2).await, int(LAST - 1));
    assert_eq!(stand.acquire("a", LAST - 1).await, int(LAST - 1));
    assert_eq!(stand.acquire("a", LAST).await, int(0));
    assert_eq!(stand.acquire("b", LAST).await, locked(LAST));
    stand.is(Some("a"), Some(LAST)).await;
    stand.end().await;
}

#[tokio::test]
async fn a_number_far_ahead_of_the_servers_clock_is_refused_and_leaves_nothing() {
    let stand = Stand::new().await;
    assert_refused(&stand.acquire("a", FUTURE).await, "FUTURE");
    stand.is(None, None).await;
    assert_eq!(stand.acquire("a", NUMBER).await, int(0));
    assert_refused(&stand.extend("a", FUTURE, true).await, "FUTURE");
    assert_eq!(stand.extend("a", FUTURE, false).await, int(1), "an extension goes without");
    stand.is(Some("a"), Some(NUMBER)).await;
    assert_eq!(stand.bury("a", FUTURE).await, int(1), "and so does a release");
    stand.is(None, Some(NUMBER)).await;
    // Where a fence is there already, only a jump is asked about.
    run(stand.node(), &format!("SET job:fence {FUTURE} PX 600000")).await;
    assert_eq!(stand.acquire("a", FUTURE + 1).await, int(0));
    stand.end().await;
}

#[tokio::test]
async fn what_is_no_number_at_the_key_of_a_fence_is_somebody_elses_and_stays() {
    let stand = Stand::new().await;
    let texts = NO_NUMBERS.map(|text| format!("SET job:fence {text} PX 600000"));
    let others = ["RPUSH job:fence x", "HSET job:fence f x", "ZADD job:fence 1 x"];
    for command in texts.iter().map(String::as_str).chain(others) {
        run(stand.node(), command).await;
        let before = run(stand.node(), "DUMP job:fence").await;
        let life = stand.life("job:fence").await;
        assert_refused(&stand.acquire("a", NUMBER).await, "FENCE");
        assert_eq!(run(stand.node(), "EXISTS job").await, int(0), "{command}");
        run(stand.node(), "SET job a PX 1000").await;
        assert_eq!(stand.extend("a", NUMBER, false).await, int(1), "{command}");
        assert!(stand.life("job").await > 1000, "{command}: its holder keeps it");
        run(stand.node(), "SET job a PX 1000").await;
        assert_refused(&stand.extend("a", NUMBER, true).await, "FENCE");
        assert!(stand.life("job").await <= 1000, "{command}: it is handed on to nobody");
        run(stand.node(), "SET job a PX 600000").await;
        assert_refused(&stand.bury("a", NUMBER).await, "FENCE");
        assert_eq!(run(stand.node(), "EXISTS job").await, int(0), "{command}: it is released");
        assert_eq!(run(stand.node(), "DUMP job:fence").await, before, "{command}");
        assert!(stand.life("job:fence").await <= life, "{command}: nor does it live longer");
        stand.forget().await;
    }
    stand.end().await;
}

#[tokio::test]
async fn what_is_no_string_at_the_lock_is_anothers_and_stays() {
    let stand = Stand::new().await;
    run(stand.node(), "RPUSH job x").await;
    assert_eq!(stand.acquire("a", NUMBER).await, locked(0));
    assert_eq!(stand.extend("a", NUMBER, true).await, Reply::Int(-1));
    assert_eq!(run(stand.node(), "EXISTS job:fence").await, int(0));
    assert_eq!(stand.bury("a", NUMBER).await, int(0));
    assert_eq!(run(stand.node(), "LLEN job").await, int(1));
    assert_eq!(stand.acquire("a", NUMBER + 1).await, locked(NUMBER));
    stand.end().await;
}

#[tokio::test]
async fn an_acquire_that_comes_after_its_burial_is_refused() {
    let stand = Stand::new().await;
    assert_eq!(stand.bury("a", NUMBER).await, int(0), "nothing was there yet");
    assert_eq!(stand.acquire("a", NUMBER).await, int(NUMBER));
    stand.is(None, Some(NUMBER)).await;
    assert_eq!(stand.acquire("b", NUMBER + 1).await, int(0));
    assert_eq!(stand.bury("a", NUMBER).await, Reply::Int(-1), "the next holder's stays");
    stand.is(Some("b"), Some(NUMBER + 1)).await;
    assert_eq!(stand.bury("b", NUMBER + 5).await, int(1));
    stand.is(None, Some(NUMBER + 5)).await;
    stand.end().await;
}

#[tokio::test]
async fn a_lock_is_handed_on_with_a_higher_number_alone_and_extended_with_any() {
    let stand = Stand::new().await;
    assert_eq!(stand.extend("a", NUMBER, true).await, int(0), "nothing is there");
    assert_eq!(stand.acquire("a", NUMBER).await, int(0));
    assert_eq!(stand.extend("b", NUMBER + 1, true).await, Reply::Int(-1));
    assert_eq!(stand.extend("a", NUMBER, true).await, int(NUMBER));
    assert_eq!(stand.extend("a", NUMBER + 2, true).await, int(1));
    stand.is(Some("a"), Some(NUMBER + 2)).await;
    for (number, fence) in [(0, 2), (1, 2), (3, 3)] {
        let number = if number == 0 { 0 } else { NUMBER + number };
        assert_eq!(stand.extend("a", number, false).await, int(1));
        stand.is(Some("a"), Some(NUMBER + fence)).await;
    }
    stand.end().await;
}

#[tokio::test]
async fn a_fence_is_kept_for_as_long_as_it_was_last_granted_or_extended() {
    let stand = Stand::new().await;
    let is_kept = async || stand.life("job:fence").await > 80_000_000;
    let shorten = "PEXPIRE job:fence 500000";
    assert_eq!(stand.acquire("a", NUMBER).await, int(0));
    assert!(is_kept().await);
    for (number, hands_on) in [(NUMBER, false), (NUMBER + 1, false), (NUMBER + 2, true)] {
        run(stand.node(), shorten).await;
        assert_eq!(stand.extend("a", number, hands_on).await, int(1));
        assert!(is_kept().await, "{number}");
    }
    run(stand.node(), shorten).await;
    assert_eq!(stand.acquire("b", NUMBER + 9).await, locked(NUMBER + 2));
    assert_eq!(stand.acquire("a", NUMBER).await, int(NUMBER + 2));
    assert!(!is_kept().await, "a refusal keeps nothing");
    stand.end().await;
}

#[tokio::test]
async fn without_memory_a_lock_is_extended_and_released_and_neither_granted_nor_handed_on() {
    let stand = Stand::new().await;
    assert_eq!(stand.acquire("a", NUMBER).await, int(0));
    set_up(stand.cluster.nodes(), "PEXPIRE job 1000").await;
    set_up(stand.cluster.nodes(), "CONFIG SET maxmemory 1").await;
    let Reply::Error(refused) = stand.extend("a", NUMBER + 1, true).await else { panic!("no") };
    assert!(refused.contains("OOM"), "{refused}");
    assert!(stand.life("job").await <= 1000, "as if nobody had asked");
    assert_eq!(stand.extend("a", NUMBER, false).await, int(1));
    assert_eq!(stand.extend("a", NUMBER + 1, false).await, int(1), "without the number");
    assert!(stand.life("job").await > 1000);
    let Reply::Error(refused) = stand.acquire("a", NUMBER + 2).await else { panic!("no") };
    assert!(refused.contains("OOM"), "{refused}");
    let Reply::Error(refused) = stand.bury("b", NUMBER + 2).await else { panic!("no") };
    assert!(refused.contains("OOM"), "it is asked again: {refused}");
    set_up(stand.cluster.nodes(), "CONFIG SET maxmemory 0").await;
    stand.is(Some("a"), Some(NUMBER)).await;
    stand.end().await;
}

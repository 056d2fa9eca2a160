//! What a server's `INFO` says that matters to locks: which process it is, for how long it has run,
//! and whether it drops keys. What it does not say is unknown.

use std::time::Duration;

use super::server::Server;

/// Notes what one section of `INFO` says.
pub(super) fn note(server: &mut Server, section: &[u8]) {
    let Ok(text) = str::from_utf8(section) else { return };
    let field = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find_map(|(field, value)| (field == name).then_some(value.trim()))
    };
    // The name that a process has, other than all that ran before it.
    if let Some(id) = field("run_id").filter(|id| !id.is_empty()) {
        server.process = Some(id.into());
    }
    if let Some(seconds) = field("uptime_in_seconds").and_then(|uptime| uptime.parse().ok()) {
        // It is negative where the clock was set back since the server's start.
        let seconds: i64 = seconds;
        server.uptime = Some(Duration::from_secs(seconds.max(0).unsigned_abs()));
    }
    if let (Some(most), Some(policy)) = (field("maxmemory"), field("maxmemory_policy")) {
        server.evicts = most != "0" && policy != "noeviction";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_drops_keys_where_its_memory_has_a_limit_and_its_policy_says_so() {
        for (most, policy, evicts) in [
            ("0", "allkeys-lru", false),
            ("1048576", "noeviction", false),
            ("1048576", "volatile-ttl", true),
            ("1048576", "allkeys-lfu", true),
        ] {
            let mut server = Server::new(true);
            let text =
                format!("# Memory\r\nmaxmemory:{most}\r\nmaxmemory_policy:{policy}\r\nx:1\r\n");
            note(&mut server, text.as_bytes());
            assert_eq!(server.evicts, evicts, "{most} {policy}");
        }
    }

    #[test]
    fn sections_add_up_and_what_is_not_said_is_unknown() {
        let mut server = Server::new(true);
        note(&mut server, b"\xff");
        assert_eq!((&server.process, server.uptime), (&None, None));
        note(&mut server, b"# Server\r\nrun_id:abc\r\nuptime_in_seconds:17\r\n");
        note(&mut server, b"# Memory\r\nused_memory:1\r\n");
        let uptime = Some(Duration::from_secs(17));
        assert_eq!((server.process.as_deref(), server.uptime), (Some("abc"), uptime));
        assert!(!server.evicts);
    }
}

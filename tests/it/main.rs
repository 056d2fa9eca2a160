//! The integration tests: the public API against real servers.

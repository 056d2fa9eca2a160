//! The integration tests: the public API against real servers.

mod adopt;
mod at_key;
mod bad_input;
mod basics;
mod by_token;
mod cancel;
mod certs;
#[cfg(unix)]
mod child;
mod cured;
mod cut;
mod deaf;
mod drops;
mod errors;
mod failover;
mod fair;
mod far;
mod faults;
mod fence_scripts;
mod fenced;
mod fenced_elsewhere;
#[cfg(unix)]
mod fenced_postgres;
mod fenced_redis;
#[cfg(unix)]
mod fenced_writer;
mod fixture;
mod floor;
mod grace;
mod hand_over;
mod haproxy;
mod heal;
mod http_chance;
mod http_faults;
mod http_fuzz;
mod http_input;
mod http_openapi;
mod http_secrets;
mod http_session;
mod http_stand;
mod http_waiting;
mod hung;
mod inspect;
mod late;
mod line;
mod line_end;
mod local;
mod loss;
mod moved_clock;
#[cfg(target_os = "linux")]
mod names;
mod native;
mod others;
mod overload;
mod owner;
#[cfg(unix)]
mod page;
#[cfg(unix)]
mod page_browser;
mod page_events;
mod page_site;
mod permissions;
mod printed;
mod program;
mod proxy;
mod push;
mod renew;
mod rollback;
mod run;
mod runtimes;
mod secrets;
mod serve;
mod serve_end;
mod serve_load;
mod serve_reach;
mod serve_underway;
mod session;
mod shutdown;
mod split;
mod stopped;
mod stress;
mod strict;
mod support;
mod texts;
mod tls;
mod tower;
mod tower_hold;
mod tower_stacks;
mod tower_stand;
mod types;
mod unfit;
#[cfg(unix)]
mod unix;
mod validity;
mod waits;
mod wins;

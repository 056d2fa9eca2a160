//! The integration tests: the public API against real servers.

mod adopt;
mod bad_input;
mod basics;
mod cancel;
mod certs;
mod drops;
mod errors;
mod fair;
mod far;
mod faults;
mod fixture;
mod floor;
mod hand_over;
mod heal;
mod http_faults;
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
mod native;
mod overload;
#[cfg(unix)]
mod page;
#[cfg(unix)]
mod page_browser;
mod page_events;
mod page_site;
mod permissions;
mod printed;
mod proxy;
mod push;
mod renew;
mod rollback;
mod run;
mod runtimes;
mod secrets;
mod shutdown;
mod split;
mod stopped;
mod stress;
mod support;
mod tls;
mod types;
#[cfg(unix)]
mod unix;
mod validity;

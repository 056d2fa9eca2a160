//! The integration tests: the public API against real servers.

mod adopt;
mod bad_input;
mod basics;
mod cancel;
mod drops;
mod errors;
mod faults;
mod fixture;
mod floor;
mod heal;
mod hung;
mod late;
mod line;
mod line_end;
mod loss;
mod overload;
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

mod support;
mod types;
mod validity;

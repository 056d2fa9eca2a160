//! The integration tests: the public API against real servers.

mod bad_input;
mod basics;
mod cancel;
mod drops;
mod errors;
mod faults;
mod fixture;
mod handover;
mod heal;
mod hung;
mod late;
mod loss;
mod overload;
mod permissions;
mod printed;
mod proxy;
mod renew;
mod rollback;
mod run;
mod runtimes;
mod secrets;
mod shutdown;
mod support;
mod types;
mod validity;

//! What the benchmarks share: the servers and a look at them from outside, who
//! is measured and how, and how it is told.
//!
//! A library and not files that each includes: none of them needs all of it.

pub mod arguments;
pub mod commands;
pub mod common;
pub mod contenders;
pub mod fan_out;
pub mod machine;
pub mod many;
pub mod measure;
pub mod network;
pub mod observer;
pub mod process;
pub mod program;
pub mod report;
pub mod served;
pub mod table;

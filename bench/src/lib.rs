//! Benchmarks of pmedis beside native Redis: what `ci/bench` runs.
//!
//! | module | what |
//! |---|---|
//! | [`options`] | the command line |
//! | [`workload`] | the commands, and the data each of them needs |
//! | [`target`] | the servers that are compared |
//! | [`redis_benchmark`] | `redis-benchmark` as the client |
//! | [`processors`] | which processors they run on |
//! | [`throughput`] | interleaved rounds of it, over all commands |
//! | [`summary`] | medians, spread, ratios |
//! | [`operations`] | the engine's operations, without a server |
//! | [`fences`] | their fences and flushed lines |
//! | [`instructions`] | their instructions and cache misses, by callgrind |
//! | [`costs`] | the checked-in table of these, and how a build differs from it |
//! | [`measure`] | large values of the structures: time, fences, space |
//! | [`machine`] | what the figures were measured on |
//! | [`latency`] | latencies under a mixed load, with something large going on beside it |
//! | [`restart`] | time to the first reply after a restart, memory a key |
//! | [`filling`] | what clients see while the keyspace is filled then |
//! | [`disk`] | pools on a disk beside `appendfsync always` |
//! | [`unprefixed`] | plain names beside prefixed ones |
//! | [`report`] | CSV, JSON and Markdown |
//! | [`chart`] | grouped bars, as SVG |

pub mod chart;
pub mod costs;
pub mod disk;
pub mod fences;
pub mod filling;
pub mod instructions;
pub mod latency;
pub mod machine;
pub mod measure;
pub mod operations;
pub mod options;
pub mod processors;
pub mod redis_benchmark;
pub mod report;
pub mod restart;
pub mod summary;
pub mod target;
pub mod throughput;
pub mod unprefixed;
pub mod workload;

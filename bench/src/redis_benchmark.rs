//! `redis-benchmark`, as Redis ships it, is the client: anybody can check the figures with it.

use std::io;
use std::process::{Command, Stdio};
use testkit::packaged::Packaged;

/// What one run of it reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Requests a second.
    pub rps: f64,
    /// Latencies in milliseconds: the median, ...
    pub p50_ms: f64,
    /// ... 99 of 100 are below this, ...
    pub p99_ms: f64,
    /// ... and the worst.
    pub max_ms: f64,
}

/// How it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Connections.
    pub clients: u64,
    /// Requests sent before their replies are waited for.
    pub pipeline: u64,
    /// Requests in all.
    pub requests: u64,
    /// `__rand_int__` is below this.
    pub range: u64,
}

/// Runs `redis-benchmark` with one command against 127.0.0.1.
///
/// # Errors
/// If it is not there, fails, or says something unknown.
pub fn run(port: u16, load: Load, words: &[String]) -> io::Result<Sample> {
    let Load {
        clients,
        pipeline,
        requests,
        range,
    } = load;
    let output = Command::new(Packaged::current().program("benchmark"))
        .args(["-h", "127.0.0.1", "--csv"])
        .args(["-p", &port.to_string(), "-c", &clients.to_string()])
        .args(["-P", &pipeline.to_string(), "-n", &requests.to_string()])
        .args(["-r", &range.to_string()])
        .args(words)
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let failed = || {
        let said = String::from_utf8_lossy(&output.stderr);
        io::Error::other(format!("redis-benchmark ({}): {text}{said}", output.status))
    };
    if !output.status.success() {
        return Err(failed());
    }
    text.lines().rev().find_map(parse).ok_or_else(failed)
}

/// A line `"command","rps","avg","min","p50","p95","p99","max"`.
fn parse(line: &str) -> Option<Sample> {
    let columns: Vec<&str> = line.trim().trim_matches('"').split("\",\"").collect();
    let [_, rps, _, _, p50, _, p99, max] = columns[..] else {
        return None;
    };
    Some(Sample {
        rps: rps.parse().ok()?,
        p50_ms: p50.parse().ok()?,
        p99_ms: p99.parse().ok()?,
        max_ms: max.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_results_are_told_from_heads() {
        let head = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\
            \"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"";
        assert_eq!(parse(head), None);
        let line = "\"GET key:__rand_int__\",\"68662.45\",\"7.114\",\"0.384\",\"5.767\",\"13.423\",\"17.023\",\"436.223\"";
        let sample = Sample {
            rps: 68662.45,
            p50_ms: 5.767,
            p99_ms: 17.023,
            max_ms: 436.223,
        };
        assert_eq!(parse(line), Some(sample));
    }
}

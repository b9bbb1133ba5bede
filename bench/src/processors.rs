//! On which processors a program runs.
//!
//! With one client and no pipeline, server and client wait for each other all the time. On two
//! processors each request then waits for two of them to wake up; where a hypervisor has to wake
//! them, that takes some hundred microseconds, and as many more or less. On one processor they take
//! turns.

use std::io;
use std::process::{Command, Stdio};

/// A set of processors, as the kernel lists it: `0-3,8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processors(String);

impl Processors {
    /// Those that a process may use.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn of(pid: u32) -> io::Result<Processors> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let mut lines = status.lines();
        let list = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let list = list.ok_or_else(|| io::Error::other("the kernel lists no processors"))?;
        Ok(Processors(list.trim().to_owned()))
    }

    /// The first of them alone.
    pub fn first(&self) -> Processors {
        let first = self.0.split([',', '-']).next().unwrap_or_default();
        Processors(first.to_owned())
    }

    /// Has the main thread of a process run on these only.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn pin(&self, pid: u32) -> io::Result<()> {
        let mut taskset = Command::new("taskset");
        taskset.args(["--pid", "--cpu-list", &self.0, &pid.to_string()]);
        match taskset.stdout(Stdio::null()).status()? {
            status if status.success() => Ok(()),
            status => Err(io::Error::other(format!("taskset: {status}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Processors;

    #[test]
    fn a_process_stays_where_it_is_pinned() {
        let pid = std::process::id();
        let all = Processors::of(pid).unwrap();
        assert_eq!(Processors("2-3,8".into()).first(), Processors("2".into()));
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pinned = all.first().pin(child.id());
        let found = Processors::of(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        pinned.unwrap();
        assert_eq!(found.unwrap(), all.first());
        assert!(all.pin(u32::MAX / 2).is_err(), "there is no such process");
    }
}

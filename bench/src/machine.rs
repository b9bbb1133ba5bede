//! What the figures were measured on.

use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::packaged::Packaged;

/// The machine, and how busy others kept it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// Main memory in GiB.
    pub memory_gib: f64,
    /// The kernel's release.
    pub kernel: String,
    /// What the server says of its version.
    pub redis: String,
    /// Seconds since 1970.
    pub time: u64,
    /// Load averages at the start: of 1, 5 and 15 minutes. Above the number of processors, others
    /// compete for them.
    pub load: String,
    /// 128-byte appends made durable by fdatasync, a second, in the directory of the AOFs.
    pub fdatasyncs_per_second: Option<f64>,
}

impl Machine {
    /// Looks at this machine; `disk` is where AOFs go.
    ///
    /// # Errors
    /// If the disk cannot be written.
    pub fn look(disk: Option<&Path>) -> io::Result<Machine> {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or(String::new(), |(_, value)| value.trim().to_owned())
        };
        let memory = after(&read("/proc/meminfo"), "MemTotal");
        let kib: f64 = memory.trim_end_matches(" kB").parse().unwrap_or(0.0);
        let version = Command::new(Packaged::current().program("server"))
            .arg("--version")
            .output()?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Ok(Machine {
            processor: after(&read("/proc/cpuinfo"), "model name"),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (kib / (1 << 20) as f64 * 10.0).round() / 10.0,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            redis: String::from_utf8_lossy(&version.stdout).trim().to_owned(),
            time: now.map_or(0, |now| now.as_secs()),
            load: read("/proc/loadavg").trim().to_owned(),
            fdatasyncs_per_second: disk.map(fdatasyncs).transpose()?,
        })
    }
}

/// Appends of 128 bytes, each made durable, a second.
fn fdatasyncs(dir: &Path) -> io::Result<f64> {
    const FOR: Duration = Duration::from_secs(1);
    let file = tempfile::tempfile_in(dir)?;
    let sync = |mut file: &File| {
        file.write_all(&[b'x'; 128])?;
        file.sync_data()
    };
    sync(&file)?;
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < FOR {
        sync(&file)?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

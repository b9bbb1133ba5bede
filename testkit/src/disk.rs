//! File systems that are small.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of its own, which ends with this.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of so many megabytes at a new directory; `None` where mounting is not allowed.
    ///
    /// # Panics
    /// If the directory cannot be made.
    pub fn mount(at: PathBuf, megabytes: u32) -> Option<Self> {
        fs::create_dir(&at).expect("a new directory");
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(&at);
        let mounted = command
            .output()
            .expect("mount can be started")
            .status
            .success();
        mounted.then_some(Self(at))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "{} stays mounted",
            self.0.display()
        );
    }
}

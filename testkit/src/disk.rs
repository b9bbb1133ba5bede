//! File systems that are small, or have layers.

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

/// A file system of two layers, as containers have: what is in the lower one stays as it is.
pub struct Layers(SmallDisk);

impl Layers {
    /// Mounts one, empty, at the new directory `at`, whose upper layer is in the directory `in_`;
    /// `None` where that is not to be had.
    ///
    /// # Panics
    /// If directories cannot be made.
    pub fn mount(at: PathBuf, in_: &Path) -> Option<Self> {
        let layer = |name: &str| {
            let layer = in_.join(name);
            fs::create_dir(&layer).expect("a new directory");
            layer.display().to_string()
        };
        let (lower, upper, work) = (layer("lower"), layer("upper"), layer("work"));
        fs::create_dir(&at).expect("a new directory");
        let mounted = Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o"])
            .arg(format!("lowerdir={lower},upperdir={upper},workdir={work}"))
            .arg(&at)
            .output()
            .expect("mount can be started");
        mounted.status.success().then_some(Self(SmallDisk(at)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
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

//! Child processes by fork: they have everything loaded, and may die of what they find.

use std::fs;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A forked child; killed if it is still running when it is dropped.
pub struct Child {
    pid: libc::pid_t,
    is_waited_for: bool,
}

/// Runs `work` in a forked child, which ends with it; a panic makes it end with an error.
///
/// # Panics
/// If this process has other threads: they would be missing in the child, with locks of theirs
/// held.
pub fn fork(work: impl FnOnce()) -> Child {
    let threads = fs::read_dir("/proc/self/task")
        .expect("procfs is mounted")
        .count();
    assert_eq!(
        threads, 1,
        "only a process with one thread can be forked safely"
    );
    // SAFETY: there are no other threads (checked), so the child is a whole copy of this process.
    match unsafe { libc::fork() } {
        -1 => panic!("cannot fork: {}", io::Error::last_os_error()),
        0 => run_and_exit(work),
        pid => Child {
            pid,
            is_waited_for: false,
        },
    }
}

fn run_and_exit(work: impl FnOnce()) -> ! {
    // SAFETY: asks to be killed together with the parent; no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let code = if catch_unwind(AssertUnwindSafe(work)).is_ok() {
        0
    } else {
        1
    };
    io::stdout().flush().ok();
    // SAFETY: ends the process without running the exit handlers, which belong to the parent.
    unsafe { libc::_exit(code) }
}

impl Child {
    /// Waits for the end of the child; an error says what it was if it was not a good one.
    pub fn wait(mut self) -> Result<(), String> {
        let status = self.reap();
        if libc::WIFSIGNALED(status) {
            Err(format!("died of signal {}", libc::WTERMSIG(status)))
        } else if libc::WEXITSTATUS(status) != 0 {
            Err(format!("ended with code {}", libc::WEXITSTATUS(status)))
        } else {
            Ok(())
        }
    }

    fn reap(&mut self) -> libc::c_int {
        let mut status = 0;
        // SAFETY: waits for a child of ours that nobody else waits for; `status` is ours to write.
        let pid = unsafe { libc::waitpid(self.pid, &mut status, 0) };
        assert_eq!(
            pid,
            self.pid,
            "cannot wait for a child: {}",
            io::Error::last_os_error()
        );
        self.is_waited_for = true;
        status
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_waited_for {
            // SAFETY: the child has not been waited for, so the pid is still its own.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            self.reap();
        }
    }
}

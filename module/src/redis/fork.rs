//! What happens around a fork: a call before it, and children that end with the server.

use std::sync::atomic::{AtomicI32, Ordering};

use super::{guard, on_main_thread, zero_sized};

unsafe extern "C" fn on_fork<H: Fn() + Copy + 'static>() {
    guard((), || zero_sized::<H>()());
}

/// Calls `handler` from now on before the process forks, on the thread that does. `false` if there
/// is no memory to remember it.
pub fn before_fork<H: Fn() + Copy + 'static>(_handler: H) -> bool {
    // SAFETY: the callback is a function without arguments, of a library that stays loaded.
    unsafe { libc::pthread_atfork(Some(on_fork::<H>), None, None) == 0 }
}

/// The process that is about to fork.
static PARENT: AtomicI32 = AtomicI32::new(0);

unsafe extern "C" fn before_child() {
    // SAFETY: a system call without arguments that cannot fail.
    PARENT.store(unsafe { libc::getpid() }, Ordering::Relaxed);
}

unsafe extern "C" fn end_with_parent() {
    // The signal comes when the *thread* ends that has forked: only the server's own thread lasts.
    if !on_main_thread() {
        return;
    }
    // SAFETY: system calls that touch no memory, and are allowed after a fork. Of a parent that was
    // gone before the first one, the second one tells.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != PARENT.load(Ordering::Relaxed) {
            libc::_exit(1);
        }
    }
}

/// Sees to it that what the server forks from now on ends with it. A child has the pool mapped, and
/// with it the lock on the pool's file, and what it sees of the pool is of the moment of the fork
/// only while its server looks after that. `false` if there is no memory to remember it.
pub fn end_children_with_server() -> bool {
    // SAFETY: the callbacks are functions without arguments, of a library that stays loaded.
    unsafe { libc::pthread_atfork(Some(before_child), None, Some(end_with_parent)) == 0 }
}

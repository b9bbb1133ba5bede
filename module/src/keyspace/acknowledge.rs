//! Acknowledging: what is durable before a reply leaves, and how the module sees to it.
//!
//! Where the module looks at what is sent (`redis/output.rs`), a commit leaves its fence to the
//! next access of the pool, or to the moment before something is sent, before the process forks, or
//! before the cycle ends, whichever comes first: the processor has then done what it would have
//! waited for. With a journal, all commits until the moment before something is sent are one
//! record.
//!
//! With threads for I/O, and with TLS on newer servers, that look comes too late, or not at all.
//! The commit of a command of ours leaves its fence, or its record, to the next access of the pool,
//! a fork, or the end of the command's handler then.

use super::groups::end_group;
use super::{ENGINE, Engine, apply, durable};
use crate::SETTINGS;
use crate::config::OutputHook;
use crate::redis::{
    Around, Ctx, Output, before_fork, before_output, sees_tls, server_flags, surround_writes,
    tells_after_commands,
};
use crate::report;
use pobj::CommitMode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sees to it that groups end before anything is sent, and that commits wait for their fence no
/// longer than they have to. Only as the very last step of loading the module: it cannot be undone.
pub fn watch_output(ctx: &Ctx) {
    let jobs_run = tells_after_commands();
    let can_defer = before_fork(sync_for_child);
    let is_wanted = SETTINGS.with(|settings| settings.output_hook) != Ok(OutputHook::No);
    let sees_output = is_wanted && before_output(output_begins);
    if !sees_output && !jobs_run {
        report::warn(
            "the module does not intercept what this server sends: if a client is slow to read, the \
             reply of EXEC or a script can leave microseconds before its writes are durable",
        );
    }
    let output_watched = sees_output && sends_in_sight(ctx);
    apply("the setup", |engine| {
        engine.event_loop.jobs_run(jobs_run);
        engine.event_loop.can_see_output(sees_output && can_defer);
        engine.watch_output(output_watched);
    });
    if can_defer && (jobs_run || !output_watched) {
        surround_writes(Around {
            begins: write_begins,
            ends: write_ends,
        });
    }
    FOLLOWS_SETTINGS.store(jobs_run && sees_output, Ordering::Relaxed);
}

/// Whether it depends on the server's settings what is seen of its output.
static FOLLOWS_SETTINGS: AtomicBool = AtomicBool::new(false);

/// Whether the server's settings have it send everything on its main thread, where the module sees
/// it.
fn sends_in_sight(ctx: &Ctx) -> bool {
    let is = |name: &str, value: &[u8]| {
        ctx.setting(name)
            .is_none_or(|text| text.eq_ignore_ascii_case(value))
    };
    let uses_tls = || {
        let off: [(&str, &[u8]); 4] = [
            ("tls-port", b"0"),
            ("tls-replication", b"no"),
            ("tls-cluster", b"no"),
            ("rdma-port", b"0"),
        ];
        off.into_iter().any(|(name, value)| !is(name, value))
    };
    is("io-threads", b"1") && (sees_tls() || !uses_tls())
}

/// The server's settings have changed: what it sends is seen from now on, or not any more.
pub(super) fn follow_settings(ctx: &Ctx) {
    if !FOLLOWS_SETTINGS.load(Ordering::Relaxed) {
        return;
    }
    let in_sight = sends_in_sight(ctx);
    durable("a change of settings", |engine| {
        engine.sync();
        engine.watch_output(in_sight);
        Ok(())
    });
}

/// The server has become a master, or a replica: some of these run no jobs after commands.
pub(super) fn follow_role(master: bool) {
    let jobs_run = master && tells_after_commands();
    apply("a change of role", |engine| {
        engine.event_loop.jobs_run(jobs_run)
    });
}

/// The server is about to send something. A script that has run for long lets it send meanwhile;
/// then its group goes on.
fn output_begins(output: Output) {
    let waits =
        ENGINE.with(|engine| engine.store.pool.in_group() || engine.store.pool.is_pending());
    if waits != Ok(true) || !output.is_sent() {
        return;
    }
    let in_group = ENGINE.with(|engine| {
        engine.sync();
        engine.store.pool.in_group()
    });
    if in_group == Ok(true) && !server_flags().in_multi_or_script() {
        end_group(false);
    }
}

/// A command of ours that writes begins: its commit need not wait for its fence.
fn write_begins() {
    apply("the beginning of a command", |engine| {
        engine.store.pool.set_commit_mode(CommitMode::Deferred);
        if engine.event_loop.may_be_held_back()
            && !engine.store.pool.in_group()
            && server_flags().in_multi_or_script()
        {
            engine.watch_cycles();
            engine.open_group();
        }
    });
}

/// Its handler ends: what it has committed is durable, and its reply may leave.
fn write_ends() {
    apply("the end of a command", |engine| {
        if engine.event_loop.output_is_watched() {
            return;
        }
        // What is in a group is durable at its end.
        if !engine.store.pool.in_group() {
            engine.sync();
        }
        engine.store.pool.set_commit_mode(CommitMode::Immediate);
    });
}

/// A child is about to be forked: it sees what was committed.
fn sync_for_child() {
    durable("the last commands", |engine| {
        engine.sync();
        Ok(())
    });
}

impl Engine {
    /// Has commits wait for the moment before something is sent, if that is seen; or has them wait
    /// no longer.
    fn watch_output(&mut self, in_sight: bool) {
        let mode = if self.event_loop.watch_output(in_sight) {
            CommitMode::Deferred
        } else {
            CommitMode::Immediate
        };
        self.store.pool.set_commit_mode(mode);
    }
}

//! Commands that change the pool in several steps, as one atomic and durable step.
//!
//! EXEC, scripts, RENAME onto a key, DEL of several keys: each part of them commits. A command
//! filter sees them begin and opens a group, of which all commits are steps. It ends, and is
//! durable, before the next command of any client runs, before the server sends anything to
//! anybody, and at the latest when the event-loop cycle ends.
//!
//! The module looks at what is sent (`redis/output.rs`). So a commit leaves its fence to the next
//! access of the pool, or to the moment before something is sent, before the process forks, or
//! before the cycle ends, whichever comes first: the processor has then done what it would have
//! waited for. With a journal, all commits until the moment before something is sent are one
//! record.
//!
//! With threads for I/O, and with TLS on newer servers, that look comes too late, or not at all.
//! The commit of a command of ours leaves its fence, or its record, to the next access of the pool,
//! a fork, or the end of the command's handler then. A group ends with its command on servers from
//! 7.2 on, which run a callback right after each. Redis 7.0 has none, and runs commands of clients
//! that were just unblocked, or that CLIENT PAUSE held back, *after* it has told of the end of the
//! cycle, and sends their replies at once, from any thread. No group is opened there then: each
//! step is durable on its own, so that no reply is ahead of it.

use super::open::config_value;
use super::watched::{Watched, watched};
use super::{ENGINE, Engine, afterwards, durable, expiring, fill, loading, substitutes, undurable};
use crate::redis::{
    Arg, Around, Ctx, FilterArgs, Output, after_command, before_fork, before_output, follow_homes,
    keep_homes, sees_tls, server_flags, spares_replicas, stands_in_for_all_keys, surround_writes,
    sync_begins, sync_may_end, tells_after_commands,
};
use crate::report;
use pobj::{CommitMode, Pool, Result};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// The moment that the commands of the open group see, in Unix milliseconds; 0 until one asks.
static GROUP_TIME: AtomicI64 = AtomicI64::new(0);

/// The moment that a command sees, in Unix milliseconds: to all commands of EXEC or a script it is
/// the same.
pub fn now(ctx: &Ctx, pool: &Pool) -> i64 {
    if !pool.in_group() {
        return ctx.now_ms();
    }
    match GROUP_TIME.load(Ordering::Relaxed) {
        0 => {
            let now = ctx.now_ms();
            GROUP_TIME.store(now, Ordering::Relaxed);
            now
        }
        seen => seen,
    }
}

/// Subscribes to commands. Only while the module is being loaded.
pub(super) fn subscribe(ctx: &Ctx) {
    keep_homes(ctx);
    ctx.filter_commands(before_command);
}

/// Sees to it that groups end before anything is sent, and that commits wait for their fence no
/// longer than they have to. Only as the very last step of loading the module: it cannot be undone.
pub fn watch_output(ctx: &Ctx) {
    let jobs_run = tells_after_commands();
    let can_defer = before_fork(sync_for_child);
    let sees_output = before_output(output_begins);
    if !sees_output && !jobs_run {
        report::warn(
            "this server does not let the module look at what it sends: to a client that is slow to \
             read, the reply of EXEC or a script can leave microseconds before its writes are durable",
        );
    }
    let output_watched = sees_output && sends_in_sight(ctx);
    durable("the setup", |engine| {
        engine.event_loop.jobs_run(jobs_run);
        engine.event_loop.can_see_output(sees_output && can_defer);
        engine.watch_output(output_watched);
        Ok(())
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
    let is = |name: &[u8], value: &[u8]| {
        config_value(ctx, name).is_none_or(|text| text.eq_ignore_ascii_case(value))
    };
    let uses_tls = || {
        let off: [(&[u8], &[u8]); 4] = [
            (b"tls-port", b"0"),
            (b"tls-replication", b"no"),
            (b"tls-cluster", b"no"),
            (b"rdma-port", b"0"),
        ];
        off.into_iter().any(|(name, value)| !is(name, value))
    };
    is(b"io-threads", b"1") && (sees_tls() || !uses_tls())
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
    let _ = ENGINE.with(|engine| engine.event_loop.jobs_run(jobs_run));
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

/// A command of ours begins that takes several steps, which are one to everybody: all commits from
/// here to its end are a group, or belong to the one that is open.
pub fn begin_several_steps() {
    durable("the last commands", |engine| {
        engine.watch_cycles();
        if !engine.store.pool.in_group() {
            engine.make_room();
            engine.open_group();
        }
        Ok(())
    });
}

/// A command of ours that writes begins: its commit need not wait for its fence.
fn write_begins() {
    let _ = ENGINE.with(|engine| {
        engine.store.pool.set_commit_mode(CommitMode::Deferred);
        if engine.event_loop.may_be_postponed()
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
    let _ = ENGINE.with(|engine| {
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

/// The end of an event-loop cycle: replies are sent after this.
pub(super) fn cycle_ends() {
    end_group(true);
}

/// The event loop has slept; its next cycle begins.
pub(super) fn cycle_begins() {
    durable("a cycle", |engine| {
        engine.event_loop.cycle_begins();
        Ok(())
    });
}

fn end_group(between_cycles: bool) {
    afterwards::restore_keys();
    durable("the last commands", |engine| {
        if between_cycles {
            engine.event_loop.cycle_ends();
        }
        engine.life.end_reload();
        engine.end_group()?;
        engine.store.pool.keep_reserve()?;
        engine.sync();
        Ok(())
    });
}

/// Before each command of a client or a script: the group of the command before it is over, and a
/// command of several steps begins one. Nearly all have nothing to do here, so that is found out
/// first.
fn before_command(args: FilterArgs<'_>) {
    let args = if undurable::is_troubled() {
        undurable::refuse(args)
    } else {
        Some(args)
    };
    let Some(args) = args.map(substitutes::substitute) else {
        return;
    };
    let Some(name) = args.get(0).map(Arg::bytes) else {
        return;
    };
    follow_homes(name, &args);
    let (groups, reloads) = match watched(name) {
        None => (false, false),
        Some(what) => look_at(what, &args),
    };
    let idle = |engine: &mut Engine| {
        engine.prefetch_bucket(name, &args);
        !engine.store.pool.in_group()
            && engine.filling.is_none()
            && engine.life.reloads() == reloads
            && !engine.store.has_garbage()
            && engine.cycles_are_seen_to()
    };
    if groups || ENGINE.with(idle) != Ok(true) {
        prepare(groups, reloads, args);
    }
}

/// What [`before_command`] does about a command that is known by its name: whether it begins a
/// group, and whether it loads a file in place of what there is.
#[cold]
fn look_at(what: Watched, args: &FilterArgs<'_>) -> (bool, bool) {
    match what {
        Watched::Steps => (true, false),
        Watched::StepsIfMany => (args.len() > 2, false),
        // Where it is one of ours, it is one step.
        Watched::SetsMany => (args.len() > 2 && !stands_in_for_all_keys(), false),
        Watched::Syncs => {
            sync_begins(args);
            (false, false)
        }
        Watched::Confirms => {
            sync_may_end(args);
            (false, false)
        }
        Watched::Debugs => {
            expiring::follow_debug(args);
            (false, loading::is_reload(args))
        }
    }
}

/// What [`before_command`] does if there is something to do.
#[cold]
fn prepare(groups: bool, reloads: bool, args: FilterArgs<'_>) {
    if ENGINE.with(|engine| engine.filling.is_some()) == Ok(true) {
        fill::before_command(args);
    }
    if !server_flags().in_multi_or_script() {
        afterwards::restore_keys();
    }
    durable("the last commands", |engine| {
        engine.watch_cycles();
        loading::note_reload(engine, reloads);
        if engine.store.pool.in_group() {
            // A script's own commands belong to its group.
            if server_flags().in_multi_or_script() {
                return Ok(());
            }
            engine.end_group()?;
        }
        engine.make_room();
        if groups {
            engine.open_group();
        }
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

    /// Opens a group, if it will end before anything is sent.
    fn open_group(&mut self) {
        let ends_in_time = |engine: &Engine| {
            let events = &engine.event_loop;
            events.output_is_watched() || after_command(command_ends) || events.is_in_cycle()
        };
        if self.life.shows_keys() && ends_in_time(self) {
            GROUP_TIME.store(0, Ordering::Relaxed);
            self.store.begin_group();
        }
    }

    /// Ends the open group, if there is one. One of which nothing has come may be that of a command
    /// that CLIENT PAUSE holds back. The server does not show it to the filter again when it runs:
    /// the first command of ours in it opens its group then.
    fn end_group(&mut self) -> Result<()> {
        if !self.store.pool.in_group() {
            return Ok(());
        }
        if !self.store.pool.has_steps() && spares_replicas() {
            self.event_loop.postpone();
        }
        self.store.end_group()
    }
}

/// After a command, and all that it ran, on servers that tell.
fn command_ends() {
    afterwards::restore_keys();
    durable("the last commands", |engine| {
        engine.end_group()?;
        if !engine.event_loop.output_is_watched() {
            engine.store.pool.keep_reserve()?;
            engine.sync();
        }
        Ok(())
    });
}

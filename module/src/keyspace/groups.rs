//! Commands that change the pool in several steps, as one atomic and durable step.
//!
//! EXEC, scripts, RENAME onto a key, DEL of several keys: each part of them commits. A command filter
//! sees them begin and opens a group, of which all commits are steps. It ends, and is durable, before
//! the next command of any client runs, before the server sends anything to anybody, and at the latest
//! when the turn of the event loop ends.
//!
//! Servers from 7.2 on run a callback right after each command. Redis 7.0 has none, so there the module
//! looks at what is sent (`redis/output.rs`). There, a commit also leaves its fence to the next access of the
//! pool, or to the moment before something is sent, before the process forks, or before the turn ends,
//! whichever comes first: the processor has then done what it would have waited for.
//!
//! With threads for I/O that look comes too late for one stretch
//! of time: Redis runs commands of clients that were just unblocked, or that CLIENT PAUSE held back,
//! *after* it has told of the end of the turn, and sends their replies at once, from any thread. No group is
//! opened there then: each step is durable on its own, so that no reply is ahead of it.

use super::{ENGINE, Engine, durable, expiring, fill, loading};
use crate::redis::{
    Arg, Ctx, FilterArgs, Level, Reply, after_command, before_fork, before_output, follow_homes,
    follow_syncs, keep_homes, log, server_flags, stands_in_for_all_keys, tells_after_commands,
};
use pobj::Pool;
use std::sync::atomic::{AtomicI64, Ordering};

/// The moment that the commands of the open group see, in Unix milliseconds; 0 until one asks.
static GROUP_TIME: AtomicI64 = AtomicI64::new(0);

/// The moment that a command sees, in Unix milliseconds: to all commands of EXEC or a script it is the same.
pub fn now(ctx: &Ctx, pool: &Pool) -> i64 {
    if !pool.is_held() {
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

/// Sees to it that groups end before anything is sent. Only as the very last step of loading the module:
/// it cannot be undone.
pub fn watch_output(ctx: &Ctx) {
    if tells_after_commands() {
        return;
    }
    let watched = before_output(output_begins);
    if !watched {
        log(
            Level::Warning,
            "this server does not let the module look at what it sends: to a client that is slow to \
             read, the reply of EXEC or a script can leave microseconds before its writes are durable",
        );
    }
    let one_thread = match ctx.call(c"CONFIG", &[b"GET", b"io-threads"]) {
        Some(Reply::Array(pair)) => pair.get(1) == Some(&Reply::Text(b"1".to_vec())),
        _ => false,
    };
    durable("the setup", |engine| {
        engine.output_watched = watched && one_thread;
        engine
            .pool
            .set_lazy(engine.output_watched && before_fork(settle));
        Ok(())
    });
}

/// The server is about to send something. A script that has run for long lets it send meanwhile; then its
/// group goes on.
fn output_begins() {
    let held = ENGINE.with(|engine| {
        engine.pool.settle();
        engine.pool.is_held()
    });
    if held == Ok(true) && !server_flags().in_multi_or_script() {
        end_group(false);
    }
}

/// A child is about to be forked: it sees what was committed.
fn settle() {
    durable("the last commands", |engine| {
        engine.pool.settle();
        Ok(())
    });
}

/// The end of a turn of the event loop: replies are sent after this.
pub(super) fn turn_ends() {
    end_group(true);
}

/// The event loop has slept; its next turn begins.
pub(super) fn turn_begins() {
    durable("a turn", |engine| {
        engine.between_turns = false;
        Ok(())
    });
}

fn end_group(between_turns: bool) {
    durable("the last commands", |engine| {
        engine.between_turns |= between_turns;
        engine.reloading = false;
        if engine.pool.is_held() {
            engine.pool.release()?;
        }
        engine.pool.keep_spare()?;
        engine.pool.settle();
        Ok(())
    });
}

/// Before each command of a client or a script: the group of the command before it is over, and a
/// command of several steps begins one. Nearly all have nothing to do here, so that is found out first.
fn before_command(args: FilterArgs<'_>) {
    let Some(name) = args.get(0).map(Arg::bytes) else {
        return;
    };
    follow_syncs(name, &args);
    follow_homes(name, &args);
    let groups = begins_group(name, &args);
    let reloads = loading::is_reload(name, &args);
    if name.eq_ignore_ascii_case(b"debug") {
        expiring::follow_debug(&args);
    }
    let idle = |engine: &mut Engine| {
        engine.look_ahead(name, &args);
        !engine.pool.is_held()
            && engine.filling.is_none()
            && engine.reloading == reloads
            && !engine.has_garbage()
            && engine.turns_are_seen_to()
    };
    if groups || ENGINE.with(idle) != Ok(true) {
        prepare(groups, reloads, args);
    }
}

/// What [`before_command`] does if there is something to do.
#[cold]
fn prepare(groups: bool, reloads: bool, args: FilterArgs<'_>) {
    if ENGINE.with(|engine| engine.filling.is_some()) == Ok(true) {
        fill::before_command(args);
    }
    durable("the last commands", |engine| {
        engine.watch_turns();
        loading::note_reload(engine, reloads);
        if engine.pool.is_held() {
            // A script's own commands belong to its group.
            if server_flags().in_multi_or_script() {
                return Ok(());
            }
            engine.pool.release()?;
        }
        engine.make_room();
        let opens = groups && engine.filled;
        let ends_in_time =
            engine.output_watched || after_command(command_ends) || !engine.between_turns;
        if opens && ends_in_time {
            GROUP_TIME.store(0, Ordering::Relaxed);
            engine.dead_before_group = engine.dead.len();
            engine.pool.hold();
        }
        Ok(())
    });
}

/// After a command, and all that it ran, on servers that tell.
fn command_ends() {
    end_group(false);
}

/// True for native commands that can change several PM keys, or one in several steps.
fn begins_group(name: &[u8], args: &FilterArgs<'_>) -> bool {
    // Our own commands, most of those that come, are one step each.
    if name.get(2) == Some(&b'.') {
        return false;
    }
    // As is MSET, where it is one of them.
    if stands_in_for_all_keys() && name.eq_ignore_ascii_case(b"mset") {
        return false;
    }
    match needs_group(name) {
        Some(many) => !many || args.len() > 2,
        None => false,
    }
}

/// For a command that may begin a group: whether it does so only if it has several keys.
fn needs_group(name: &[u8]) -> Option<bool> {
    let (always, if_many): (&[&[u8]], &[u8]) = match name.len() {
        3 => (&[], b"del"),
        4 => (&[b"exec", b"eval", b"copy", b"move"], b"mset"),
        5 => (&[b"fcall"], b""),
        6 => (&[b"rename"], b"unlink"),
        7 => (&[b"evalsha", b"eval_ro", b"restore"], b""),
        8 => (&[b"renamenx", b"fcall_ro"], b""),
        10 => (&[b"evalsha_ro"], b""),
        14 => (&[b"restore-asking"], b""),
        _ => return None,
    };
    let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
    if is(if_many) {
        return Some(true);
    }
    always.iter().any(|word| is(word)).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::needs_group;

    #[test]
    fn commands_of_several_steps_begin_a_group() {
        for always in [b"EXEC".as_slice(), b"Restore-Asking", b"fcall_RO", b"move"] {
            assert_eq!(needs_group(always), Some(false));
        }
        for if_many in [b"del".as_slice(), b"MSET", b"unlink"] {
            assert_eq!(needs_group(if_many), Some(true));
        }
        for never in [b"get".as_slice(), b"pm.set", b"", b"ping"] {
            assert_eq!(needs_group(never), None);
        }
    }
}

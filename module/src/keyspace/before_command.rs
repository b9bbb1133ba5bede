//! What the command filter does before each command of a client or a script.
//!
//! It ends the group of the command before, and begins one if this command takes several steps;
//! refuses commands that write while nothing can be made durable; has ours run in the place of some
//! native ones; shows the keys that are named; and prefetches what a look-up will read.

use super::groups::afterwards::restore_keys;
use super::watched::{Watched, watched};
use super::{
    ENGINE, Engine, durable, expiring, fill, loading, set_expires, substitutes, undurable,
};
use crate::redis::{
    Arg, Ctx, FilterArgs, follow_homes, keep_homes, server_flags, stands_in_for_all_keys,
    sync_begins, sync_may_end,
};

/// Subscribes to commands. Only while the module is being loaded.
pub(super) fn subscribe(ctx: &Ctx) {
    keep_homes(ctx);
    ctx.filter_commands(before_command);
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
    set_expires::forget();
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
        Watched::Sets => {
            set_expires::look_at(args);
            (false, false)
        }
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
        restore_keys();
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

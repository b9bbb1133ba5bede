//! Start-up: Redis's keyspace is filled from the pool's records, while commands are served already.
//!
//! At the end of the first event-loop cycle, when Redis has loaded its own files and no client has
//! been served, all records are surveyed: an index of them is what is left to be shown
//! (`store::unshown`). From then on
//!
//! * the command filter has the keys that a command names shown before it runs, in whatever
//!   database (it does not always tell whose command it is); commands that need all keys have them
//!   all shown ([`demand`]);
//! * all others are shown at each event-loop cycle, a short time long while commands come.
//!
//! Showing a key takes 1 to 2 µs, most of it Redis's own dictionary growing. When the last one is
//! shown the index is gone, and nothing is done for it any more but to look whether it is there.
//!
//! Invariants
//! * A key of the pool is in Redis's keyspace, or its record is in the index, never both. So before
//!   a record that is not shown is freed, it is taken out of the index (`Store::forget_unshown`).
//! * Two records can have one key: a crash came between a copy and the end of its original. The
//!   younger one counts, whichever is met first, and no other comes to light when it ends
//!   (`Store::let_go`).
//! * What is counted of keys (`Dbs::keys`) is all of them from the survey on.
//! * No process forks before all keys are shown: its child is to save them.

mod demand;
mod pace;
mod room;
mod unshown;

use super::{ENGINE, Engine, PLACEHOLDER, apply, cluster};
use crate::SETTINGS;
use crate::redis::{
    Arg, Ctx, EveryCycle, FilterArgs, Key, Kind, Latency, Mode, Requests, before_fork, keys_of,
    module_ctx, server_flags,
};
use crate::report;
use demand::Demand;
use pace::Slice;
use room::Room;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use store::expiry::KEY_NEVER;
use store::record::RecordPtr;
use store::unshown::UnshownKey;

pub(crate) use unshown::Filling;

/// How long keys are shown before the first command is served, so that small pools need nothing
/// else; and of how many keys no pool is small.
const BEFORE_SERVING: Duration = Duration::from_millis(20);
const NOT_SMALL: u64 = 50_000;
/// Keys between looks at the clock, and at who waits.
const LOOK_EVERY: u64 = 16;
/// How long at a stretch, if the number of keys a second is limited.
const LIMITED: Duration = Duration::from_micros(200);
/// From one step to the next, if the number of keys a second is limited.
const TICK: Duration = Duration::from_millis(1);

/// Runs `f` with the filling, if one is under way.
fn with_filling<R>(f: impl FnOnce(&mut Filling) -> R) -> Option<R> {
    let mut done = None;
    apply("filling the keyspace", |engine| {
        done = engine.filling.as_deref_mut().map(f);
    });
    done
}

/// Surveys the pool and begins to fill the keyspace of the whole server.
pub fn fill(ctx: &Ctx) {
    let (home, started) = (ctx.keep_db(), Instant::now());
    let limit = SETTINGS.with(|settings| settings.fill).ok().flatten();
    let reloads = ENGINE.with(|engine| engine.life.reloads()) == Ok(true);
    let forbidden = cluster::forbidden_slots(ctx);
    let room = Room::of_server(ctx);
    let begun = ENGINE.with(|engine| {
        let is_visible = visible_spaces(ctx, engine);
        engine.begin_filling(&is_visible, &forbidden, started, limit, room)
    });
    if let Err(refused) = begun {
        let why = format_args!("{refused:?}");
        return report::failure("the keyspace cannot be filled", why);
    }
    let gone = meet_loaded(ctx);
    drop(home);
    report_beginning(gone);
    let at_once = reloads || has_listener_of_new_keys(ctx) || !completes_before_forks();
    let is_small = ENGINE.with(|engine| engine.store.left_unshown() < NOT_SMALL);
    let budget = match (at_once, limit) {
        (true, _) => Duration::MAX,
        (false, None) if is_small == Ok(true) => BEFORE_SERVING,
        _ => Duration::ZERO,
    };
    if show_some(ctx, budget) {
        return;
    }
    let line = ENGINE.with(|engine| {
        let filling = engine.filling.as_ref()?;
        Some(format!(
            "commands are served after {:.3} seconds; {} keys are shown, the other {} follow as they are asked \
             for, and in the background",
            started.elapsed().as_secs_f64(),
            filling.progress.shown,
            engine.store.left_unshown()
        ))
    });
    if let Ok(Some(line)) = line {
        report::notice(&line);
    }
    go_on_in_background(ctx, limit);
}

/// Which key spaces a database of the server shows.
fn visible_spaces(ctx: &Ctx, engine: &Engine) -> Vec<bool> {
    let mut is_visible = vec![false; engine.store.dbs.count() as usize];
    for db in (0..engine.store.dbs.count()).take_while(|&db| ctx.select_db(db)) {
        let space = engine.store.dbs.space_of(db).map(usize::from);
        if let Some(is_visible) = space.and_then(|space| is_visible.get_mut(space)) {
            *is_visible = true;
        }
    }
    is_visible
}

/// Whether somebody could be told of each key that comes to be: nobody is, while no client is
/// served.
fn has_listener_of_new_keys(ctx: &Ctx) -> bool {
    ctx.setting("notify-keyspace-events")
        .is_some_and(|events| demand::tells_of_new_keys(&events))
}

/// Sees to it that all keys are shown before a child is forked.
fn completes_before_forks() -> bool {
    static SUBSCRIBED: AtomicBool = AtomicBool::new(false);
    if !SUBSCRIBED.load(Ordering::Relaxed) {
        SUBSCRIBED.store(before_fork(complete), Ordering::Relaxed);
    }
    SUBSCRIBED.load(Ordering::Relaxed)
}

/// Redis has loaded keys of its own: those of the pool take their places, and those that a file has
/// of the pool and the pool does not have any more go. How many went.
fn meet_loaded(ctx: &Ctx) -> u64 {
    let mut gone = 0;
    for db in (0..).take_while(|&db| ctx.select_db(db)) {
        if ctx.db_size() == 0 {
            continue;
        }
        ctx.scan_and_change(|name, kind| {
            show_named(ctx, name);
            ctx.select_db(db);
            if let Kind::Pm(_, PLACEHOLDER) = kind {
                let mut key = ctx.open(name, Mode::Quiet);
                if let Kind::Pm(_, PLACEHOLDER) = key.kind() {
                    key.delete();
                    gone += 1;
                }
            }
        });
    }
    gone
}

fn report_beginning(gone: u64) {
    if gone > 0 {
        let line = format!(
            "{gone} PM keys in the loaded file are not in the pool any more, and stay gone"
        );
        report::notice(&line);
    }
    let warn = |count: u64, what: &str| {
        if count > 0 {
            report::warn(&format!("{count} {what}"));
        }
    };
    let counts = ENGINE.with(|engine| {
        let filling = engine.filling.as_ref();
        let overwritten = filling.map_or(0, |filling| filling.progress.overwritten);
        (engine.store.dbs.unmapped(), overwritten)
    });
    let (unmapped, overwritten) = counts.unwrap_or_default();
    warn(
        unmapped,
        "keys of the pool belong to databases this server does not have; they stay in the pool",
    );
    warn(
        overwritten,
        "native keys that Redis loaded gave way to PM keys of the same name, which are newer",
    );
}

/// Follows the setting of the limit, while the keyspace is being filled.
pub(crate) fn follow_setting(ctx: &Ctx) {
    let limit = SETTINGS.with(|settings| settings.fill).ok().flatten();
    if with_filling(|filling| filling.limit_to(limit)) == Some(true) {
        go_on_in_background(ctx, limit);
    }
}

/// Has the keyspace filled at each event-loop cycle, or at the limit's pace.
fn go_on_in_background(ctx: &Ctx, limit: Option<u64>) {
    if limit.is_some() {
        with_filling(|filling| filling.every_cycle = None);
    }
    match limit {
        Some(0) => {}
        Some(_) => {
            // One timer at a time: another may run since the limit was another.
            let starts = with_filling(|filling| !std::mem::replace(&mut filling.is_timed, true));
            if starts == Some(true) {
                ctx.start_timer(TICK, 0, |ctx: &Ctx, _| after_a_tick(ctx));
            }
        }
        None => {
            let every_cycle = EveryCycle::call(in_a_cycle);
            if every_cycle.is_none() {
                let _latency = Latency::of(c"pm-fill");
                show_some(ctx, Duration::MAX);
            }
            with_filling(|filling| filling.every_cycle = every_cycle);
        }
    }
}

/// Shows keys as the limit allows, and goes on until all are shown.
fn after_a_tick(ctx: &Ctx) {
    let limit = with_filling(|filling| {
        filling.is_timed = false;
        filling.limit
    });
    // Without a limit, they are shown at each event-loop cycle.
    if let Some(limit @ Some(1..)) = limit
        && (at_a_bad_time() || !show_some(ctx, LIMITED))
    {
        go_on_in_background(ctx, limit);
    }
}

/// Shows keys as long as they may be shown at this event-loop cycle.
fn in_a_cycle(ctx: &Ctx, requests: Requests) {
    if at_a_bad_time() {
        return;
    }
    let begun = Instant::now();
    let slice = with_filling(|filling| filling.pace.slice(requests.wait(), begun));
    match slice {
        Some(Slice::Whole(slice)) => show_some(ctx, slice),
        Some(Slice::WhileNobodyWaits(slice)) => show_until(ctx, || {
            begun.elapsed() >= slice || requests.wait() == Some(true)
        }),
        _ => return,
    };
    with_filling(|filling| filling.pace.has_shown(begun, Instant::now()));
}

/// The end of an event-loop cycle: replies are sent after this.
pub(super) fn cycle_ends() {
    with_filling(|filling| filling.pace.cycle_ends());
}

/// Redis looks at its events in the midst of something else.
fn at_a_bad_time() -> bool {
    let flags = server_flags();
    flags.in_multi_or_script() || flags.loading()
}

/// Shows keys for about `budget`; true if all are shown.
fn show_some(ctx: &Ctx, budget: Duration) -> bool {
    let start = Instant::now();
    if budget == Duration::MAX {
        return show(ctx, u64::MAX, || false);
    }
    show_until(ctx, || start.elapsed() >= budget)
}

/// Shows keys until it `is_time` for something else, asked every now and then; true if all are
/// shown.
fn show_until(ctx: &Ctx, is_time: impl FnMut() -> bool) -> bool {
    let allowed = with_filling(|filling| filling.allowed());
    show(ctx, allowed.unwrap_or(0), is_time)
}

/// Shows so many keys, as [`show_until`] does.
fn show(ctx: &Ctx, mut left: u64, mut is_time: impl FnMut() -> bool) -> bool {
    let home = ctx.keep_db();
    while left > 0 {
        match ENGINE.with(Engine::next_unshown) {
            Ok(Some(record)) => show_record(ctx, record),
            _ => break,
        }
        left -= 1;
        if left.is_multiple_of(LOOK_EVERY) && is_time() {
            break;
        }
    }
    drop(home);
    conclude(ctx)
}

/// Ends the filling if all keys are shown; true if it is over.
fn conclude(ctx: &Ctx) -> bool {
    match ENGINE.with(Engine::end_filling) {
        Ok(Some(line)) => report::notice(&line),
        Ok(None) => return ENGINE.with(|engine| engine.filling.is_none()) == Ok(true),
        Err(_) => return false,
    }
    if ctx.flags().cluster() {
        ctx.start_timer(Duration::ZERO, 0, |ctx: &Ctx, _| {
            cluster::report_foreign_slots(ctx);
        });
    }
    true
}

/// Shows all keys, if there are some that are not shown.
pub fn complete() {
    if let Some(ctx) = module_ctx()
        && ENGINE.with(|engine| engine.filling.is_some()) == Ok(true)
    {
        let _latency = Latency::of(c"pm-fill");
        show_some(&ctx, Duration::MAX);
    }
}

/// A command will run: what it needs is shown before.
#[cold]
pub(super) fn before_command(args: FilterArgs<'_>) {
    let Some(ctx) = module_ctx() else { return };
    with_filling(|filling| filling.pace.command_runs(Instant::now()));
    let demand = {
        let words = args.words();
        let bytes: Vec<&[u8]> = words.iter().map(|word| word.bytes()).collect();
        let demand = demand::of(&bytes);
        if demand == Demand::Names {
            let home = ctx.keep_db();
            keys_of(&words)
                .into_iter()
                .for_each(|name| show_named(&ctx, name));
            drop(home);
            conclude(&ctx);
        }
        demand
    };
    match demand {
        Demand::Names => {}
        Demand::All => complete(),
        Demand::Instead(words) => {
            let words: Vec<&[u8]> = words.iter().map(|word| &**word).collect();
            args.replace_by(&words);
        }
        Demand::FullSync => {
            let history = args.get(1).map(Arg::bytes).unwrap_or_default();
            if !ctx.has_history(history) {
                args.replace_by(&[b"PM.READY"]);
            }
        }
    }
}

/// Shows the key of this name, which no command may have named; in all databases that have it.
pub(crate) fn show_unnamed(name: Arg<'_>) {
    if ENGINE.with(|engine| engine.filling.is_some()) == Ok(true)
        && let Some(ctx) = module_ctx()
    {
        let _home = ctx.keep_db();
        show_named(&ctx, name);
    }
}

/// Shows the key of this name in all databases that have it. The context's database may be another
/// one then.
fn show_named(ctx: &Ctx, name: Arg<'_>) {
    let records = ENGINE.with(|engine| engine.store.take_unshown(name.bytes(), None));
    for record in records.unwrap_or_default() {
        show_record(ctx, record);
    }
}

/// Puts one record, which is not in the index any more, into the keyspace.
fn show_record(ctx: &Ctx, record: RecordPtr) {
    let Ok(Some((found, name))) = ENGINE.with(|engine| engine.found(record)) else {
        return;
    };
    if ctx.db() != found.db && !ctx.select_db(found.db) {
        return;
    }
    let mut key = ctx.open(name.arg(), Mode::Write);
    let mut overwrites = false;
    match key.kind() {
        Kind::Absent | Kind::Pm(_, PLACEHOLDER) => {}
        Kind::Other => overwrites = true,
        // Taken over from a file just now.
        Kind::Pm(_, addr) if addr == found.addr => return,
        Kind::Pm(_, addr) if displaces(&found, addr) => {}
        Kind::Pm(..) => {
            super::leave_out_quietly(&found);
            return;
        }
    }
    make_room(ctx, &key, found.db);
    key.set_value(found.ty, found.addr);
    if found.expire_at != KEY_NEVER {
        key.set_expire_at_ms(Some(found.expire_at));
    }
    apply("filling the keyspace", |engine| {
        engine.store.note_shown(&found, name.arg().bytes());
    });
    with_filling(|filling| {
        filling.progress.shown += 1;
        filling.progress.overwritten += u64::from(overwrites);
    });
}

/// Now and then, a key of database `db` being open: makes room for those that come.
fn make_room(ctx: &Ctx, key: &Key<'_>, db: i32) {
    let is_due = with_filling(|filling| filling.progress.shown.is_multiple_of(room::LOOK_EVERY));
    if is_due == Some(true) {
        let unshown = ENGINE.with(|engine| engine.store.unshown(db));
        let to_come = unshown.unwrap_or(0) + 1;
        with_filling(|filling| filling.room.make(ctx, key, db, to_come));
    }
}

/// True if the record takes the place of that at `addr`, with which its key is shown.
fn displaces(found: &UnshownKey, addr: usize) -> bool {
    let displaces = ENGINE.with(|engine| {
        let shown = engine.record_at(addr);
        shown.is_none_or(|shown| engine.store.displaces(found, shown))
    });
    displaces.unwrap_or(true)
}

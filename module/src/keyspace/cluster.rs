//! In a cluster: hash slots that come and go, and keys whose slot is not this node's.
//!
//! | what | how the pool hears of it |
//! |---|---|
//! | MIGRATE, CLUSTER SETSLOT, a slot lost to another claim | keys come by RESTORE, and go by `free` |
//! | an import begins (Redis 8.4, Valkey 9) | an event: from now on the slots are marked in the pool |
//! | a change of it fails, for want of room, or as nothing can be made durable | it is given up (Valkey does that itself), so the other node keeps all |
//! | it fails | the keys go by `free`, or in a trim; the mark goes |
//! | it succeeds | an event; the mark goes once the server has written down that the slots are its own |
//! | slots were given to another node | an event: their keys are dead for a restart; they go by `free`, or in a trim |
//! | a trim (Redis 8.4): all keys of slots leave the keyspace at once | an event before it: the records are reclaimed |
//!
//! A server can be killed between any two of these. What decides then is its own file of the
//! cluster's configuration: keys of a marked slot count if that is this node's, and are dead if
//! not. So an import is there as a whole or not at all, and what was given away does not come back,
//! whatever comes in its place later.
//!
//! Slots may also have gone to another node, or to none, while the server was down. On Redis such
//! keys stay: in the pool, and in the keyspace, where no client reaches them, until the slot comes
//! back or the keys are moved (CLUSTER GETKEYSINSLOT, MIGRATE). On Valkey they go, as native ones
//! do, if another node has the slot.

use super::cycles::Timer;
use super::rest::writes_are_paused;
use super::{ENGINE, Engine, apply, cycles, durable, saving};
use crate::redis::{Ctx, Reply, SlotEvent, module_ctx};
use crate::report;
use std::collections::BTreeSet;
use std::time::Duration;
use store::slot::SlotRange;
use store::slots::SLOTS;

/// Slots that come, and that have come.
#[derive(Default)]
pub(crate) struct Arrivals {
    /// Their import has begun since the server started, and has not ended.
    coming: BTreeSet<u16>,
    /// They have come, and are still marked.
    slots: Vec<u16>,
    /// So many runs of the server's cron later the mark goes.
    crons: u8,
}

/// How many runs of the server's cron it takes until it has certainly written its configuration.
const CRONS: u8 = 3;

impl Arrivals {
    /// Something has happened to slots.
    fn follow(&mut self, event: SlotEvent, ranges: &[SlotRange]) {
        for slot in ranges.iter().flat_map(|range| range.first..=range.last) {
            if event == SlotEvent::ImportStarted {
                self.coming.insert(slot);
            } else {
                self.coming.remove(&slot);
            }
        }
    }

    /// Whether any slots are being imported.
    pub(super) fn are_coming(&self) -> bool {
        !self.coming.is_empty()
    }

    /// Whether a slot is being imported.
    pub(super) fn is_coming(&self, slot: u16) -> bool {
        self.coming.contains(&slot)
    }

    fn forget(&mut self, ranges: &[SlotRange]) {
        let is_one = |slot: u16| ranges.iter().any(|r| (r.first..=r.last).contains(&slot));
        self.slots.retain(|&slot| !is_one(slot));
    }

    fn add(&mut self, ranges: &[SlotRange]) {
        self.forget(ranges);
        let slots = ranges.iter().flat_map(|range| range.first..=range.last);
        self.slots.extend(slots);
        self.crons = CRONS;
    }
}

/// Follows what happens to slots. Only while the module is being loaded.
pub(super) fn subscribe(ctx: &Ctx) {
    if !ctx.flags().cluster() {
        return;
    }
    apply("the setup", |engine| engine.store.slots.count_keys());
    ctx.subscribe_slots(on_slots);
}

fn on_slots(ctx: &Ctx, event: SlotEvent, ranges: &[SlotRange]) {
    if event == SlotEvent::Sending {
        return saving::send();
    }
    apply("hash slots that come or go", |engine| {
        engine.arrivals.follow(event, ranges);
        engine.note_arrivals();
    });
    // At the start, `end_interrupted_imports` determines what became of an import.
    if ENGINE.with(|engine| engine.life.shows_keys()) != Ok(true) {
        return;
    }
    durable("a change of hash slots", |engine| {
        engine.arrivals.forget(ranges);
        match event {
            SlotEvent::ImportStarted => engine.store.begin_import(ranges),
            SlotEvent::ImportFailed => {
                // Of Redis, whose trim is yet to come; at Valkey the keys are gone.
                let foreign = ctx.foreign_among(ranges);
                engine.store.give_up(&foreign)?;
                engine.store.end_import(ranges)
            }
            SlotEvent::ImportCompleted => {
                engine.arrivals.add(ranges);
                Ok(())
            }
            SlotEvent::GivenUp => engine.store.give_up(ranges),
            SlotEvent::Trimmed => engine.store.trim(ranges),
            SlotEvent::Sending => Ok(()),
        }
    });
    apply("hash slots that come or go", |engine| {
        if event == SlotEvent::ImportStarted && engine.store.pool.failure().is_some() {
            give_up_import(engine);
        }
    });
    cycles::look_again();
}

/// A server that was a replica is a master: the import that its master had begun, it does not end.
pub(super) fn follow_promotion() {
    apply("hash slots that come or go", |engine| {
        engine.arrivals.coming.clear();
        engine.note_arrivals();
    });
}

/// Something of an import has failed, or was refused: it found no room in the pool, or nothing can
/// be made durable. Redis takes no notice of a key that it could not make or change, and the node
/// that had it would drop it in the end: so the import is given up before that. Valkey ends it by
/// itself.
pub(super) fn give_up_import(engine: &mut Engine) {
    if !engine.arrivals.are_coming() {
        return;
    }
    let Some(ctx) = module_ctx().filter(Ctx::moves_slots_as_redis) else {
        return;
    };
    // Not before the command is over, whose client the import's end takes away; but before the next
    // one of this connection, and so before the node that gives the slots hears that all has come.
    let events = &mut engine.event_loop;
    events.once(&ctx, Timer::GivingUp, Duration::ZERO, cancel_imports);
}

fn cancel_imports(ctx: &Ctx) {
    let outcome = match ctx.call(c"CLUSTER", &[b"MIGRATION", b"CANCEL", b"ALL"]) {
        Some(Reply::Integer(0)) => return,
        Some(Reply::Integer(_)) => "is given up: they stay where they are",
        _ => "cannot be given up: some are lost if it comes to its end",
    };
    report::warn(&format!(
        "the import of hash slots, of which the pool could not take all, {outcome}"
    ));
}

/// A run of the server's cron: marks go from slots that have come.
pub(super) fn unmark_arrivals() {
    durable("the end of an import", |engine| {
        if engine.arrivals.slots.is_empty() || writes_are_paused() {
            return Ok(());
        }
        engine.arrivals.crons = engine.arrivals.crons.saturating_sub(1);
        if engine.arrivals.crons > 0 {
            return Ok(());
        }
        let ranges = ranges_of(engine.arrivals.slots.iter().copied());
        engine.store.end_import(&ranges)?;
        engine.arrivals.slots.clear();
        Ok(())
    });
}

/// At the start: keys of slots whose import was interrupted are dead, unless the slots are this
/// node's.
pub(super) fn end_interrupted_imports(ctx: &Ctx) {
    let marked = ENGINE.with(|engine| engine.store.slots.importing());
    let Ok(marked) = marked else { return };
    if !ctx.flags().cluster() {
        return;
    }
    let Some(view) = View::read(ctx) else {
        if !marked.is_empty() {
            report::warn(
                "an import of hash slots was under way when this pool was left, and the server does not tell \
                 which slots are its own: what came of their keys stays",
            );
        }
        return;
    };
    // A replica has what its master has.
    if !view.is_master {
        return;
    }
    let slots = marked.iter().flat_map(|range| range.first..=range.last);
    let (own, foreign): (Vec<u16>, Vec<u16>) =
        slots.partition(|&slot| view.holders[usize::from(slot)].is_own);
    if !foreign.is_empty() {
        report::notice(&format!(
            "the server ended during the import of {} hash slots: the keys that had arrived are removed",
            foreign.len()
        ));
    }
    durable("the end of an import", |engine| {
        engine.store.end_import(&ranges_of(own.iter().copied()))?;
        if foreign.is_empty() {
            return Ok(());
        }
        if let Some(startup) = &mut engine.files.startup {
            startup.dropped = true;
        }
        engine.store.give_up(&ranges_of(foreign.iter().copied()))
    });
}

/// After the start: logs how many keys lie in slots of others.
pub(super) fn report_foreign_slots(ctx: &Ctx) {
    let flags = ctx.flags();
    if !flags.cluster() || !flags.master() {
        return;
    }
    let Some(view) = View::read(ctx).filter(|view| view.is_master) else {
        return;
    };
    let counts = ENGINE.with(|engine| engine.store.slots.keys_by_slot());
    let Ok(counts) = counts else { return };
    let (mut slots, mut keys) = (0, 0);
    for (holder, count) in view.holders.iter().zip(counts) {
        if !holder.is_own && count > 0 {
            slots += 1;
            keys += count;
        }
    }
    if keys > 0 {
        report::warn(&format!(
            "{keys} keys lie in {slots} hash slots that are not this node's; they stay, out of \
                 clients' reach, until it gets the slots or the keys are migrated"
        ));
    }
}

/// Which slots of others hold no keys that outlive the start.
pub(super) fn forbidden_slots(ctx: &Ctx) -> Vec<bool> {
    if !ctx.flags().cluster() || !ctx.drops_foreign_keys() {
        return Vec::new();
    }
    match View::read(ctx).filter(|view| view.is_master) {
        None => Vec::new(),
        Some(view) => {
            let forbidden = view.holders.iter();
            let forbidden = forbidden.map(|holder| holder.is_others && !holder.is_importing);
            forbidden.collect()
        }
    }
}

impl Engine {
    /// Gives slots of others up whose keys are not shown.
    pub(super) fn drop_foreign(&mut self, keys: u64, slots: &BTreeSet<u16>) {
        let line = format!(
            "{keys} keys in {} hash slots that are another node's are dropped",
            slots.len()
        );
        report::notice(&line);
        if let Err(error) = self.store.give_up(&ranges_of(slots.iter().copied())) {
            report::failure("they come back", &error);
        }
        self.store.trust_slots();
    }
}

fn ranges_of(slots: impl Iterator<Item = u16>) -> Vec<SlotRange> {
    let ranges = slots.map(|slot| SlotRange {
        first: slot,
        last: slot,
    });
    ranges.collect()
}

/// Whose a slot is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Holder {
    is_own: bool,
    is_others: bool,
    /// CLUSTER SETSLOT IMPORTING is in force.
    is_importing: bool,
}

/// The cluster as this node has written it down.
#[derive(Debug, PartialEq, Eq)]
struct View {
    is_master: bool,
    /// One for each slot.
    holders: Vec<Holder>,
}

impl View {
    /// Reads the server's file of the cluster's configuration. CLUSTER SLOTS and its like would
    /// tell the same, but Valkey 8 wants to know from which address they are asked, which nobody
    /// does from a callback.
    ///
    /// `None` if the server does not tell where the file is, or the file is not as expected.
    fn read(ctx: &Ctx) -> Option<View> {
        let path = String::from_utf8(ctx.setting("cluster-config-file")?).ok()?;
        Self::parse(&std::fs::read_to_string(path).ok()?)
    }

    /// A line a node: its id, address, flags, master, three numbers, the state of its link, its
    /// slots.
    fn parse(text: &str) -> Option<View> {
        let mut holders = vec![Holder::default(); SLOTS];
        let mut is_master = None;
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let Some((head, slots)) = words.split_at_checked(8) else {
                continue;
            };
            let has = |flag| head[2].split(',').any(|one| one == flag);
            let myself = has("myself");
            if myself {
                is_master = Some(has("master"));
            }
            for word in slots.iter().filter(|word| !word.is_empty()) {
                match word.strip_prefix('[') {
                    Some(open) if myself => {
                        if let Some((slot, _)) = open.split_once("-<-") {
                            holders.get_mut(slot.parse::<usize>().ok()?)?.is_importing = true;
                        }
                    }
                    Some(_) => {}
                    None => {
                        let (first, last) = word.split_once('-').unwrap_or((word, word));
                        let (first, last): (usize, usize) =
                            (first.parse().ok()?, last.parse().ok()?);
                        for holder in holders.get_mut(first..=last)? {
                            holder.is_own |= myself;
                            holder.is_others |= !myself;
                        }
                    }
                }
            }
        }
        Some(View {
            is_master: is_master?,
            holders,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SELF: &str = "07c37dfeb235213a872192d90877d0cd55635b91 127.0.0.1:30001@31001,,shard-id=1 \
                        myself,master - 0 0 1 connected 0-2 7 [93-<-e7d1] [95->-e7d1]";
    const OTHER: &str = "e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca 127.0.0.1:30002@31002 master - 0 1 2 \
                         connected 3-6 16383 [94-<-07c3]";

    #[test]
    fn the_file_tells_whose_slots_are() {
        let text = format!("{OTHER}\n{SELF}\nvars currentEpoch 2 lastVoteEpoch 0\n");
        let view = View::parse(&text).unwrap();
        assert!(view.is_master);
        let slots = |is: fn(&Holder) -> bool| -> Vec<usize> {
            let which = |&slot: &usize| is(&view.holders[slot]);
            (0..SLOTS).filter(which).collect()
        };
        assert_eq!(slots(|holder| holder.is_own), [0, 1, 2, 7]);
        assert_eq!(slots(|holder| holder.is_others), [3, 4, 5, 6, 16383]);
        assert_eq!(slots(|holder| holder.is_importing), [93]);
    }

    #[test]
    fn a_replica_is_told_from_a_master() {
        let text = SELF.replace("myself,master -", "myself,slave e7d1");
        assert!(!View::parse(&text).unwrap().is_master);
    }

    #[test]
    fn another_file_is_not_believed() {
        assert_eq!(View::parse(""), None);
        assert_eq!(View::parse(OTHER), None);
        assert_eq!(View::parse(&SELF.replace("0-2", "0-16384")), None);
        assert_eq!(View::parse(&SELF.replace("0-2", "zero")), None);
    }
}

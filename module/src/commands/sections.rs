//! What the pool, the keys and the work on them look like, in sections: for PM.INFO, PM.STATS and
//! the server's INFO.

use crate::SETTINGS;
use crate::keyspace::open::durability_reason;
use crate::keyspace::{Engine, evict, failures, with_engine};
use crate::redis::{InfoFields, InfoSections, InfoValue};
use InfoValue::{Count, Counts, Ratio, Text};
use store::key_counts::KeyCounts;
use store::statistics::Statistics;
use store::value::ValueType;

/// A section: its name, and what is in it.
pub(super) struct Section {
    /// Its name, as a heading.
    pub name: &'static str,
    /// Its fields.
    pub fields: fn(&Engine) -> InfoFields,
}

/// All sections.
pub(super) const SECTIONS: [Section; 10] = [
    section("Pool", pool),
    section("Keys", keys),
    section("Filling", filling),
    section("Traffic", traffic),
    section("Reclaim", reclaim),
    section("Compaction", compaction),
    section("Errors", errors),
    section("Recovery", recovery),
    section("Snapshots", snapshots),
    section("Disk", disk),
];

const fn section(name: &'static str, fields: fn(&Engine) -> InfoFields) -> Section {
    Section { name, fields }
}

/// The sections of the server's INFO.
pub(super) struct InServer;

impl InfoSections for InServer {
    fn names() -> Vec<&'static str> {
        // In the order of SECTIONS.
        vec![
            "pool",
            "keys",
            "filling",
            "traffic",
            "reclaim",
            "compaction",
            "errors",
            "recovery",
            "snapshots",
            "disk",
        ]
    }

    fn fields(at: usize) -> Option<InfoFields> {
        let section = SECTIONS.get(at)?;
        with_engine(|engine| Ok((section.fields)(engine))).ok()
    }
}

fn named<const N: usize>(fields: [(&str, InfoValue); N]) -> InfoFields {
    fields.map(|(name, value)| (name.to_owned(), value)).into()
}

fn flag(is: bool) -> InfoValue {
    Count(u64::from(is))
}

/// Where the pool is, what a write survives, and how full it is: bytes, and slab pages.
fn pool(engine: &Engine) -> InfoFields {
    let settings = SETTINGS.with(|config| (config.path.clone(), config.durability));
    let (path, wanted) = settings.unwrap_or_default();
    let Statistics {
        durability, usage, ..
    } = engine.store.statistics();
    let wasted = engine.store.wasted();
    let unfilled = (usage.scattered + wasted) as f64 / usage.unused().max(1) as f64;
    named([
        ("path", Text(path.display().to_string())),
        ("format", Count(store::FORMAT)),
        ("module_version", Text(env!("CARGO_PKG_VERSION").to_owned())),
        ("durability", Text(durability.name().to_owned())),
        (
            "durability_reason",
            Text(durability_reason(&path, wanted, durability)),
        ),
        ("is_pmem", flag(engine.store.is_on_pmem())),
        ("size", Count(usage.size)),
        ("max_size", Count(usage.size_max)),
        ("capacity", Count(usage.capacity)),
        ("used", Count(usage.used)),
        ("free", Count(usage.free)),
        ("largest_free", Count(usage.largest_free)),
        ("scattered", Count(usage.scattered)),
        ("wasted", Count(wasted)),
        ("fragmentation", Ratio(unfilled)),
        ("reserved", Count(usage.reserved)),
        ("pages", Count(usage.pages)),
    ])
}

/// PM keys of each database that has some, and of all, by type.
fn keys(engine: &Engine) -> InfoFields {
    let dbs = &engine.store.dbs;
    let mut fields = InfoFields::new();
    let mut all = KeyCounts::default();
    for db in 0..dbs.count() {
        let counts = dbs.keys_by_type(db);
        if counts.total() > 0 {
            let by_type = ValueType::ALL.map(|ty| (plural(ty), counts.of(ty)));
            let counted = [("keys", counts.total())].into_iter().chain(by_type);
            fields.push((format!("db{db}"), Counts(counted.collect())));
            all.add(counts);
        }
    }
    fields.push(("keys".to_owned(), Count(all.total())));
    fields.extend(ValueType::ALL.map(|ty| (plural(ty).to_owned(), Count(all.of(ty)))));
    fields
}

/// What several values of a type are called.
fn plural(ty: ValueType) -> &'static str {
    match ty {
        ValueType::String => "strings",
        ValueType::List => "lists",
        ValueType::Hash => "hashes",
        ValueType::Set => "sets",
        ValueType::ZSet => "zsets",
    }
}

/// Whether Redis's keyspace is still being filled: keys shown so far, keys to come, seconds left.
fn filling(engine: &Engine) -> InfoFields {
    let progress = engine.filling_progress();
    let (shown, to_come, seconds) = progress.unwrap_or_default();
    named([
        ("filling", flag(progress.is_some())),
        ("keys_shown", Count(shown)),
        ("keys_to_come", Count(to_come)),
        ("seconds_left", Count(seconds)),
    ])
}

/// Commits, fences, and cache lines flushed, since the pool was opened.
fn traffic(engine: &Engine) -> InfoFields {
    let statistics = engine.store.statistics();
    let commits = statistics.lsn - statistics.found_lsn;
    named([
        ("commits", Count(commits)),
        ("fences", Count(statistics.traffic.fences)),
        ("lines", Count(statistics.traffic.lines)),
        ("output_hook", flag(engine.event_loop.output_is_watched())),
        ("evicted_keys", Count(evict::evicted())),
    ])
}

/// The journal and checkpoints, with `durability disk`.
fn disk(engine: &Engine) -> InfoFields {
    let Some(stats) = engine.store.statistics().disk else {
        return named([("journal", flag(false))]);
    };
    named([
        ("journal", flag(true)),
        ("journal_size", Count(stats.journal_size)),
        ("journal_used", Count(stats.journal_used)),
        ("lsn", Count(stats.lsn)),
        ("syncs", Count(stats.syncs)),
        ("slow_syncs", Count(stats.slow_syncs)),
        ("longest_sync_us", Count(stats.longest_sync_us)),
        ("dirty", Count(stats.dirty)),
        ("resident", Count(stats.resident)),
        ("memory_limit", Count(stats.memory_limit)),
        ("given_back", Count(stats.given_back)),
        ("gives_back", flag(stats.not_given_back.is_none())),
        ("checkpoints", Count(stats.checkpoints)),
        ("checkpointing", flag(stats.checkpointing)),
        ("checkpoint_age", Count(stats.checkpoint_age.unwrap_or(0))),
        ("checkpoint_bytes", Count(stats.checkpoint_bytes)),
        ("stalls", Count(stats.stalls)),
        ("stalled_ms", Count(stats.stalled_ms)),
        ("durable", flag(stats.failure.is_none())),
        ("group_commit", flag(engine.event_loop.output_is_watched())),
    ])
}

/// Deleted values whose memory is still to be given back, and whether flushed keys are being looked
/// for.
fn reclaim(engine: &Engine) -> InfoFields {
    let (values, sweeping) = engine.store.backlog();
    named([
        ("reclaim_values", Count(values as u64)),
        ("reclaim_sweeping", flag(sweeping)),
    ])
}

/// What compaction does, and has done.
fn compaction(engine: &Engine) -> InfoFields {
    let status = engine.compaction();
    named([
        ("compaction", Text(status.state.word().to_owned())),
        ("compaction_rounds", Count(status.totals.rounds)),
        ("records_moved", Count(status.totals.records)),
        ("bytes_moved", Count(status.totals.bytes)),
        ("bytes_regained", Count(status.totals.regained)),
    ])
}

/// Commands that found no room, and commands that failed for what is in the pool or in the system,
/// since the start.
fn errors(_: &Engine) -> InfoFields {
    let (refused, failed) = failures();
    named([
        ("commands_refused", Count(refused)),
        ("commands_failed", Count(failed)),
    ])
}

/// How the pool was found.
fn recovery(engine: &Engine) -> InfoFields {
    let statistics = engine.store.statistics();
    named([
        ("created", flag(statistics.is_new)),
        ("found_position", Count(statistics.found_lsn)),
        ("position", Count(statistics.lsn)),
        ("damages", Count(statistics.damages)),
    ])
}

/// Whether a child process reads the pool as it was when it was forked.
fn snapshots(engine: &Engine) -> InfoFields {
    named([(
        "snapshot_active",
        flag(engine.store.statistics().has_snapshot),
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_has_the_same_sections() {
        let names = SECTIONS.map(|section| section.name.to_ascii_lowercase());
        assert_eq!(InServer::names(), names);
    }
}

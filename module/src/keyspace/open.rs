//! Opening the pool at load: what is reported, and what is waited for.

use super::{ENGINE, Engine};
use crate::SETTINGS;
use crate::config::{Config, Copied};
use crate::redis::{Ctx, tell_of_faults};
use crate::report;
use pobj::{Durability, Error, Pool};
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};
use store::dbs::DBS_MAX;
use store::layout::pool_at;
use store::lifetime;
use store::lsn::RunLsn;

/// Damaged keys that the log names.
const NAMED_MAX: u64 = 10;

/// How long to wait for a process that is ending, or for a child of one that has ended.
const END_WAIT: Duration = Duration::from_secs(60);
/// How long to wait for one that goes on: it may have been killed a moment ago.
const LIVE_WAIT: Duration = Duration::from_secs(2);
/// How often to look whether it is gone.
const RETRY: Duration = Duration::from_millis(20);

/// Opens or creates the pool of `config`.
///
/// libpmemobj locks the pool's file, until the process is gone that has it open, and all that it
/// has forked. Children end with their server (`end_with_parent`), but that takes a moment, as does
/// the end of a process with a large pool: it is waited for.
pub fn open(config: &Config) -> pobj::Result<Engine> {
    let mut options = pool_at(&config.path).durability(config.durability);
    if let Some(size) = config.size {
        options = options.size(size);
    }
    if let Some(most) = config.max_size {
        options = options.max_size(most);
    }
    if let Some(size) = config.journal {
        options = options.journal(size);
    }
    if let Some(limit) = config.memory_limit {
        options = options.memory_limit(limit);
    }
    if config.copy == Copied::Accept {
        options = options.accept_copy();
    }
    let start = Instant::now();
    let (mut told, mut torn, mut pulse) = (false, false, None);
    let mut engine = loop {
        let admit = |pool: &mut Pool, found: RunLsn, run: u64| {
            torn = lifetime::is_torn_copy(pool, &config.path, found)?;
            if torn && config.copy == Copied::Refuse {
                return Err(Error::State(format!(
                    "{} is a copy that was made while a server had the pool open (or the machine stopped, with \
                     'durability process'): a part of it can be older than the rest. Copy it from a server that was shut down, restore a full RDB, or load the module \
                     with 'copy accept', which looks at every value and tells of the damaged ones",
                    config.path.display()
                )));
            }
            pulse = lifetime::begin_use(pool, &config.path, found, run)?;
            Ok(())
        };
        match Engine::open_if(&options, admit) {
            Err(Error::Locked(path)) if start.elapsed() < holder(&path).patience() => {
                if !told {
                    told = true;
                    let who = holder(&path);
                    report::notice(&format!(
                        "waiting for {}: {who} still has it",
                        path.display()
                    ));
                }
                std::thread::sleep(RETRY);
            }
            other => break other?,
        }
    };
    engine.pulse = pulse;
    engine.beat();
    make_private(&config.path)?;
    report(&engine, config);
    if torn {
        report::warn(
            "the pool is a copy that was made while a server had it open; 'copy accept' lets it serve",
        );
        check_all(&engine);
    }
    Ok(engine)
}

impl Engine {
    /// Has the mark on the pool's file tell how far the pool has come, which is durable then.
    pub(super) fn beat(&mut self) {
        if !self.sync() {
            return;
        }
        if let Some(pulse) = &mut self.pulse {
            pulse.beat(&self.store);
        }
    }
}

/// Takes access to the pool's files from others than their owner, and has the log tell.
fn make_private(path: &Path) -> pobj::Result<()> {
    for file in pobj::make_private(path, &store::layout::LAYOUT)? {
        let was = format!(
            "{} had mode {:04o}: everybody could read or write it",
            file.path.display(),
            file.mode
        );
        match file.now {
            Ok(mode) => report::notice(&format!("{was}; it has {mode:04o} now")),
            Err(error) => {
                let line = format!(
                    "{was}, and it stays so ({error}): chmod 600 it, and chown it to the server's user"
                );
                report::warn(&line);
            }
        }
    }
    Ok(())
}

/// Looks at every key of the pool, and has the log tell of those that are damaged.
fn check_all(engine: &Engine) {
    let mut named = 0;
    let found = engine.store.check_all(|name, error| {
        named += 1;
        if named <= NAMED_MAX {
            let line = format!("the key {} is damaged: {error}", name.escape_ascii());
            report::warn(&line);
        }
    });
    let line = format!(
        "{} keys of the pool are damaged, {} are sound",
        found.damaged, found.sound
    );
    report::warn(&line);
}

/// Refuses a server of more databases than a pool can have; has the log tell of databases in the
/// settings that the server does not have.
///
/// # Errors
/// The reason.
pub fn check_databases(ctx: &Ctx, config: &Config) -> Result<(), String> {
    let count = match ctx.setting("databases") {
        Some(text) => String::from_utf8_lossy(&text).parse::<usize>().unwrap_or(0),
        None => 0,
    };
    if count > DBS_MAX {
        Err(format!(
            "the server has {count} databases, a pool has {DBS_MAX} at most: set 'databases' to that or less"
        ))
    } else {
        for db in config.unprefixed.iter().flat_map(|scope| &scope.dbs) {
            if usize::try_from(*db).is_ok_and(|db| db >= count) {
                report::warn(&format!(
                    "unprefixed db={db} means nothing: the server has {count} databases, from 0 on"
                ));
            }
        }
        Ok(())
    }
}

/// Has the log tell if the pool's file is cut off while the server runs.
pub fn watch_faults(ctx: &Ctx) {
    let log_file = ctx.setting("logfile").unwrap_or_default();
    let path = SETTINGS.with(|settings| settings.path.clone());
    if let (Ok((from, len)), Ok(path)) = (ENGINE.with(|engine| engine.store.pool.mapping()), path) {
        tell_of_faults(from, len, &path, &log_file);
    }
}

/// Why a write survives what it does with the durability `in_force`, when `wanted` was asked for.
pub fn durability_reason(path: &Path, wanted: Durability, in_force: Durability) -> String {
    let forced = pobj::is_forced();
    let found = match in_force {
        Durability::Pmem if forced => {
            "PMEM_IS_PMEM_FORCE is set: the file counts as persistent memory whatever it is on"
        }
        Durability::Pmem => "the file is on persistent memory",
        Durability::Disk if pobj::is_volatile(path) => {
            "the file is on tmpfs, which is memory: a write survives the server, but not the machine"
        }
        Durability::Disk if wanted == Durability::Auto => "the file is not on persistent memory",
        Durability::Auto | Durability::Disk | Durability::Process => "",
    };
    let how = match in_force {
        Durability::Disk => "what has changed is in the journal before a reply leaves",
        Durability::Process => {
            "commits are in the kernel's page cache, and survive the server but not the machine"
        }
        Durability::Auto | Durability::Pmem => "",
    };
    let setting = if wanted == in_force {
        "the setting"
    } else {
        ""
    };
    let parts = [setting, found, how].into_iter();
    parts
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

fn report(engine: &Engine, config: &Config) {
    let usage = engine.store.pool.usage();
    let durability = engine.store.pool.durability();
    let what = if engine.store.pool.is_new() {
        "created"
    } else {
        "opened"
    };
    report::notice(&format!(
        "{what} pool {} of {} bytes, {} of them in use; durability {durability}: {}",
        config.path.display(),
        usage.size,
        usage.used,
        durability_reason(&config.path, config.durability, durability),
    ));
    if let Some(old) = engine.store.pool.old_format() {
        report::notice(&format!(
            "the pool had on-media format {old}, and has {} now: older modules refuse it",
            pobj::FORMAT_VERSION
        ));
    }
    if durability == Durability::Disk && pobj::is_volatile(&config.path) {
        report::warn("the pool is on tmpfs, which is memory: nothing of it survives the machine");
    }
    if let Some(size) = config
        .size
        .filter(|&size| size < usage.size && usage.size_max == usage.size)
    {
        report::notice(&format!(
            "the pool has {} bytes; size {size} is not applied",
            usage.size
        ));
    }
    match config.max_size {
        Some(most) if usage.size_max == usage.size && most > usage.size => report::warn(&format!(
            "the pool keeps its size of {} bytes while the server runs; max-size {most} is not applied: a pool in \
                 a plain file grows at a start, with a larger size",
            usage.size
        )),
        Some(most) if most > usage.size_max => report::warn(&format!(
            "the poolset reserves room for {} bytes; max-size {most} is not applied",
            usage.size_max
        )),
        _ => {}
    }
    if let Some(replayed) = engine.store.pool.replayed() {
        report::notice(&format!(
            "the pool was not closed: {} records of its journal, with {} lines of 64 bytes, are replayed",
            replayed.records, replayed.lines,
        ));
    }
    if let Some(aside) = engine.store.pool.journal_set_aside() {
        report::warn(&format!(
            "a journal lay here without which another pool, or another file of this one, is not complete: it is {} \
             now, and is taken back when that pool is opened at this path again; if that is gone for good, remove the \
             file",
            aside.display()
        ));
    }
    for damage in engine.store.pool.damages() {
        report::warn(&format!("the pool is damaged: {damage}"));
    }
}

/// Who has a pool's file locked.
enum Holder {
    /// A process that is ending, or a child of one that has ended.
    Ending,
    /// A process that goes on.
    Alive(String),
    /// Nobody who could be found.
    Unknown,
}

impl Holder {
    /// How long the lock is waited for.
    fn patience(&self) -> Duration {
        match self {
            Holder::Ending => END_WAIT,
            Holder::Alive(_) | Holder::Unknown => LIVE_WAIT,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Ending => {
                f.write_str("a server that is ending, or a child of one that has ended,")
            }
            Holder::Alive(pid) => write!(f, "the process {pid}"),
            Holder::Unknown => f.write_str("another process"),
        }
    }
}

/// Who has `path` locked. The kernel names the process that took the lock, also when only a child
/// of it is left.
fn holder(path: &Path) -> Holder {
    let (Ok(metadata), Ok(locks)) = (
        std::fs::metadata(path),
        std::fs::read_to_string("/proc/locks"),
    ) else {
        return Holder::Unknown;
    };
    let suffix = format!(":{}", metadata.ino());
    // 1: FLOCK  ADVISORY  WRITE 1234 00:19:56 0 EOF
    let holder = locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, _, _) = (words.next()?, words.next()?, words.next()?);
        let (pid, file) = (words.next()?, words.next()?);
        (kind == "FLOCK" && file.ends_with(&suffix)).then(|| pid.to_owned())
    });
    match holder {
        None => Holder::Unknown,
        Some(pid) if is_ending(&pid) => Holder::Ending,
        Some(pid) => Holder::Alive(pid),
    }
}

/// True if the process is gone, or is being taken down by the kernel.
fn is_ending(pid: &str) -> bool {
    const EXITING: u64 = 0x4;
    let Ok(stat) = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")) else {
        return true;
    };
    // 1234 (a name) S 1 1234 1234 0 -1 4194560 ...: the state, and five words on the flags.
    let Some((_, rest)) = stat.rsplit_once(") ") else {
        return false;
    };
    let mut words = rest.split_whitespace();
    let state = words.next().unwrap_or_default();
    let flags = words.nth(5).and_then(|flags| flags.parse::<u64>().ok());
    matches!(state, "Z" | "X" | "x") || flags.is_some_and(|flags| flags & EXITING != 0)
}

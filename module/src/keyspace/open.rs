//! Opening the pool at load: what is reported, and what is waited for.

use super::Engine;
use crate::config::Config;
use crate::redis::{Level, log};
use pobj::{Error, PoolOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long to wait for the fork child of a server that died.
const ORPHAN_WAIT: Duration = Duration::from_secs(60);
/// How often to look whether it is gone.
const RETRY: Duration = Duration::from_millis(50);

/// Opens or creates the pool of `config`.
///
/// libpmemobj locks the pool's file, and a fork child inherits the lock. So a server that is killed
/// while it saves leaves the pool locked until its child is done: that is waited for.
pub fn open(config: &Config) -> pobj::Result<Engine> {
    let mut options = PoolOptions::new(&config.path).durability(config.durability);
    if let Some(size) = config.size {
        options = options.size(size);
    }
    let start = Instant::now();
    let mut told = false;
    let engine = loop {
        match Engine::open(&options) {
            Err(Error::Locked(path)) if is_orphaned(&path) && start.elapsed() < ORPHAN_WAIT => {
                if !told {
                    told = true;
                    let path = path.display();
                    log(
                        Level::Notice,
                        &format!(
                            "waiting for {path}: the child of a server that died still has it"
                        ),
                    );
                }
                std::thread::sleep(RETRY);
            }
            other => break other?,
        }
    };
    report(&engine, config);
    Ok(engine)
}

fn report(engine: &Engine, config: &Config) {
    let usage = engine.pool.usage();
    let what = if engine.pool.is_new() {
        "created"
    } else {
        "opened"
    };
    log(
        Level::Notice,
        &format!(
            "{what} pool {} of {} bytes, {} of them in use; durability {}",
            config.path.display(),
            usage.size,
            usage.used,
            config.durability,
        ),
    );
    if let Some(size) = config
        .size
        .filter(|&size| !engine.pool.is_new() && size != usage.size)
    {
        log(
            Level::Notice,
            &format!(
                "the pool has {} bytes; size {size} is not applied",
                usage.size
            ),
        );
    }
    for damage in engine.pool.damages() {
        log(Level::Warning, &format!("the pool is damaged: {damage}"));
    }
}

/// True if the process that locked `path` is gone, so that a child of it holds the lock.
fn is_orphaned(path: &Path) -> bool {
    let (Ok(metadata), Ok(locks)) = (
        std::fs::metadata(path),
        std::fs::read_to_string("/proc/locks"),
    ) else {
        return false;
    };
    let suffix = format!(":{}", metadata.ino());
    // 1: FLOCK  ADVISORY  WRITE 1234 00:19:56 0 EOF
    let holders = locks.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, _, _) = (words.next()?, words.next()?, words.next()?);
        let (pid, file) = (words.next()?, words.next()?);
        (kind == "FLOCK" && file.ends_with(&suffix)).then(|| pid.to_owned())
    });
    let mut any = false;
    for pid in holders {
        any = true;
        if Path::new("/proc").join(&pid).exists() {
            return false;
        }
    }
    any
}

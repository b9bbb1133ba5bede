//! `pmedis copy` and `pmedis compact`: all keys in a new pool.

use crate::keys::Keys;
use crate::output::{Place, count, like, of, sum_up, tell};
use crate::{Failure, Outcome};
use pobj::Durability;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use store::Store;
use store::content::Content;
use store::expiry::KEY_NEVER;
use store::layout::{LAYOUT, pool_at};
use store::lifetime;

use store::structures::limits::AllLimits;

/// What is done with a pool of which a part can be older than the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Torn {
    /// It is refused.
    Refuse,
    /// It is copied as far as it can be read.
    Accept,
}

/// Makes a pool at `to` with all keys of the pool `from` and its identity, of this size or as
/// large. What is damaged is left out from its first damaged element on, and named. The new pool
/// gets its name when it is whole and durable. O(pool).
pub(crate) fn copy(
    from: &Path,
    to: &Path,
    size: Option<u64>,
    torn: Torn,
) -> Result<Outcome, Failure> {
    if is_there(to)? {
        return Err(there_already(to));
    }
    let keys = Keys::open(from)?;
    if torn == Torn::Refuse {
        keys.require_one_moment()
            .map_err(|error| format!("{error}. See --accept-torn"))?;
    }
    make(&keys, to, size, Name::Free)
}

/// Makes the pool's file anew, with its keys alone, of this size or as large: one step, after which
/// the former file is gone. If something in it is damaged, it stays, as more of that may be of use
/// to somebody. O(pool).
pub(crate) fn compact(pool: &Path, size: Option<u64>) -> Result<Outcome, Failure> {
    if !pool.symlink_metadata().map_err(of(Some(pool)))?.is_file() {
        return Err(format!("{} is not a plain file: use copy", pool.display()).into());
    }
    if pobj::files_of(pool, &LAYOUT)?.first().map(PathBuf::as_path) != Some(pool) {
        return Err(format!("{} describes a poolset: use copy", pool.display()).into());
    }
    let mut journal = pool.as_os_str().to_owned();
    journal.push(".journal");
    if Path::new(&journal).try_exists()? {
        return Err(format!("{} has a journal: use copy", pool.display()).into());
    }
    let keys = Keys::open(pool)?;
    keys.require_one_moment()?;
    make(&keys, pool, size, Name::Replaced)
}

fn make(keys: &Keys, to: &Path, size: Option<u64>, name: Name) -> Result<Outcome, Failure> {
    keys.require_finished()?;

    let size = size.unwrap_or(keys.pool.usage().size);
    let place = Place::of(to)?;
    let mut store = new_pool(place.beside(), size, Some(keys.pool.seed()))?;
    if let Some(look) = lifetime::noted_rdb(&keys.pool)? {
        store.note_rdb(look)?;
    }
    let (mut copied, mut damaged) = (0u64, 0u64);
    keys.each("copying", |key| {
        let told = match key {
            Ok(key) => {
                let checked = keys.check(&key);
                let (content, damage) = Content::read(&keys.pool, key.ty, key.root, key.inline);
                let content = content.and_then(|mut content| {
                    if checked.is_err() {
                        content.drop_unsound();
                    }
                    (!content.is_empty()).then_some(content)
                });
                if let Some(content) = content {
                    let expire_at = key.expire_at.unwrap_or(KEY_NEVER);
                    store.make_from(key.name, key.db, expire_at, AllLimits::DEFAULT, &content)?;
                    copied += 1;
                }
                let damage = checked.err().or(damage);
                damage.map(|error| (key.name.escape_ascii().to_string(), error))
            }
            Err(error) => Some(("a key without a readable name".to_owned(), error)),
        };
        if let Some((name, error)) = told {
            damaged += 1;
            tell(format_args!("{name} is not whole: {error}"));
        }
        Ok(())
    })?;
    let used = store.pool.usage().used;
    keys.tell_faults();
    if name == Name::Replaced && matches!(keys.outcome(damaged), Outcome::Damaged) {
        let what = to.display();
        tell(format_args!(
            "{what} is left as it was: use copy, which makes another pool of what can be read"
        ));
        return Ok(Outcome::Damaged);
    }
    finish(store, place, name)?;
    sum_up(format_args!(
        "{}, {damaged} damaged; {used} bytes used, {} before",
        count(copied, "key"),
        keys.pool.usage().used
    ));
    Ok(keys.outcome(damaged))
}

/// A new pool, which nobody else opens before it is finished: another one, or that of this seed, to
/// a server, whose RDB and AOF tell whose they are.
///
/// # Errors
/// Those of making it; if there is one already.
pub(crate) fn new_pool(path: &Path, size: u64, seed: Option<[u64; 2]>) -> Result<Store, Failure> {
    // All of it is made durable at the end.
    let mut options = pool_at(path).size(size).durability(Durability::Process);
    if let Some(seed) = seed {
        options = options.seed(seed);
    }
    // A pool that was there would keep nothing of what is done to it: changes stay in this process.
    Ok(Store::open(&options, |pool, _, _| {
        if pool.is_new() {
            Ok(())
        } else {
            let there = format!("{} is there already", path.display());
            Err(pobj::Error::State(there))
        }
    })?)
}

/// What may have the name that a new pool gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// Nothing, from the beginning to the end.
    Free,
    /// The pool whose place it takes.
    Replaced,
}

/// Closes a new pool, makes it durable, and gives it its name.
///
/// # Errors
/// Those of the file system: it is gone then.
pub(crate) fn finish(store: Store, place: Place, name: Name) -> Result<(), Failure> {
    drop(store);
    if name == Name::Replaced {
        let old = place.path().metadata()?;
        File::open(place.beside())
            .and_then(|new| like(&new, &old))
            .map_err(|error| format!("its owner cannot be given the new file: {error}"))?;
    }
    File::open(place.beside())?.sync_all()?;
    match name {
        Name::Replaced => Ok(place.take()?),
        Name::Free => {
            let path = place.path().to_owned();
            place.take_free().map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => there_already(&path),
                _ => error.into(),
            })
        }
    }
}

/// True if something has this name, a link that leads nowhere included.
///
/// # Errors
/// Those of the file system.
pub(crate) fn is_there(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// That a name is in use which a new pool was to get.
pub(crate) fn there_already(path: &Path) -> Failure {
    format!("{} is there already", path.display()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_has_left_is_not_taken_for_a_new_pool() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.1.part");
        drop(new_pool(&path, 8 << 20, None).unwrap());
        let Err(refused) = new_pool(&path, 8 << 20, None) else {
            panic!("it was taken for a new one");
        };
        assert!(
            refused.to_string().ends_with("is there already"),
            "{refused}"
        );
    }

    #[test]
    fn a_name_that_somebody_took_meanwhile_is_left_to_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool");
        let place = Place::of(&path).unwrap();
        let store = new_pool(place.beside(), 8 << 20, None).unwrap();
        std::fs::write(&path, "somebody's").unwrap();
        let refused = finish(store, place, Name::Free).unwrap_err();
        assert!(
            refused.to_string().ends_with("is there already"),
            "{refused}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"somebody's");
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
    }
}

//! A closer look, which some images get: it takes longer than opening them.

use std::cell::Cell;
use std::path::Path;

use pobj::Pool;

use crate::heap;
use crate::states::Description;

/// One image of so many gets it.
const ONE_IN: u64 = 12;

/// Chooses the images that get a closer look, and has the parts that are common to all.
#[derive(Default)]
pub(crate) struct Closer {
    /// Images judged by this process.
    judged: Cell<u64>,
}

impl Closer {
    /// Whether this image is one of those; and a seed for what is done to it then.
    pub(crate) fn chosen(&self) -> Option<u64> {
        let judged = self.judged.get() + 1;
        self.judged.set(judged);
        judged.is_multiple_of(ONE_IN).then_some(judged)
    }

    /// Closes the pool, has PMDK check it, and opens it again: `describe` must find it unchanged.
    ///
    /// # Errors
    /// What differs.
    pub(crate) fn recover_again<P>(
        pool: P,
        image: &Path,
        open: impl Fn(&Path) -> Result<P, String>,
        describe: impl Fn(&P) -> pobj::Result<Description>,
        found: &Description,
    ) -> Result<P, String> {
        drop(pool);
        heap::check(image)?;
        let pool = open(image)?;
        let again = describe(&pool).map_err(|error| error.to_string())?;
        if again == *found {
            Ok(pool)
        } else {
            Err(format!(
                "recovered twice, it is {again:?} and no longer {found:?}"
            ))
        }
    }

    /// A pool of which everything was freed: when its pages are given back too, all granules must
    /// be free or kept back, and libpmemobj must hold nothing but the log and extents.
    ///
    /// # Errors
    /// What is left.
    pub(crate) fn nothing_is_left(mut pool: Pool, image: &Path) -> Result<(), String> {
        pool.trim(usize::MAX).map_err(|error| error.to_string())?;
        let usage = pool.usage();
        drop(pool);
        let others = heap::count_others(image)?;
        let is_empty = (usage.used, usage.pages, others) == (0, 0, 0);
        if is_empty && usage.free + usage.reserved == usage.capacity {
            Ok(())
        } else {
            Err(format!(
                "after freeing all: {usage:?}, {others} objects of libpmemobj's"
            ))
        }
    }
}

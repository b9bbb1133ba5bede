//! The creation of a pool, after libpmemobj has made it its own: cut anywhere, the next start
//! finishes it.

use std::path::Path;

use pobj::Pool;
use powercut::{Progress, Recovery, Steps, Workload};
use store::layout::{DATA, pool_at};

/// Opens a pool that has nothing in it, not even a root object.
pub struct Creation;

fn open(path: &Path) -> Result<Pool, String> {
    Pool::open(&pool_at(path)).map_err(|error| error.to_string())
}

impl Workload for Creation {
    fn prepare(&self, pool: &Path) {
        crate::create_empty_pool(pool);
    }

    fn run(&self, pool: &Path, steps: &mut Steps) {
        steps.step(|| open(pool).expect("the pool opens"));
    }
}

impl Recovery for Creation {
    type Pool = Pool;

    fn recover(&self, image: &Path) -> Result<Pool, String> {
        open(image)
    }

    fn check(&self, mut pool: Pool, image: &Path, _: Progress) -> Result<(), String> {
        if pool.usage().used != 0 || !pool.damages().is_empty() {
            return Err(format!("{:?}, {:?}", pool.usage(), pool.damages()));
        }
        let mut tx = pool.begin();
        let word = tx
            .alloc_value(&7u64, DATA)
            .map_err(|error| error.to_string())?;
        tx.commit().map_err(|error| error.to_string())?;
        drop(pool);
        let pool = open(image)?;
        match pool.get(word) {
            Ok(7) => Ok(()),
            other => Err(format!("{other:?} instead of 7")),
        }
    }
}

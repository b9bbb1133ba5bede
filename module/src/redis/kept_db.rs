//! A context's database, selected again after others.

use super::Ctx;

/// The database that was selected in a context when this was made, and is again when it is dropped,
/// also by a panic.
#[must_use = "the database is selected back when this is dropped"]
pub struct KeptDb<'c> {
    ctx: &'c Ctx,
    db: i32,
}

impl Ctx {
    /// Has the selected database be selected again when the result is dropped.
    pub fn keep_db(&self) -> KeptDb<'_> {
        KeptDb {
            ctx: self,
            db: self.db(),
        }
    }
}

impl KeptDb<'_> {
    /// Its number.
    pub fn number(&self) -> i32 {
        self.db
    }
}

impl Drop for KeptDb<'_> {
    fn drop(&mut self) {
        self.ctx.select_db(self.db);
    }
}

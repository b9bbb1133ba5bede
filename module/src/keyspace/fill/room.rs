//! Room in Redis's tables for the keys that come, made in large steps.
//!
//! Left alone, Redis doubles a table of ten million keys 22 times, and moves 16 million keys for
//! it. But it makes a table smaller again of which less than a tenth or an eighth is used, so not
//! all of the room can be made at once.

use crate::behaviour::{Family, server};
use crate::redis::{Ctx, Expansion, Key};

/// Keys between looks at a table.
pub(super) const LOOK_EVERY: u64 = 64;

/// What is known of the tables of all databases.
#[derive(Debug)]
pub(super) struct Room {
    expansion: Option<Expansion>,
    /// For how many keys each database's table has room.
    tables: Vec<u64>,
}

impl Room {
    /// Makes no room where the server limits its memory, which it looks at itself before a table
    /// grows, or has a table for each hash slot.
    pub(super) fn of_server(ctx: &Ctx) -> Room {
        let server = server();
        let (major, minor, _) = server.version;
        let is_valkey = server.family == Family::Valkey;
        let flags = ctx.flags();
        let expansion = if flags.cluster() || flags.limits_memory() {
            None
        } else {
            Expansion::of_server(is_valkey, (major, minor))
        };
        Room {
            expansion,
            tables: Vec::new(),
        }
    }

    /// Makes room in database `db`, of which a key is open, if its table will soon be too small for
    /// those that are to come.
    pub(super) fn make(&mut self, ctx: &Ctx, key: &Key<'_>, db: i32, to_come: u64) {
        let (Some(expansion), Ok(at)) = (self.expansion, usize::try_from(db)) else {
            return;
        };
        if self.tables.len() <= at {
            self.tables.resize(at + 1, 0);
        }
        let size = ctx.db_size();
        if let Some(wanted) = wanted(self.tables[at], size, to_come, expansion.factor())
            && expansion.make_room(ctx, key, size, wanted)
        {
            self.tables[at] = wanted;
        }
    }
}

/// For how many keys there should be room, if there has been room for `table` and `size` are there;
/// `None` if that will do for now.
fn wanted(table: u64, size: u64, to_come: u64, factor: u64) -> Option<u64> {
    let table = table.max(size).next_power_of_two();
    let goal = size + to_come;
    let is_full = size + size / 8 >= table;
    (is_full && table < goal).then(|| goal.min(table * factor))
}

#[cfg(test)]
mod tests {
    use super::wanted;

    #[test]
    fn tables_grow_in_large_steps_and_are_never_so_empty_that_the_server_shrinks_them() {
        for (factor, least) in [(8, 0.1), (4, 0.125)] {
            let goal: u64 = 10_000_000;
            let (mut table, mut steps) = (0, 0);
            for size in (64..goal).step_by(64) {
                if let Some(next) = wanted(table, size, goal - size, factor) {
                    let buckets = next.next_power_of_two();
                    assert!(size as f64 / buckets as f64 > least, "{size} of {buckets}");
                    assert!(next > size + size / 8 || next == goal);
                    (table, steps) = (next, steps + 1);
                }
            }
            assert_eq!(table, goal);
            assert!(steps < 10, "{steps}");
        }
    }

    #[test]
    fn no_room_is_made_that_is_not_needed() {
        assert_eq!(wanted(0, 64, 0, 8), None);
        assert_eq!(wanted(128, 120, 8, 8), None);
        assert_eq!(wanted(0, 1000, 24, 8), None);
        assert_eq!(wanted(0, 1000, 25, 8), Some(1025));
    }
}

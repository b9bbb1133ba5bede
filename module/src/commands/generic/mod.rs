//! The commands that any key understands, confined to PM keys: to them, a native key is absent.
//!
//! Redis's own commands work on PM keys, so these look at what the keys hold and then run those: events,
//! expiry, replication and errors are Redis's. What would overwrite a native key only if it is absent
//! (RENAMENX, COPY without REPLACE) leaves it alone; RENAME and COPY REPLACE overwrite it, as PM.SET does.

mod flush;
mod keys;
mod object;
mod transfer;
mod walk;

use super::Table;
use crate::redis::{Arg, Ctx, Kind, Mode};

/// One row a command: name, handler, arity, flags, keys (first, last, step).
pub fn rows(table: &mut Table<'_>) -> Result<(), String> {
    const NONE: (i32, i32, i32) = (0, 0, 0);
    const ONE: (i32, i32, i32) = (1, 1, 1);
    const TWO: (i32, i32, i32) = (1, 2, 1);
    const ALL: (i32, i32, i32) = (1, -1, 1);
    const READ: &str = "readonly";
    const READ_FAST: &str = "readonly fast";
    const WRITE: &str = "write";
    const WRITE_FAST: &str = "write fast";

    table.native("del", keys::change_all, -2, WRITE, ALL)?;
    table.native("unlink", keys::change_all, -2, WRITE_FAST, ALL)?;
    table.native("exists", keys::look_at_all, -2, READ_FAST, ALL)?;
    table.native("touch", keys::look_at_all, -2, READ_FAST, ALL)?;
    table.native("type", keys::type_of, 2, READ_FAST, ONE)?;
    table.any_key();
    table.native("expire", keys::change_one, -3, WRITE_FAST, ONE)?;
    table.native("pexpire", keys::change_one, -3, WRITE_FAST, ONE)?;
    table.native("expireat", keys::change_one, -3, WRITE_FAST, ONE)?;
    table.native("pexpireat", keys::change_one, -3, WRITE_FAST, ONE)?;
    table.native("persist", keys::change_one, 2, WRITE_FAST, ONE)?;
    table.native("ttl", keys::look_at_one, 2, READ_FAST, ONE)?;
    table.native("pttl", keys::look_at_one, 2, READ_FAST, ONE)?;
    table.native("expiretime", keys::look_at_one, 2, READ_FAST, ONE)?;
    table.native("pexpiretime", keys::look_at_one, 2, READ_FAST, ONE)?;
    table.native("rename", keys::rename, 3, WRITE, TWO)?;
    table.native("renamenx", keys::rename, 3, WRITE_FAST, TWO)?;
    table.native("copy", keys::copy, -3, "write deny-oom", TWO)?;
    table.native("move", transfer::move_to, 3, WRITE_FAST, ONE)?;
    table.native("dump", transfer::dump, 2, READ, ONE)?;
    table.native("restore", transfer::restore, -4, "write deny-oom", ONE)?;
    const MOVABLE: &str = "write getkeys-api";
    table.native("migrate", transfer::migrate, -6, MOVABLE, (3, 3, 1))?;
    table.native("keys", walk::keys, 2, READ, NONE)?;
    table.native("scan", walk::scan, -2, READ, NONE)?;
    table.any_key();
    table.native("randomkey", walk::randomkey, 1, READ, NONE)?;
    table.native("dbsize", walk::dbsize, 1, READ_FAST, NONE)?;
    table.native("flushdb", flush::flushdb, -1, WRITE, NONE)?;
    table.native("flushall", flush::flushall, -1, WRITE, NONE)?;

    const KEY: (i32, i32, i32) = (2, 2, 1);
    table.container("object", -2)?;
    table.part("object", "encoding", object::encoding, 3, READ, KEY)?;
    table.any_key();
    table.part("object", "freq", object::freq, 3, READ, KEY)?;
    table.part("object", "idletime", object::idletime, 3, READ, KEY)?;
    table.part("object", "refcount", object::refcount, 3, READ, KEY)?;
    table.part(
        "object",
        "help",
        object::help,
        2,
        "allow-loading allow-stale",
        NONE,
    )
}

/// Whether the key holds something native. Neither an access nor a miss: the command that follows is.
fn is_native(ctx: &Ctx, name: Arg<'_>) -> bool {
    ctx.open(name, Mode::Write).kind() == Kind::Other
}

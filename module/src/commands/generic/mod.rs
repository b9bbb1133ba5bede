//! The commands for keys of any type, confined to PM keys: to them, a native key is absent.
//!
//! Redis's own commands work on PM keys, so these look at what the keys hold and then run those:
//! events, expiry, replication and errors are Redis's. (SLOWLOG and `commandstats` show both then.)
//! The simplest of them, DEL, EXISTS, TTL, EXPIRE and the like, do the same themselves. Commands
//! that write only to an absent key (RENAMENX, COPY without REPLACE) leave a native key alone;
//! RENAME and COPY REPLACE overwrite it, as PM.SET does.

mod expire;
mod flush;
mod keys;
mod migrate;
mod object;
mod peer;
mod transfer;
mod walk;

pub(super) use expire::{expire_at, persist};
pub(super) use transfer::export;

use super::row::{
    ALL, NONE, ONE, READ, READ_FAST, Row, TWO, WRITE, WRITE_ALWAYS, WRITE_ALWAYS_FAST,
};
use crate::redis::{Arg, Ctx, Kind, Mode};

const KEY: (i32, i32, i32) = (2, 2, 1);

/// One row a command: name, handler, arity, flags, keys.
pub(super) const ROWS: &[Row] = &[
    Row::command("del", keys::delete_all, -2, WRITE_ALWAYS, ALL),
    Row::command("unlink", keys::delete_all, -2, WRITE_ALWAYS_FAST, ALL),
    Row::command("exists", keys::exist, -2, READ_FAST, ALL),
    Row::command("touch", keys::touch, -2, READ_FAST, ALL),
    Row::command("type", keys::type_of, 2, READ_FAST, ONE).any_key(),
    Row::command("expire", expire::expire, -3, WRITE_ALWAYS_FAST, ONE).options("NX XX GT LT"),
    Row::command("pexpire", expire::pexpire, -3, WRITE_ALWAYS_FAST, ONE).options("NX XX GT LT"),
    Row::command("expireat", expire::expireat, -3, WRITE_ALWAYS_FAST, ONE).options("NX XX GT LT"),
    Row::command("pexpireat", expire::pexpireat, -3, WRITE_ALWAYS_FAST, ONE).options("NX XX GT LT"),
    Row::command("persist", expire::persist_key, 2, WRITE_ALWAYS_FAST, ONE),
    Row::command("ttl", keys::ttl, 2, READ_FAST, ONE),
    Row::command("pttl", keys::pttl, 2, READ_FAST, ONE),
    Row::command("expiretime", keys::expiretime, 2, READ_FAST, ONE),
    Row::command("pexpiretime", keys::pexpiretime, 2, READ_FAST, ONE),
    Row::command("rename", keys::rename, 3, WRITE_ALWAYS, TWO),
    Row::command("renamenx", keys::rename, 3, WRITE_ALWAYS_FAST, TWO),
    Row::command("copy", keys::copy, -3, WRITE, TWO).options("DB REPLACE"),
    Row::command("move", transfer::move_to, 3, WRITE_ALWAYS_FAST, ONE),
    Row::command("dump", transfer::dump, 2, READ, ONE).any_key(),
    Row::command("restore", transfer::restore, -4, WRITE, ONE)
        .options("REPLACE ABSTTL IDLETIME FREQ"),
    Row::command("migrate", migrate::migrate, -6, WRITE_ALWAYS, (3, 3, 1))
        .options("COPY REPLACE NATIVE AUTH AUTH2 KEYS")
        .telling_keys()
        .any_key(),
    Row::command("keys", walk::keys, 2, READ, NONE),
    Row::command("scan", walk::scan, -2, READ, NONE)
        .options("MATCH COUNT TYPE")
        .any_key(),
    Row::command("randomkey", walk::randomkey, 1, READ, NONE),
    Row::command("dbsize", walk::dbsize, 1, READ_FAST, NONE),
    Row::command("flushdb", flush::flushdb, -1, WRITE_ALWAYS, NONE).options("ASYNC SYNC"),
    Row::command("flushall", flush::flushall, -1, WRITE_ALWAYS, NONE).options("ASYNC SYNC"),
    Row::container("object", -2),
    Row::part("object", "encoding", object::encoding, 3, READ, KEY).any_key(),
    Row::part("object", "freq", object::freq, 3, READ, KEY),
    Row::part("object", "idletime", object::idletime, 3, READ, KEY),
    Row::part("object", "refcount", object::refcount, 3, READ, KEY),
    Row::part(
        "object",
        "help",
        object::help,
        2,
        "allow-loading allow-stale",
        NONE,
    ),
];

/// Whether the key holds something native. Neither an access nor a miss, nor, from 7.2 on, does an
/// expired key go: that is for the command that follows.
fn is_native(ctx: &Ctx, name: Arg<'_>) -> bool {
    ctx.open(name, Mode::Unseen).kind() == Kind::Other
}

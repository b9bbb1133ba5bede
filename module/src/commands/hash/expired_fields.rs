//! Expired fields that have not been removed yet: what commands see of them, and do about them.
//!
//! Redis removes such a field when a command comes across it, except where a command takes it as it
//! is (HSET, HDEL, HEXPIRE, HLEN); Valkey treats it as absent and leaves it for the background. On
//! a replica it is hidden from clients and stays; for what the master sends it is a field like any
//! other. So it is for what comes with hash slots that are being imported.

use super::TY;
use crate::behaviour::Behaviour;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::keyspace::arriving::arrives;
use crate::keyspace::expiring::{Telling, remove_expired, takes_changes};
pub(crate) use crate::keyspace::{CommandTime, clock, expired_among as among};
use crate::redis::{Arg, Class, Ctx, OwnedString, may_replicate, spares_replicas};
use std::collections::HashSet;
use store::expiry::FIELD_NEVER;

/// Names of fields.
pub(crate) type Names<'a> = HashSet<&'a [u8]>;

/// Whether fields whose time has come may be removed now, by a command that has opened their key.
pub(crate) fn may_remove(ctx: &Ctx) -> bool {
    let flags = ctx.flags();
    flags.master() && !flags.loading() && !arrives() && !spares_replicas()
}

/// Whether a command removes the fields that it comes across, and whose time has come.
pub(crate) fn removes_on_access(ctx: &Ctx) -> bool {
    !Behaviour::ExpiredFieldsAreAbsent.here() && may_remove(ctx)
}

/// A command has come across fields whose time has come: removes them, if that is for it to do.
/// True if the key has gone with them.
pub(crate) fn met(
    ctx: &Ctx,
    key: Arg<'_>,
    expired: &Names<'_>,
    telling: Telling,
) -> Result<bool, CmdError> {
    if expired.is_empty() || !removes_on_access(ctx) {
        return Ok(false);
    }
    remove_expired(ctx, key, expired.iter().copied(), telling)
}

/// [`met`] by a command that reads: where the pool takes no changes, the fields stay, and it goes
/// on. Whether they are removed, or need not be.
pub(crate) fn met_by_reader(
    ctx: &Ctx,
    key: Arg<'_>,
    expired: &Names<'_>,
) -> Result<bool, CmdError> {
    let removes = takes_changes();
    if removes {
        met(ctx, key, expired, Telling::All)?;
    }
    Ok(removes)
}

/// [`met`] of those among `fields`, before a command begins. Gives whether there were some.
pub(crate) fn sweep<'a>(
    ctx: &Ctx,
    name: Arg<'_>,
    fields: impl Iterator<Item = &'a [u8]>,
    telling: Telling,
) -> Result<bool, CmdError> {
    let key = PmKey::open_write(ctx, name, TY)?;
    let expired = key.read(|pool, root| among(ctx, pool, root, fields))?;
    drop(key);
    met(ctx, name, &expired, telling)?;
    Ok(!expired.is_empty())
}

/// Tells of fields that a command has set anew though they were there, their time having come:
/// replicas see them until they are told.
pub(crate) fn replaced(ctx: &Ctx, key: &PmKey<'_>, expired: &Names<'_>) {
    if expired.is_empty() {
        return;
    }
    ctx.notify(Class::HASH, c"hexpired", key.name());
    replicate_removal(ctx, key.name(), expired.iter().copied());
}

/// Sends a removal of fields to the replicas.
pub(crate) fn replicate_removal<'a>(
    ctx: &Ctx,
    key: Arg<'_>,
    fields: impl Iterator<Item = &'a [u8]>,
) {
    if !may_replicate(ctx) {
        return;
    }
    let strings: Vec<OwnedString> = fields.map(OwnedString::new).collect();
    let args = std::iter::once(key).chain(strings.iter().map(OwnedString::arg));
    ctx.replicate(c"PM.HDEL", &args.collect::<Vec<_>>());
}

/// Whether the field's expire time says that there is one.
pub(crate) fn expires(expire_at: i64) -> bool {
    expire_at != FIELD_NEVER
}

//! HSETEX: fields with values and an expire time, under conditions.

use super::TY;
use super::expired_fields::{self, Names};
use super::syntax::{self, Command, Extended, Ttl};
use crate::behaviour::Behaviour;
use crate::error::CmdError;
use crate::keyspace::PmKey;
use crate::keyspace::expiring::Telling;
use crate::limits;
use crate::redis::{Arg, Args, Class, Ctx, OwnedString, may_replicate};
use std::ffi::CStr;
use store::expiry::Expiry;
use store::structures::hash::{self, Pair};

/// `PM.HSETEX key [FNX | FXX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL] FIELDS numfields field
/// value [field value ...]`; in Valkey also `[NX | XX]`.
pub(super) fn hsetex(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    let now = expired_fields::clock(ctx)?;
    let request = syntax::extended(ctx, now, Command::Hsetex, args)?;
    let name = args[1];
    let key = PmKey::open_write(ctx, name, TY)?;
    let (when, exists) = (request.when, key.exists());
    drop(key);
    if when.no_key && exists || when.key && !exists {
        ctx.reply_integer(0);
        return Ok(());
    }
    let expiry = match request.ttl {
        None => Expiry::Never,
        Some(Ttl::Keep | Ttl::Persist) => Expiry::Keep,
        Some(Ttl::At(time)) => Expiry::At(time),
        Some(Ttl::Later(unit, arg)) => Expiry::At(syntax::expire_time(ctx, now, unit, arg)?),
    };
    let (is_met, met) = judge(ctx, name, &request)?;
    if is_met {
        Work::new(ctx, now, &request, expiry, met).run(ctx, name)?;
    } else {
        expired_fields::met(ctx, name, &met, Telling::All)?;
    }
    ctx.reply_integer(is_met.into());
    Ok(())
}

/// Whether FNX or FXX is met, and the fields come across whose time has come, if they are to be
/// removed.
fn judge<'a>(
    ctx: &Ctx,
    name: Arg<'_>,
    request: &Extended<'a>,
) -> Result<(bool, Names<'a>), CmdError> {
    let when = request.when;
    if !when.no_field && !when.all_fields {
        return Ok((true, Names::new()));
    }
    let key = PmKey::open_write(ctx, name, TY)?;
    let (is_met, expired) = key.read(|pool, root| {
        let mut expired = Names::new();
        for (field, _) in pairs(request.fields) {
            let mut there = hash::get(pool, root, field)?.is_some();
            if !expired_fields::among(ctx, pool, root, std::iter::once(field))?.is_empty() {
                expired.insert(field);
                there = false;
            }
            if there != when.all_fields {
                return Ok((false, expired));
            }
        }
        Ok((true, expired))
    })?;
    if expired_fields::removes_on_access(ctx) {
        Ok((is_met, expired))
    } else {
        Ok((is_met, Names::new()))
    }
}

fn pairs<'a>(args: &'a [Arg<'a>]) -> impl ExactSizeIterator<Item = Pair<'a>> + Clone {
    args.chunks_exact(2)
        .map(|pair| (pair[0].bytes(), pair[1].bytes()))
}

/// Setting the fields.
struct Work<'a> {
    fields: &'a [Arg<'a>],
    expiry: Expiry,
    /// The expire time is over: the fields go.
    is_over: bool,
    /// Fields whose time had come, and which are to be removed first.
    met: Names<'a>,
}

impl<'a> Work<'a> {
    fn new(
        ctx: &Ctx,
        now: i64,
        request: &Extended<'a>,
        expiry: Expiry,
        met: Names<'a>,
    ) -> Work<'a> {
        let is_over = match expiry {
            Expiry::At(time) => time <= now && expired_fields::may_remove(ctx),
            _ => false,
        };
        Work {
            fields: request.fields,
            expiry,
            is_over,
            met,
        }
    }

    fn names(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        pairs(self.fields).map(|(field, _)| field)
    }

    fn run(&self, ctx: &Ctx, name: Arg<'_>) -> Result<(), CmdError> {
        let mut key = PmKey::open_write(ctx, name, TY)?;
        let existed = key.exists();
        let mut expired = Names::new();
        let (was, removed) = key.edit(|tx, root| {
            let was = *root;
            if Behaviour::ExpiredFieldsAreAbsent.here() && !self.is_over {
                expired = expired_fields::among(ctx, tx, *root, self.names())?;
            }
            if self.is_over {
                return Ok((was, hash::remove(tx, root, self.names())?));
            }
            let stale = self.stale(&expired);
            hash::replace_expiring(
                tx,
                root,
                limits::hash(),
                &stale,
                pairs(self.fields),
                self.expiry,
            )?;
            Ok((was, 0))
        })?;
        if let Expiry::At(time) = self.expiry {
            key.note_expiry(was, self.names().map(|field| (field, time)));
        }
        if !existed && self.is_over {
            // The key comes to be, and goes with its fields.
            ctx.notify(Class::NEW, c"new", name);
        }
        let only_pass = self.is_over && removed == 0;
        if !(only_pass && Behaviour::PassingFieldsAreNoChange.here()) {
            key.signal();
        }
        expired_fields::replaced(ctx, &key, &self.met);
        expired_fields::replaced(ctx, &key, &expired);
        self.tell(ctx, &key);
        if existed || key.exists() {
            self.replicate(ctx, name);
        }
        Ok(())
    }

    fn tell(&self, ctx: &Ctx, key: &PmKey<'_>) {
        let expires = Behaviour::PastFieldTimeExpires.here();
        let events: &[&CStr] = match (self.expiry, self.is_over, expires) {
            (Expiry::Never | Expiry::Keep, ..) => &[c"hset"],
            (Expiry::At(_), false, _) => &[c"hset", c"hexpire"],
            (Expiry::At(_), true, false) => &[c"hset", c"hdel"],
            (Expiry::At(_), true, true) => &[c"hset", c"hexpire", c"hexpired"],
        };
        for event in events {
            ctx.notify(Class::HASH, event, key.name());
        }
        if !key.exists() {
            ctx.notify(Class::GENERIC, c"del", key.name());
        }
    }

    /// Fields that are replaced as if they had not been there, their time having come.
    fn stale<'n>(&'n self, expired: &'n Names<'_>) -> Vec<&'n [u8]> {
        let keeps = self.expiry == Expiry::Keep;
        let expired = expired.iter().filter(|_| keeps);
        self.met.iter().chain(expired).copied().collect()
    }

    fn replicate(&self, ctx: &Ctx, name: Arg<'_>) {
        if !may_replicate(ctx) {
            return;
        }
        if self.is_over {
            return expired_fields::replicate_removal(ctx, name, self.names());
        }
        let text = |text: &str| OwnedString::new(text.as_bytes());
        let options = match self.expiry {
            Expiry::Never => Vec::new(),
            Expiry::Keep => vec![text("KEEPTTL")],
            Expiry::At(time) => vec![text("PXAT"), text(&time.to_string())],
        };
        let count = text(&(self.fields.len() / 2).to_string());
        let word = text("FIELDS");
        let mut args = vec![name];
        args.extend(options.iter().map(OwnedString::arg));
        args.extend([word.arg(), count.arg()]);
        args.extend_from_slice(self.fields);
        ctx.replicate(c"PM.HSETEX", &args);
    }
}

//! A key opened by a command.
//!
//! The order of every change: the record is changed durably first, then Redis's keyspace follows.
//! Redis calls back while it follows (`free` of what is overwritten or deleted); the engine is not
//! borrowed then.
//!
//! What follows a commit fails no command, which would then be neither told of nor replicated,
//! though the key shows what it has done: such failures are reported (`failure::durable`).

mod many;

pub use many::{put_all, read_all, read_each};

use super::arriving::note_key;
use super::counts::count_new;
use super::failure::durable;
use super::{ENGINE, Engine, with_engine};
use crate::error::CmdError;
use crate::redis::{Arg, Ctx, Key, Kind, Mode};
use pobj::{Pool, Result, Tx};
use store::Store;
use store::expiry::{Expiry, KEY_NEVER};
use store::inline::Inline;
use store::place::{Outcome, Place};
use store::record::{self, RecordPtr};
use store::structures::Root;
use store::value::ValueType;

/// A key of the selected database, opened for values of one type.
///
/// | verb | when | cost |
/// |---|---|---|
/// | [`open_read`](Self::open_read), [`open_read_one_of`](Self::open_read_one_of) | a command reads a value of this type, of one of these types | one look-up in Redis's keyspace, as for all that opens |
/// | [`open_write`](Self::open_write) | it changes a value of this type | |
/// | [`open_any`](Self::open_any) | it puts a value there, whatever is there | |
/// | [`read`](Self::read) | the value is looked at; of none the root is empty | no fence |
/// | [`edit`](Self::edit) | the value is changed, made, or emptied, which deletes the key | one commit |
/// | [`edit_leaving`](Self::edit_leaving) | the same, and parts of it may be large that go | one commit; these are freed in the background |
/// | [`put`](Self::put) | a value takes the place of whatever is there, and does not expire | one commit; the old value is freed with it, or in the background |
/// | [`upsert`](Self::upsert) | a value that is there is changed, else one is put there | one commit |
/// | [`remove`](Self::remove) | elements go, maybe all | one commit |
/// | [`delete`](Self::delete) | the key goes, and its value | one commit, large values in the background |
/// | [`set_expire`](Self::set_expire) | only the expire time changes | one commit |
/// | [`edit2`], [`edit2_announcing`], [`put_all`] | two keys, or several, as one step | one commit |
/// | [`read_all`], [`read_each`] | the values of several keys | no fence |
/// | [`prefetch`](Self::prefetch) | other keys are opened before this one is read | a hint, no wait |
/// | [`signal`](Self::signal), [`announce_replaced`](Self::announce_replaced) | the key has changed, or has another value | none in the pool |
///
/// Those with `_inline` in their name, and `upsert`, give the record's inline area to who reads or
/// builds the value, as strings need it; the others give the root alone.
pub struct PmKey<'a> {
    key: Key<'a>,
    ctx: &'a Ctx,
    ty: ValueType,
    /// What the key holds.
    holds: Kind,
}

/// Closures see the pool's errors; commands see their own.
fn lift<R>(result: Result<R>) -> Result<R, CmdError> {
    result.map_err(CmdError::from)
}

impl<'a> PmKey<'a> {
    fn open(ctx: &'a Ctx, name: Arg<'a>, mode: Mode, ty: ValueType) -> PmKey<'a> {
        // An engine that cannot be reached is told of when the value is read.
        let _ = ENGINE.with(Engine::prefetch_entry);
        note_key(name);
        let key = ctx.open(name, mode);
        let holds = key.kind();
        PmKey {
            key,
            ctx,
            ty,
            holds,
        }
    }

    fn open_typed(
        ctx: &'a Ctx,
        name: Arg<'a>,
        mode: Mode,
        ty: ValueType,
    ) -> Result<PmKey<'a>, CmdError> {
        let key = PmKey::open(ctx, name, mode, ty);
        match key.holds {
            Kind::Other => Err(CmdError::WrongType),
            Kind::Pm(found, _) if found != ty => Err(CmdError::WrongType),
            _ => Ok(key),
        }
    }

    /// Opens a key to read a value of type `ty`.
    ///
    /// # Errors
    /// `WrongType` if it holds anything else.
    pub fn open_read(ctx: &'a Ctx, name: Arg<'a>, ty: ValueType) -> Result<PmKey<'a>, CmdError> {
        PmKey::open_typed(ctx, name, Mode::Read, ty)
    }

    /// Opens a key to read a value of one of some types, the first of which it has if it is absent.
    ///
    /// # Errors
    /// `WrongType` if it holds anything else.
    pub fn open_read_one_of(
        ctx: &'a Ctx,
        name: Arg<'a>,
        types: &[ValueType],
    ) -> Result<PmKey<'a>, CmdError> {
        let first = *types.first().ok_or(CmdError::Internal)?;
        let mut key = PmKey::open(ctx, name, Mode::Read, first);
        match key.holds {
            Kind::Absent => Ok(key),
            Kind::Pm(found, _) if types.contains(&found) => {
                key.ty = found;
                Ok(key)
            }
            _ => Err(CmdError::WrongType),
        }
    }

    /// Opens a key to change a value of type `ty`.
    ///
    /// # Errors
    /// `WrongType` if it holds anything else.
    pub fn open_write(ctx: &'a Ctx, name: Arg<'a>, ty: ValueType) -> Result<PmKey<'a>, CmdError> {
        PmKey::open_typed(ctx, name, Mode::Write, ty)
    }

    /// Opens a key to put a value of type `ty` there, whatever it holds now.
    pub fn open_any(ctx: &'a Ctx, name: Arg<'a>, ty: ValueType) -> PmKey<'a> {
        PmKey::open(ctx, name, Mode::Write, ty)
    }

    /// The key's name.
    pub fn name(&self) -> Arg<'a> {
        self.key.name()
    }

    /// The type of the value, if it is one of ours.
    pub fn value_type(&self) -> Option<ValueType> {
        match self.holds {
            Kind::Pm(ty, _) => Some(ty),
            _ => None,
        }
    }

    /// Asks for the key's record, which will be looked at once other keys are open.
    pub fn prefetch(&self) {
        if let Kind::Pm(_, addr) = self.holds {
            let _ = ENGINE.with(|engine| engine.prefetch_record(addr));
        }
    }

    /// True if the key holds a value of the type it was opened for.
    pub fn exists(&self) -> bool {
        self.value_type() == Some(self.ty)
    }

    /// True if the key holds anything, native values included.
    pub fn occupied(&self) -> bool {
        self.holds != Kind::Absent
    }

    /// The record, if the key holds a value of the type it was opened for.
    pub(super) fn record(&self, engine: &mut Engine) -> Result<Option<RecordPtr>, CmdError> {
        match self.holds {
            Kind::Pm(ty, addr) if ty == self.ty => {
                let record = engine.record_at(addr).filter(|_| engine.life.shows_keys());
                if let Some(record) = record {
                    engine.prefetch.note(ty, record);
                }
                record.map(Some).ok_or(LOADING)
            }
            _ if engine.life.shows_keys() => Ok(None),
            _ => Err(LOADING),
        }
    }

    /// Where the value is kept, or will be.
    #[inline]
    fn place(&self, engine: &mut Engine) -> Result<Place<'a>, CmdError> {
        match self.record(engine)? {
            Some(record) => Ok(Place::at(record, self.ty)),
            None => self.absent(engine),
        }
    }

    #[inline(never)]
    fn absent(&self, engine: &mut Engine) -> Result<Place<'a>, CmdError> {
        let creation = lift(engine.store.creation(self.ctx.db(), KEY_NEVER))?;
        Ok(Place::absent(self.name().bytes(), self.ty, creation))
    }

    /// Reads the value: `f` gets its root, `Root::EMPTY` if there is none. Replying inside `f`
    /// saves a copy.
    #[inline]
    pub fn read<R>(&self, f: impl FnOnce(&Pool, Root) -> Result<R>) -> Result<R, CmdError> {
        with_engine(|engine| {
            let root = match self.record(engine)? {
                Some(record) => lift(record::get(&engine.store.pool, record))?.root,
                None => Root::EMPTY,
            };
            lift(f(&engine.store.pool, root))
        })
    }

    /// [`PmKey::read`] of an existing value that may use its record's inline area.
    #[inline]
    pub fn read_inline<R>(
        &self,
        f: impl FnOnce(&Pool, Root, Inline) -> Result<R>,
    ) -> Result<Option<R>, CmdError> {
        with_engine(|engine| {
            let Some(record) = self.record(engine)? else {
                return Ok(None);
            };
            let (root, inline) = lift(record::value(&engine.store.pool, record))?;
            lift(f(&engine.store.pool, root, inline)).map(Some)
        })
    }

    /// Changes the value as one atomic, durable step. The key comes to be if there was none and the
    /// root is not empty afterwards; it goes if the root is empty afterwards.
    #[inline]
    pub fn edit<R>(
        &mut self,
        f: impl FnOnce(&mut Tx<'_>, &mut Root) -> Result<R>,
    ) -> Result<R, CmdError> {
        self.change(|store, place, done| store.edit(place, done, f))
    }

    /// [`PmKey::edit`] by an `f` that also gives parts of the value up, which may be too large to
    /// be freed at once: they are reclaimed in the background.
    pub fn edit_leaving<R, const N: usize>(
        &mut self,
        f: impl FnOnce(&mut Tx<'_>, &mut Root) -> Result<(R, [Root; N])>,
    ) -> Result<R, CmdError> {
        self.change(|store, place, done| store.edit_leaving(place, done, f))
    }

    /// Has the store make a change, and Redis's keyspace follow.
    #[inline]
    fn change<R>(
        &mut self,
        make: impl FnOnce(&mut Store, &Place<'_>, &mut Option<(R, Outcome)>) -> Result<()>,
    ) -> Result<R, CmdError> {
        let mut done = None;
        with_engine(|engine| {
            let place = self.place(engine)?;
            lift(make(&mut engine.store, &place, &mut done))?;
            let freed = done.as_ref().and_then(|(_, outcome)| outcome.gone());
            engine.pending.leave_freed(freed);
            Ok(())
        })?;
        let (result, outcome) = done.ok_or(CmdError::Internal)?;
        self.follow(outcome);
        Ok(result)
    }

    /// Changes an existing value that may use its record's inline area, and its expire time if one
    /// is given, as one atomic, durable step; `None` if there is no value.
    #[inline]
    pub fn edit_inline<R>(
        &mut self,
        expire_at: Option<i64>,
        f: impl FnOnce(&mut Tx<'_>, &mut Root, Inline) -> Result<R>,
    ) -> Result<Option<R>, CmdError> {
        let mut done = None;
        with_engine(|engine| match self.record(engine)? {
            Some(record) => lift(engine.store.edit_inline(record, expire_at, &mut done, f)),
            None => Ok(()),
        })?;
        let Some((result, old_expire)) = done else {
            return Ok(None);
        };
        if let Some(at) = expire_at.filter(|&at| (at, old_expire) != (KEY_NEVER, KEY_NEVER)) {
            self.follow_expire(at);
        }
        Ok(Some(result))
    }

    /// Changes the value that is there as [`PmKey::edit_inline`] does; if there is none, puts one
    /// there as [`PmKey::put`] does, which `f` makes of an empty root, and which may use `inline`
    /// bytes of the record. `expire` says what becomes of the key's expire time, also that of a
    /// native value that gives way.
    #[inline]
    pub fn upsert<R>(
        &mut self,
        inline: u64,
        expire: Expiry,
        f: impl FnOnce(&mut Tx<'_>, &mut Root, Inline) -> Result<R>,
    ) -> Result<R, CmdError> {
        if self.exists() {
            let at = match expire {
                Expiry::Keep => None,
                Expiry::Never => Some(KEY_NEVER),
                Expiry::At(ms) => Some(ms),
            };
            return self.edit_inline(at, f)?.ok_or(CmdError::Internal);
        }
        let at = match expire {
            Expiry::Keep if self.occupied() => self.expire_at().unwrap_or(KEY_NEVER),
            Expiry::Keep | Expiry::Never => KEY_NEVER,
            Expiry::At(ms) => ms,
        };
        let mut result = None;
        self.put_inline(inline, at, |tx, inline| {
            let mut root = Root::EMPTY;
            result = Some(f(tx, &mut root, inline)?);
            Ok(root)
        })?;
        result.ok_or(CmdError::Internal)
    }

    /// [`PmKey::put`] of a value that may use `inline` bytes of the record and expires at
    /// `expire_at`, in Unix milliseconds, or `KEY_NEVER`.
    fn put_inline(
        &mut self,
        inline: u64,
        expire_at: i64,
        f: impl FnOnce(&mut Tx<'_>, Inline) -> Result<Root>,
    ) -> Result<(), CmdError> {
        let before = self.holds;
        self.put_inline_unannounced(inline, expire_at, f)?;
        self.announce_replaced_after(before);
        Ok(())
    }

    /// [`PmKey::put`] without telling that the key has another value, of one that may use `inline`
    /// bytes of the record and expires at `expire_at`.
    pub fn put_inline_unannounced(
        &mut self,
        inline: u64,
        expire_at: i64,
        f: impl FnOnce(&mut Tx<'_>, Inline) -> Result<Root>,
    ) -> Result<(), CmdError> {
        let (mut outcome, mut old) = (Outcome::Nothing, None);
        with_engine(|engine| {
            if !engine.life.shows_keys() {
                return Err(LOADING);
            }
            let creation = lift(engine.store.creation(self.ctx.db(), expire_at))?;
            old = match self.holds {
                Kind::Pm(_, addr) => engine.record_at(addr),
                _ => None,
            };
            let key = (self.name().bytes(), self.ty, creation);
            lift(engine.store.put(key, old, inline, &mut outcome, f))
        })?;
        match (outcome, old) {
            (Outcome::Nothing, _) if self.occupied() => self.delete(),
            (Outcome::Created(_, addr), Some(old)) if self.exists() => {
                self.follow_exchange(old, addr);
            }
            _ => self.follow(outcome),
        }
        if expire_at != KEY_NEVER && self.exists() {
            self.follow_expire(expire_at);
        }
        Ok(())
    }

    /// Tells that the key has another value now, before the command tells what it has done, on
    /// servers that do so. [`PmKey::put`] does this by itself; others do it whose native commands
    /// replace the value.
    pub fn announce_replaced(&self) {
        self.announce_replaced_after(self.holds);
    }

    #[inline]
    fn announce_replaced_after(&self, before: Kind) {
        if before != Kind::Absent && self.exists() {
            let same = matches!(before, Kind::Pm(ty, _) if ty == self.ty);
            self.ctx.notify_replaced(self.name(), !same);
        }
    }

    /// Puts a new value there, which does not expire, whatever the key holds, as one atomic,
    /// durable step. `f` builds the value; an empty root deletes the key.
    pub fn put(&mut self, f: impl FnOnce(&mut Tx<'_>) -> Result<Root>) -> Result<(), CmdError> {
        self.put_inline(0, KEY_NEVER, |tx, _| f(tx))
    }

    /// Deletes the key and its value, durably, and tells the AOF if it was a native one.
    pub fn delete(&mut self) {
        if self.holds == Kind::Other {
            self.ctx.forget_in_aof(self.name());
        }
        self.key.delete();
        self.holds = Kind::Absent;
    }

    /// Has `f` remove elements of the value as one atomic, durable step. If these are `all`, the
    /// key goes instead, and the value is freed in the background if it is large.
    pub fn remove<R>(
        &mut self,
        all: bool,
        f: impl FnOnce(&mut Tx<'_>, &mut Root) -> Result<R>,
    ) -> Result<(), CmdError> {
        if all {
            self.delete();
            Ok(())
        } else {
            self.edit(f).map(drop)
        }
    }

    /// When the key expires, in Unix milliseconds.
    pub fn expire_at(&self) -> Option<i64> {
        self.key.expire_at_ms()
    }

    /// Sets or removes the expire time, durably.
    pub fn set_expire(&mut self, at: Option<i64>) -> Result<(), CmdError> {
        let at = at.unwrap_or(KEY_NEVER);
        with_engine(|engine| {
            let Some(record) = self.record(engine)? else {
                return Ok(());
            };
            lift(engine.store.set_expire(record, at))
        })?;
        self.follow_expire(at);
        Ok(())
    }

    /// Tells WATCH and client tracking that the key has changed.
    pub fn signal(&self) {
        self.key.signal_modified();
    }

    /// Brings Redis's keyspace to where the record is.
    #[inline]
    fn follow(&mut self, outcome: Outcome) {
        if outcome != Outcome::Nothing {
            self.come_or_go(outcome);
        }
    }

    fn come_or_go(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Nothing => {}
            Outcome::Created(space, addr) => {
                if self.holds == Kind::Other {
                    self.ctx.forget_in_aof(self.name());
                }
                self.key.set_value(self.ty, addr);
                count_new(space, self.ty, self.name().bytes());
                self.holds = Kind::Pm(self.ty, addr);
            }
            Outcome::Emptied(_) => self.delete(),
        }
    }

    /// Brings Redis's keyspace to a new value of the same type: the key is not a new one.
    fn follow_exchange(&mut self, old: RecordPtr, addr: usize) {
        self.key.replace_value(self.ty, addr);
        self.holds = Kind::Pm(self.ty, addr);
        self.follow_expire(KEY_NEVER);
        durable("the end of a value that was replaced", |engine| {
            engine.store.retire(old)
        });
    }

    fn follow_expire(&mut self, at: i64) {
        let at = (at != KEY_NEVER).then_some(at);
        if at.is_some() || self.key.expire_at_ms().is_some() {
            self.key.set_expire_at_ms(at);
        }
    }
}

/// The answer while Redis still loads its own files: the pool's keys are not shown yet.
pub(super) const LOADING: CmdError =
    CmdError::text_only("LOADING the pool's keys are not in the keyspace yet");

/// Changes the values of two different keys as one atomic, durable step; see [`PmKey::edit`].
///
/// # Errors
/// `Internal` if both are the same key.
pub fn edit2<R>(
    first: &mut PmKey<'_>,
    second: &mut PmKey<'_>,
    f: impl FnOnce(&mut Tx<'_>, &mut Root, &mut Root) -> Result<R>,
) -> Result<R, CmdError> {
    edit2_announcing(first, second, f, |_, _| {})
}

/// [`edit2`], where `between` tells of the first key before the keyspace shows what became of the
/// second.
pub fn edit2_announcing<R>(
    first: &mut PmKey<'_>,
    second: &mut PmKey<'_>,
    f: impl FnOnce(&mut Tx<'_>, &mut Root, &mut Root) -> Result<R>,
    between: impl FnOnce(&R, &PmKey<'_>),
) -> Result<R, CmdError> {
    if first.name().bytes() == second.name().bytes() {
        return Err(CmdError::Internal);
    }
    let (result, outcomes) = with_engine(|engine| {
        let places = [first.place(engine)?, second.place(engine)?];
        lift(engine.store.edit2(places, f))
    })?;
    expect_free(outcomes[0]);
    first.follow(outcomes[0]);
    between(&result, first);
    expect_free(outcomes[1]);
    second.follow(outcomes[1]);
    Ok(result)
}

/// The `free` callback of a record that is freed already may come next.
fn expect_free(outcome: Outcome) {
    // A failure is reported there.
    let _ = with_engine(|engine| {
        engine.pending.leave_freed(outcome.gone());
        Ok(())
    });
}

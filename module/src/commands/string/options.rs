//! The options that SET, MSETEX and GETEX share, and expire times.

use super::compare::{Comparison, Kind};
use super::integer;
use crate::behaviour::Behaviour;
use crate::commands::time_unit::TimeUnit;
use crate::error::CmdError;
use crate::redis::{Arg, Ctx};

/// The options of a command, as far as they can be judged without the key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options<'a> {
    /// NX or XX.
    pub condition: Option<Condition>,
    /// IFEQ, IFNE, IFDEQ or IFDNE.
    pub comparison: Option<Comparison<'a>>,
    /// GET.
    pub get: bool,
    /// What to do about the expire time.
    pub ttl: Option<Ttl<'a>>,
}

/// When SET and MSETEX do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// NX: if the key is absent.
    Absent,
    /// XX: if the key is there.
    Present,
}

/// What an option says about the expire time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ttl<'a> {
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// EX, PX, EXAT or PXAT, and its argument.
    Time(TimeUnit, Arg<'a>),
}

/// A key's expire time in Unix milliseconds, which this argument gives.
///
/// # Errors
/// `NotAnInteger`; `InvalidExpireTime` if it is not positive or too late for the clock.
pub(super) fn expire_time(ctx: &Ctx, unit: TimeUnit, arg: Arg<'_>) -> Result<i64, CmdError> {
    let number = integer(arg)?;
    if number <= 0 {
        return Err(CmdError::InvalidExpireTime);
    }
    let start = if unit.is_absolute() { 0 } else { ctx.now_ms() };
    unit.to_ms(number)
        .and_then(|ms| ms.checked_add(start))
        .ok_or(CmdError::InvalidExpireTime)
}

/// Which command's options are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// SET.
    Set,
    /// MSETEX: SET's, without those of one value.
    Msetex,
    /// GETEX.
    Getex,
}

impl<'a> Options<'a> {
    /// Reads the options of a command.
    ///
    /// # Errors
    /// `Syntax` if one is unknown, lacks its argument, or excludes an earlier one.
    pub(super) fn parse(command: Command, args: &[Arg<'a>]) -> Result<Options<'a>, CmdError> {
        let stores = command != Command::Getex;
        let set = command == Command::Set;
        let mut options = Options::default();
        let mut args = args.iter().copied();
        while let Some(option) = args.next() {
            match option {
                _ if stores && option.is(b"NX") => options.only_if(Condition::Absent)?,
                _ if stores && option.is(b"XX") => options.only_if(Condition::Present)?,
                _ if set && option.is(b"GET") => options.get = true,
                _ if stores && option.is(b"KEEPTTL") => options.expire(Ttl::Keep)?,
                _ if !stores && option.is(b"PERSIST") => options.expire(Ttl::Persist)?,
                _ => {
                    let mut argument = || args.next().ok_or(CmdError::Syntax);
                    match Kind::of(option) {
                        Some(kind) if set => options.compare(kind, argument)?,
                        _ => {
                            let unit = TimeUnit::of(option).ok_or(CmdError::Syntax)?;
                            options.expire(Ttl::Time(unit, argument()?))?;
                        }
                    }
                }
            }
        }
        Ok(options)
    }

    fn only_if(&mut self, condition: Condition) -> Result<(), CmdError> {
        if self.comparison.is_some() && Behaviour::IfeqStandsAlone.here() {
            return Err(CmdError::Syntax);
        }
        match self.condition.replace(condition) {
            Some(other) if other != condition => Err(CmdError::Syntax),
            _ => Ok(()),
        }
    }

    /// Takes a condition on the value: behind NX or XX never; repeated only as the same one, where
    /// the server does that.
    fn compare(
        &mut self,
        kind: Kind,
        with: impl FnOnce() -> Result<Arg<'a>, CmdError>,
    ) -> Result<(), CmdError> {
        let fits = match self.comparison {
            Some(other) => other.kind == kind && !Behaviour::IfeqStandsAlone.here(),
            None => true,
        };
        if !fits || self.condition.is_some() {
            return Err(CmdError::Syntax);
        }
        self.comparison = Some(Comparison::new(kind, with()?));
        Ok(())
    }

    /// An option may be repeated, and the last one counts; two different ones exclude each other.
    fn expire(&mut self, ttl: Ttl<'a>) -> Result<(), CmdError> {
        match (self.ttl.replace(ttl), ttl) {
            (None, _) | (Some(Ttl::Keep), Ttl::Keep) | (Some(Ttl::Persist), Ttl::Persist) => Ok(()),
            (Some(Ttl::Time(old, _)), Ttl::Time(new, _)) if old == new => Ok(()),
            _ => Err(CmdError::Syntax),
        }
    }
}

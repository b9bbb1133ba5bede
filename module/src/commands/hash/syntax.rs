//! The arguments of the commands about expire times of fields.
//!
//! There are three grammars, which differ in the order of options, in the order in which mistakes
//! are found, and in what these are called: Redis's first one, in which options come before
//! `FIELDS`; that of Redis 8.4 and later, in which they may follow the fields; and Valkey's. A
//! server that has no such commands gets that of its family's newest.

use crate::behaviour::{Family, server};
use crate::commands::integer;
use crate::commands::time_unit::TimeUnit;
use crate::error::CmdError;
use crate::redis::{Arg, Args, Ctx};
use store::number::parse_i64;

/// A grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    /// Redis 7.4 to 8.2.
    OptionsFirst,
    /// Redis 8.4 and later.
    AnyOrder,
    /// Valkey.
    Valkey,
}

impl Grammar {
    /// That of the server.
    pub(super) fn here() -> Grammar {
        let server = server();
        match server.family {
            Family::Valkey => Grammar::Valkey,
            Family::Redis if ((7, 4, 0)..(8, 4, 0)).contains(&server.version) => {
                Grammar::OptionsFirst
            }
            Family::Redis => Grammar::AnyOrder,
        }
    }
}

/// The latest expire time of a field in Redis, in Unix milliseconds.
const REDIS_MAX_MS: i64 = (1 << 46) - 1;
/// Most fields of a command in newer versions of Redis.
const FIELDS_MAX: i64 = i32::MAX as i64;

const NO_FIELDS: CmdError =
    CmdError::text_only("ERR Mandatory argument FIELDS is missing or not at the right position");
const NOT_POSITIVE: CmdError =
    CmdError::text_only("ERR Number of fields must be a positive integer");
const NOT_POSITIVE_HERE: CmdError =
    CmdError::text_only("ERR Parameter `numFields` should be greater than 0");
const INVALID_NUMBER: CmdError = CmdError::text_only("ERR invalid number of fields");
const NO_MATCH: CmdError =
    CmdError::text_only("ERR The `numfields` parameter must match the number of arguments");
const NO_MATCH_IN_VALKEY: CmdError = CmdError::text_only(
    "ERR numfields should be greater than 0 and match the provided number of fields",
);
const TOO_FEW: CmdError = CmdError::text_only("ERR wrong number of arguments");

fn unknown(arg: Arg<'_>) -> CmdError {
    CmdError::Other(format!("ERR unknown argument: {}", word(arg)).into())
}

/// An argument as an error shows it: what a C string would be of it, on one line.
fn word(arg: Arg<'_>) -> String {
    let bytes = arg.bytes().split(|&byte| byte == 0).next().unwrap_or(&[]);
    String::from_utf8_lossy(bytes).replace(['\r', '\n'], " ")
}

/// A field's expire time in Unix milliseconds, which this argument gives; `now` is the time the
/// command sees. What a master sends is not too late.
///
/// # Errors
/// `NotAnInteger`; that it is negative or too late, in the server's words.
pub(super) fn expire_time(
    ctx: &Ctx,
    now: i64,
    unit: TimeUnit,
    arg: Arg<'_>,
) -> Result<i64, CmdError> {
    let number = integer(arg)?;
    let is_valkey = Grammar::here() == Grammar::Valkey;
    if number < 0 {
        return Err(if is_valkey {
            CmdError::InvalidExpireTime
        } else {
            CmdError::text_only("ERR invalid expire time, must be >= 0")
        });
    }
    let most = if is_valkey || ctx.must_obey() {
        i64::MAX
    } else {
        REDIS_MAX_MS
    };
    let start = if unit.is_absolute() { 0 } else { now };
    let ms = unit.to_ms(number).filter(|&ms| ms <= most - start);
    // The very last moment stands for "never".
    ms.map(|ms| (ms + start).min(i64::MAX - 1))
        .ok_or(CmdError::InvalidExpireTime)
}

/// Under which conditions HEXPIRE sets an expire time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    /// NX: if there is none.
    pub absent: bool,
    /// XX: if there is one.
    pub present: bool,
    /// GT: if it is later than the one there is.
    pub later: bool,
    /// LT: if it is earlier, or if there is none.
    pub earlier: bool,
}

impl Conditions {
    /// Takes an option; false if it is none.
    fn take(&mut self, option: Arg<'_>) -> bool {
        let flags: [(&[u8], &mut bool); 4] = [
            (b"NX", &mut self.absent),
            (b"XX", &mut self.present),
            (b"GT", &mut self.later),
            (b"LT", &mut self.earlier),
        ];
        for (word, flag) in flags {
            if option.is(word) {
                *flag = true;
                return true;
            }
        }
        false
    }

    fn count(self) -> u32 {
        [self.absent, self.present, self.later, self.earlier]
            .map(u32::from)
            .iter()
            .sum()
    }

    /// Whether a field that expires at `old`, if it does, may expire at `new`.
    pub(super) fn admit(self, old: Option<i64>, new: i64) -> bool {
        match old {
            None => !self.present && !self.later,
            Some(old) => !self.absent && (!self.later || new > old) && (!self.earlier || new < old),
        }
    }
}

/// The conditions and the fields of HEXPIRE and its kind, after key and time.
pub(super) fn expire<'a>(args: Args<'a>) -> Result<(Conditions, &'a [Arg<'a>]), CmdError> {
    let mut conditions = Conditions::default();
    match Grammar::here() {
        Grammar::OptionsFirst => {
            let at = 3 + usize::from(conditions.take(args[3]));
            let fields = counted(args, at, &NOT_POSITIVE_HERE)?;
            Ok((conditions, fields))
        }
        Grammar::AnyOrder => expire_in_any_order(args),
        Grammar::Valkey => {
            let at = fields_word(args, 3);
            for option in options_before(args, 3, at) {
                if !conditions.take(*option) {
                    let text = format!("ERR Unsupported option {}", word(*option));
                    return Err(CmdError::Other(text.into()));
                }
            }
            if conditions.absent && conditions.count() > 1 {
                return Err(CmdError::text_only(
                    "ERR NX and XX, GT or LT options at the same time are not compatible",
                ));
            }
            if conditions.later && conditions.earlier {
                return Err(CmdError::text_only(
                    "ERR GT and LT options at the same time are not compatible",
                ));
            }
            Ok((conditions, counted_in_valkey(args, at, 1)?))
        }
    }
}

fn expire_in_any_order<'a>(args: Args<'a>) -> Result<(Conditions, &'a [Arg<'a>]), CmdError> {
    let (mut conditions, mut fields) = (Conditions::default(), None);
    let mut at = 3;
    while let Some(arg) = args.get(at) {
        if arg.is(b"FIELDS") {
            if fields.is_some() {
                return Err(CmdError::text_only(
                    "ERR FIELDS keyword specified multiple times",
                ));
            }
            if at + 2 >= args.len() {
                return Err(CmdError::text_only(
                    "ERR FIELDS requires at least numfields and one field argument",
                ));
            }
            let found = some_of(args, at, 1, &NOT_POSITIVE_HERE)?;
            at += 2 + found.len();
            fields = Some(found);
        } else if conditions.take(arg) {
            at += 1;
        } else {
            return Err(unknown(arg));
        }
    }
    let fields = fields.ok_or(CmdError::text_only("ERR missing FIELDS argument"))?;
    match conditions.count() {
        0 | 1 => Ok((conditions, fields)),
        _ => Err(CmdError::text_only(
            "ERR Multiple condition flags specified",
        )),
    }
}

/// The fields of HTTL, HPERSIST, HGETDEL and their kind: all that follows the key. `mismatch` is
/// what Valkey says of a wrong number.
pub(super) fn plain<'a>(args: Args<'a>, mismatch: Mismatch) -> Result<&'a [Arg<'a>], CmdError> {
    if Grammar::here() != Grammar::Valkey {
        return counted(args, 2, &NOT_POSITIVE);
    }
    if !args[2].is(b"FIELDS") {
        return Err(CmdError::Syntax);
    }
    counted_in_valkey(args, Some(2), 1).map_err(|error| match mismatch {
        Mismatch::IsSyntax if error == NO_MATCH_IN_VALKEY => CmdError::Syntax,
        _ => error,
    })
}

/// What Valkey calls a number of fields that is not theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// An error of its own.
    IsTold,
    /// A syntax error.
    IsSyntax,
}

/// What HGETEX and HSETEX do about the fields' expire times.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ttl<'a> {
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// Sets it to this, in Unix milliseconds.
    At(i64),
    /// In Valkey: to this, which is judged when the key was looked at.
    Later(TimeUnit, Arg<'a>),
}

/// When HSETEX does something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct When {
    /// FNX: if none of the fields is there.
    pub no_field: bool,
    /// FXX: if all are.
    pub all_fields: bool,
    /// NX: if the key is absent.
    pub no_key: bool,
    /// XX: if it is there.
    pub key: bool,
}

/// The arguments of HGETEX or HSETEX.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extended<'a> {
    /// What to do about expire times.
    pub ttl: Option<Ttl<'a>>,
    /// When.
    pub when: When,
    /// Fields; for HSETEX fields and values alternately.
    pub fields: &'a [Arg<'a>],
}

/// A command with [`Extended`] arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// HGETEX.
    Hgetex,
    /// HSETEX.
    Hsetex,
}

impl Command {
    /// Arguments of a field.
    fn width(self) -> usize {
        match self {
            Command::Hgetex => 1,
            Command::Hsetex => 2,
        }
    }

    fn takes(self, ttl: Ttl<'_>) -> bool {
        match ttl {
            Ttl::Keep => self == Command::Hsetex,
            Ttl::Persist => self == Command::Hgetex,
            Ttl::At(_) | Ttl::Later(..) => true,
        }
    }

    fn two_times(self) -> CmdError {
        CmdError::text_only(match self {
            Command::Hgetex => {
                "ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified"
            }
            Command::Hsetex => {
                "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"
            }
        })
    }
}

/// The arguments of HGETEX or HSETEX, after the key.
pub(super) fn extended<'a>(
    ctx: &Ctx,
    now: i64,
    command: Command,
    args: Args<'a>,
) -> Result<Extended<'a>, CmdError> {
    match (Grammar::here(), command) {
        (Grammar::Valkey, _) => extended_in_valkey(command, args),
        (Grammar::OptionsFirst, Command::Hgetex) => hgetex_options_first(ctx, now, args),
        (Grammar::OptionsFirst, Command::Hsetex) => in_order(ctx, now, command, args, false),
        (Grammar::AnyOrder, _) => in_order(ctx, now, command, args, true),
    }
}

fn hgetex_options_first<'a>(ctx: &Ctx, now: i64, args: Args<'a>) -> Result<Extended<'a>, CmdError> {
    let (mut at, mut ttl) = (2, None);
    if let Some(unit) = TimeUnit::of(args[2]) {
        ttl = Some(Ttl::At(expire_time(ctx, now, unit, args[3])?));
        at = 4;
    } else if args[2].is(b"PERSIST") {
        ttl = Some(Ttl::Persist);
        at = 3;
    }
    Ok(Extended {
        ttl,
        when: When::default(),
        fields: counted(args, at, &NOT_POSITIVE)?,
    })
}

/// One option after the other. With `any_order`, options may follow the fields, which come to no
/// end by themselves then.
fn in_order<'a>(
    ctx: &Ctx,
    now: i64,
    command: Command,
    args: Args<'a>,
    any_order: bool,
) -> Result<Extended<'a>, CmdError> {
    let (mut ttl, mut when, mut fields) = (None, When::default(), None);
    let (mut keeps, mut persists, mut is_foreign) = (false, false, false);
    let mut at = 2;
    while let Some(arg) = args.get(at) {
        at += 1;
        if arg.is(b"FIELDS") {
            if fields.is_some() {
                return Err(CmdError::text_only(
                    "ERR FIELDS keyword specified multiple times",
                ));
            }
            let found = if any_order {
                some_of(args, at - 1, command.width(), &INVALID_NUMBER)?
            } else {
                all_pairs(args, at - 1)?
            };
            at += 1 + found.len();
            fields = Some(found);
            continue;
        }
        let new = match TimeUnit::of(arg) {
            Some(unit) => {
                if ttl.is_some() {
                    return Err(command.two_times());
                }
                let time = args
                    .get(at)
                    .ok_or(CmdError::text_only("ERR missing expire time"))?;
                at += 1;
                Ttl::At(expire_time(ctx, now, unit, time)?)
            }
            None if arg.is(b"KEEPTTL") && (any_order || command.takes(Ttl::Keep)) => Ttl::Keep,
            None if arg.is(b"PERSIST") && (any_order || command.takes(Ttl::Persist)) => {
                Ttl::Persist
            }
            None => {
                let is_when = any_order || command == Command::Hsetex;
                match arg {
                    _ if is_when && arg.is(b"FNX") => when.only_if(|when| &mut when.no_field)?,
                    _ if is_when && arg.is(b"FXX") => when.only_if(|when| &mut when.all_fields)?,
                    _ => return Err(unknown(arg)),
                }
                is_foreign |= command == Command::Hgetex;
                continue;
            }
        };
        // KEEPTTL and PERSIST do not exclude each other: one of them is no argument of the command.
        let again = match new {
            Ttl::Keep => std::mem::replace(&mut keeps, true),
            Ttl::Persist => std::mem::replace(&mut persists, true),
            Ttl::At(_) | Ttl::Later(..) => false,
        };
        if again || matches!(ttl, Some(Ttl::At(_))) {
            return Err(command.two_times());
        }
        ttl = Some(new);
        is_foreign |= !command.takes(new);
    }
    if is_foreign {
        return Err(CmdError::text_only("ERR unknown argument"));
    }
    let fields = fields.ok_or(CmdError::text_only("ERR missing FIELDS argument"))?;
    Ok(Extended { ttl, when, fields })
}

impl When {
    /// Sets FNX or FXX, of which Redis takes one, once.
    fn only_if(&mut self, flag: impl Fn(&mut When) -> &mut bool) -> Result<(), CmdError> {
        if self.no_field || self.all_fields {
            return Err(CmdError::text_only(
                "ERR Only one of FXX or FNX arguments can be specified",
            ));
        }
        *flag(self) = true;
        Ok(())
    }
}

fn extended_in_valkey<'a>(command: Command, args: Args<'a>) -> Result<Extended<'a>, CmdError> {
    let at = fields_word(args, 0);
    let (mut ttl, mut when): (Option<Ttl<'a>>, _) = (None, When::default());
    let mut options = options_before(args, 2, at).iter().copied();
    while let Some(option) = options.next() {
        let sets = command == Command::Hsetex;
        let new = match TimeUnit::of(option) {
            Some(unit) => Ttl::Later(unit, options.next().ok_or(CmdError::Syntax)?),
            None if option.is(b"KEEPTTL") => Ttl::Keep,
            None if option.is(b"PERSIST") => Ttl::Persist,
            None if sets && option.is(b"NX") && !when.key => {
                when.no_key = true;
                continue;
            }
            None if sets && option.is(b"XX") && !when.no_key => {
                when.key = true;
                continue;
            }
            None if sets && option.is(b"FNX") && !when.all_fields => {
                when.no_field = true;
                continue;
            }
            None if sets && option.is(b"FXX") && !when.no_field => {
                when.all_fields = true;
                continue;
            }
            None => return Err(CmdError::Syntax),
        };
        let agrees = match (ttl, new) {
            (None, _) | (Some(Ttl::Keep), Ttl::Keep) | (Some(Ttl::Persist), Ttl::Persist) => true,
            (Some(Ttl::Later(old, _)), Ttl::Later(new, _)) => old == new,
            _ => false,
        };
        if !agrees || !command.takes(new) {
            return Err(CmdError::Syntax);
        }
        ttl = Some(new);
    }
    let fields = counted_in_valkey(args, at, command.width())?;
    Ok(Extended { ttl, when, fields })
}

/// Where the word FIELDS is at which Valkey ends the options, looked for from `start` on; if it is
/// nowhere, the last argument.
fn fields_word(args: Args<'_>, start: usize) -> Option<usize> {
    (start..args.len() - 1).find(|&at| args[at].is(b"FIELDS"))
}

fn options_before<'a>(args: Args<'a>, from: usize, at: Option<usize>) -> &'a [Arg<'a>] {
    let count = at.unwrap_or(0).saturating_sub(from);
    args.from(from).get(..count).unwrap_or(&[])
}

/// The fields behind the word FIELDS at `at`, all that follow, as Valkey counts them.
fn counted_in_valkey<'a>(
    args: Args<'a>,
    at: Option<usize>,
    width: usize,
) -> Result<&'a [Arg<'a>], CmdError> {
    let at = at.ok_or(NO_MATCH_IN_VALKEY)?;
    let number = integer(args[at + 1])?;
    let fields = args.from(at + 2);
    match number.checked_mul(width as i64) {
        Some(wanted) if number != 0 && wanted == fields.len() as i64 => Ok(fields),
        _ => Err(NO_MATCH_IN_VALKEY),
    }
}

/// The fields behind the word FIELDS, which must be at `at`; all that follow.
fn counted<'a>(
    args: Args<'a>,
    at: usize,
    not_positive: &CmdError,
) -> Result<&'a [Arg<'a>], CmdError> {
    if !args.get(at).is_some_and(|word| word.is(b"FIELDS")) {
        return Err(NO_FIELDS);
    }
    let number = args
        .get(at + 1)
        .and_then(|number| parse_i64(number.bytes()));
    let number = number.filter(|&number| number > 0);
    let number = number.ok_or_else(|| not_positive.clone())?;
    let fields = args.from(at + 2);
    if number == fields.len() as i64 {
        Ok(fields)
    } else {
        Err(NO_MATCH)
    }
}

/// The fields and values behind the word FIELDS at `at`, all that follow.
fn all_pairs<'a>(args: Args<'a>, at: usize) -> Result<&'a [Arg<'a>], CmdError> {
    if at + 3 >= args.len() {
        return Err(CmdError::WrongArity);
    }
    let number = parse_i64(args[at + 1].bytes()).filter(|number| (1..=FIELDS_MAX).contains(number));
    let number = number.ok_or(INVALID_NUMBER)?;
    let pairs = args.from(at + 2);
    if 2 * number == pairs.len() as i64 {
        Ok(pairs)
    } else {
        Err(CmdError::WrongArity)
    }
}

/// As many fields behind the word FIELDS at `at` as its number says.
fn some_of<'a>(
    args: Args<'a>,
    at: usize,
    width: usize,
    invalid: &CmdError,
) -> Result<&'a [Arg<'a>], CmdError> {
    let number = args.get(at + 1).ok_or(TOO_FEW)?;
    let number = parse_i64(number.bytes()).filter(|number| (1..=FIELDS_MAX).contains(number));
    let wanted = number.ok_or_else(|| invalid.clone())? as usize * width;
    args.from(at + 2).get(..wanted).ok_or(TOO_FEW)
}

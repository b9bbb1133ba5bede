//! PM.CHECK: verifies that values hold what their structures promise.

use crate::error::CmdError;
use crate::keyspace::check::{Look, Report, check_all, check_value};
use crate::redis::{Answer, Args, Collection, Ctx, Kind, Latency, MainCell, Mode, Waiting};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a slice of a look at all keys may take, unless one value takes longer, and how long
/// clients are served before the next one.
const SLICE: Duration = Duration::from_micros(500);
const PAUSE: Duration = Duration::from_millis(1);

/// `PM.CHECK [key]`
///
/// With a key: OK, or an error that says what is damaged. O(elements). Without: how many keys of
/// the pool, of all databases, are sound and how many damaged, and the names of the first of these;
/// empty for a name that cannot be read. O(pool), in slices between which others are served, but
/// for the elements of one value; at once where a client cannot wait, in scripts and transactions.
pub(super) fn check(ctx: &Ctx, args: Args<'_>) -> Result<(), CmdError> {
    match args.from(1) {
        [] if ctx.flags().deny_blocking() => {
            check_all()?.reply(ctx);
            Ok(())
        }
        [] => begin(ctx),
        [name] => {
            match ctx.open(*name, Mode::Peek).kind() {
                Kind::Pm(_, addr) => check_value(addr)?,
                Kind::Absent => return Err(CmdError::NoSuchKey),
                Kind::Other => return Err(CmdError::WrongType),
            }
            ctx.reply_ok();
            Ok(())
        }
        _ => Err(CmdError::WrongArity),
    }
}

impl Report {
    fn reply(&self, ctx: &Ctx) {
        ctx.reply_collection(Collection::Map, 3);
        ctx.reply_bulk(b"sound");
        ctx.reply_integer(self.sound as i64);
        ctx.reply_bulk(b"damaged");
        ctx.reply_integer(self.damaged as i64);
        ctx.reply_bulk(b"names");
        ctx.reply_array(self.names.len());
        self.names.iter().for_each(|name| ctx.reply_bulk(name));
    }
}

/// A client that waits for the end of its look at all keys.
struct Check {
    client: Waiting<Result<Report, CmdError>>,
    look: Look,
    gone: bool,
}

/// Those that wait, each for a look of its own; a timer runs while there are some.
static CHECKS: MainCell<VecDeque<Check>> = MainCell::empty();

impl Answer for Result<Report, CmdError> {
    fn reply(self, ctx: &Ctx) -> Result<(), CmdError> {
        self?.reply(ctx);
        Ok(())
    }

    fn gone(number: usize) {
        let gone = CHECKS.with(|checks| {
            for check in checks {
                check.gone |= check.client.number() == number;
            }
        });
        debug_assert!(gone.is_ok(), "no slice is under way when clients go");
    }
}

fn begin(ctx: &Ctx) -> Result<(), CmdError> {
    let look = Look::begin()?;
    let mut checks = CHECKS
        .replace(None)
        .map_err(|_| CmdError::Internal)?
        .unwrap_or_default();
    if checks.is_empty() {
        ctx.start_timer(PAUSE, 0, slice);
    }
    checks.push_back(Check {
        client: ctx.wait(),
        look,
        gone: false,
    });
    CHECKS
        .replace(Some(checks))
        .map_err(|_| CmdError::Internal)?;
    Ok(())
}

/// Goes on with one look for a while, and sees to it that this is not the last slice before its
/// end.
fn slice(ctx: &Ctx, _: usize) {
    let Ok(Some(mut check)) = CHECKS.with(VecDeque::pop_front) else {
        return;
    };
    let start = Instant::now();
    let is_over = if check.gone {
        Ok(true)
    } else {
        let _latency = Latency::of(c"pm-check");
        check.look.go_on(|| start.elapsed() >= SLICE)
    };
    let left = match is_over {
        Ok(false) => CHECKS.with(|checks| {
            checks.push_back(check);
            checks.len()
        }),
        done => {
            let report = check.look.end();
            if check.gone {
                check.client.let_go()
            } else {
                check.client.answer(done.and(report))
            }
            CHECKS.with(|checks| checks.len())
        }
    };
    if left.is_ok_and(|left| left > 0) {
        ctx.start_timer(PAUSE, 0, slice);
    }
}

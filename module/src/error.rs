//! What a command can fail with, in Redis's own words.

use pobj::Error;
use std::borrow::Cow;

/// An error reply. It is returned before anything was changed or replied.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CmdError {
    /// The key holds a value of another type.
    WrongType,
    /// The same, in the words of the command: its code in capitals, a space, its text.
    WrongTypeFor(&'static str),
    /// An option is unknown, or at the wrong place, or excludes another.
    Syntax,
    /// The number of arguments is wrong, in a way that the command's arity does not tell.
    WrongArity,
    /// Not a 64-bit signed integer, where one was expected.
    NotAnInteger,
    /// Not a finite floating-point number, where one was expected.
    NotAFloat,
    /// An integer that must not be negative, is.
    NotPositive,
    /// An integer beyond what the argument takes.
    OutOfRange,
    /// An expire time that is not positive, or beyond the range of the clock.
    InvalidExpireTime,
    /// The sum does not fit 64 bits.
    Overflow,
    /// The sum is no finite floating-point number.
    NotFinite,
    /// The string would be longer than `proto-max-bulk-len`.
    StringTooLong,
    /// The user may not use a database.
    NoDatabase,
    /// No such key.
    NoSuchKey,
    /// No element at this index.
    IndexOutOfRange,
    /// The pool has no room for what the command would add.
    PoolFull,
    /// The pool cannot do it, as it is damaged, or as the system fails.
    Pool(Box<Error>),
    /// A fault of the module, which the log tells of.
    Internal,
    /// None: the command concerns no PM key, and the server is to run it. Only of a command that
    /// was called by its native name.
    Native,
    /// Any other error, whole: its code in capitals, a space, its text.
    Other(Cow<'static, str>),
}

impl CmdError {
    /// An error with a text of the command's own, such as `ERR offset is out of range`.
    pub const fn text_only(text: &'static str) -> Self {
        Self::Other(Cow::Borrowed(text))
    }

    /// The reply's text, for a command called `command`.
    pub fn text(&self, command: &str) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            Self::WrongTypeFor(text) => text,
            Self::Syntax => "ERR syntax error",
            Self::WrongArity => {
                return format!("ERR wrong number of arguments for '{command}' command").into();
            }
            Self::NotAnInteger => "ERR value is not an integer or out of range",
            Self::NotAFloat => "ERR value is not a valid float",
            Self::NotPositive => "ERR value is out of range, must be positive",
            Self::OutOfRange => "ERR value is out of range",
            Self::InvalidExpireTime => {
                return format!("ERR invalid expire time in '{command}' command").into();
            }
            Self::Overflow => "ERR increment or decrement would overflow",
            Self::NotFinite => "ERR increment would produce NaN or Infinity",
            Self::StringTooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            Self::NoDatabase => "NOPERM No permissions to access database",
            Self::NoSuchKey => "ERR no such key",
            Self::IndexOutOfRange => "ERR index out of range",
            Self::PoolFull => "OOM command not allowed when the persistent memory pool is full.",
            Self::Pool(error) => return pool_text(error),
            Self::Internal | Self::Native => "ERR internal error, see the server's log",
            Self::Other(text) => return text.clone(),
        })
    }
}

/// The reply's text for what a pool fails with.
fn pool_text(error: &Error) -> Cow<'static, str> {
    let text = match error {
        Error::NotDurable(why) => format!(
            "MISCONF The pool cannot be made durable: {why}. Commands that may modify the data set are disabled. Please check \
             the server's log."
        ),
        Error::Damaged(_) | Error::State(_) => format!("ERR {error}"),
        // The words of libpmemobj and of the system are for the log.
        _ => return CmdError::Internal.text(""),
    };
    text.replace(['\r', '\n'], " ").into()
}

impl From<Error> for CmdError {
    fn from(error: Error) -> CmdError {
        match error {
            Error::Full(_) | Error::TooLarge(_) => CmdError::PoolFull,
            other => CmdError::Pool(Box::new(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CmdError;

    #[test]
    fn texts_begin_with_a_code_and_name_the_command_where_redis_does() {
        assert_eq!(
            CmdError::WrongArity.text("pm.set"),
            "ERR wrong number of arguments for 'pm.set' command"
        );
        assert_eq!(
            CmdError::InvalidExpireTime.text("pm.getex"),
            "ERR invalid expire time in 'pm.getex' command"
        );
        let own = CmdError::text_only("ERR offset is out of range");
        assert_eq!(own.text("pm.setrange"), "ERR offset is out of range");
    }
}

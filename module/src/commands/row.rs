//! Commands as data: a row tells all that the server has to know of one.

use crate::keyspace::plain_stream::Stream;
use crate::redis::{Handler, NumberedKeys, Runner};
use store::value::ValueType;

/// Flags of commands that read.
pub(super) const READ: &str = "readonly";
/// Of those whose time does not grow with the value.
pub(super) const READ_FAST: &str = "readonly fast";
/// Of commands that may need memory: the server refuses them above `maxmemory`.
pub(super) const WRITE: &str = "write deny-oom";
/// Of those whose time does not grow with the value.
pub(super) const WRITE_FAST: &str = "write deny-oom fast";
/// Of commands that write, also above `maxmemory`.
pub(super) const WRITE_ALWAYS: &str = "write";
/// Of those whose time does not grow with the value.
pub(super) const WRITE_ALWAYS_FAST: &str = "write fast";
/// Of commands that wait for keys. Where scripts may run them, `deny-script` is left out.
pub(super) const BLOCKING: &str = "write deny-script blocking";
/// Of those whose time does not grow with the value.
pub(super) const BLOCKING_FAST: &str = "write deny-script fast blocking";
/// Of commands that wait for keys, and may run in scripts, where they do not wait.
pub(super) const BLOCKING_ANYWHERE: &str = "write blocking";
/// Of commands that wait for keys, and may need memory.
pub(super) const BLOCKING_GROWING: &str = "write deny-oom deny-script blocking";
/// Of commands that are answered while files are loaded, too.
pub(super) const SERVED_ALWAYS: &str = "readonly allow-loading allow-stale";
/// Of those whose time is always short, and which nobody is kept from, authenticated or not.
pub(super) const SERVED_ANYONE_FAST: &str = "readonly fast allow-loading allow-stale no-auth";
/// Of those that stand in front of other commands, whose words may be secret, and which nobody is
/// kept from.
pub(super) const IN_FRONT: &str = "allow-loading allow-stale no-auth no-monitor no-slowlog";
/// Of those that are for operators.
pub(super) const ADMIN: &str = "admin allow-loading allow-stale";

/// Where keys are among the arguments: first, last (negative: from the end), step. Here: nowhere.
pub(super) const NONE: KeyRange = (0, 0, 0);
/// The first argument.
pub(super) const ONE: KeyRange = (1, 1, 1);
/// The first two.
pub(super) const TWO: KeyRange = (1, 2, 1);
/// All.
pub(super) const ALL: KeyRange = (1, -1, 1);

/// First, last and step of the arguments that are keys.
pub(super) type KeyRange = (i32, i32, i32);

/// Where the keys of a command are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// At fixed places.
    At(KeyRange),
    /// Where the arguments say: the handler tells them if it is asked. Some may be at fixed places.
    Told(KeyRange),
    /// A number tells how many follow it.
    Numbered(NumberedKeys),
}

/// What a command is.
#[derive(Clone, Copy)]
pub enum Form {
    /// One that runs, named `pm.<name>`.
    Command(Runner),
    /// One that only consists of parts.
    Container,
    /// A part of the container of this name. Keys count from the container's.
    Part(&'static str, Runner),
}

/// A command.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its name without `pm.`, in lower case.
    pub name: &'static str,
    /// What it is.
    pub form: Form,
    /// How many arguments it takes, its name among them; so many at least, if negative. No handler
    /// is called with others.
    pub arity: i32,
    /// The flags of `RM_CreateCommand`, with blanks between.
    pub flags: &'static str,
    /// Where its keys are.
    pub keys: Keys,
    /// Redis has a command of this name, which describes it.
    pub is_native: bool,
    /// It looks for itself what its keys hold, native values included.
    pub takes_any_key: bool,
    /// Its second argument is looked up in a value of this type, whose bucket is worth a prefetch:
    /// see `keyspace::prefetch`.
    pub looks_up_in: Option<ValueType>,
    /// The words of the options that it takes, on all servers, with blanks between.
    pub options: &'static str,
    /// The flags of its keys, in the words of COMMAND INFO, if not those of the native command.
    pub key_flags: Option<&'static str>,
    /// Values of this type are as good to it as those of the type that it is about.
    pub takes_too: Option<ValueType>,
    /// Of its keys, it looks at values up to the first only.
    pub first_key_only: bool,
    /// What replicas without the module get of it.
    pub stream: Stream,
}

impl Row {
    const fn new(
        name: &'static str,
        form: Form,
        arity: i32,
        flags: &'static str,
        keys: Keys,
        is_native: bool,
    ) -> Row {
        Row {
            name,
            form,
            arity,
            flags,
            keys,
            is_native,
            takes_any_key: false,
            looks_up_in: None,
            options: "",
            key_flags: None,
            takes_too: None,
            first_key_only: false,
            stream: Stream::Native,
        }
    }

    /// A command. It counts as the counterpart of the native one of its name, unless
    /// [`own`](Row::own) follows.
    pub const fn command<H: Handler>(
        name: &'static str,
        handler: H,
        arity: i32,
        flags: &'static str,
        keys: KeyRange,
    ) -> Row {
        let form = Form::Command(Runner::of(handler));
        Row::new(name, form, arity, flags, Keys::At(keys), true)
    }

    /// The same, of a command one of whose arguments says how many keys follow.
    pub const fn numbered<H: Handler>(
        name: &'static str,
        handler: H,
        arity: i32,
        flags: &'static str,
        keys: NumberedKeys,
    ) -> Row {
        let form = Form::Command(Runner::of(handler));
        Row::new(name, form, arity, flags, Keys::Numbered(keys), true)
    }

    /// The same, of a command that consists of parts.
    pub const fn container(name: &'static str, arity: i32) -> Row {
        Row::new(name, Form::Container, arity, "", Keys::At(NONE), true)
    }

    /// A part of such a command.
    pub const fn part<H: Handler>(
        container: &'static str,
        name: &'static str,
        handler: H,
        arity: i32,
        flags: &'static str,
        keys: KeyRange,
    ) -> Row {
        let form = Form::Part(container, Runner::of(handler));
        Row::new(name, form, arity, flags, Keys::At(keys), true)
    }

    /// The same, of a command that Redis does not have. Its row belongs in `OWN`: the rows of a
    /// type are taken for commands with a native counterpart.
    pub const fn own(self) -> Row {
        Row {
            is_native: false,
            ..self
        }
    }

    /// The same, of a command whose handler tells its keys.
    pub const fn telling_keys(self) -> Row {
        let keys = match self.keys {
            Keys::At(fixed) => Keys::Told(fixed),
            other => other,
        };
        Row { keys, ..self }
    }

    /// The same, of a command that looks for itself what its keys hold.
    pub const fn any_key(self) -> Row {
        Row {
            takes_any_key: true,
            ..self
        }
    }

    /// The same, of a command that looks its second argument up in a value of this type.
    pub const fn looks_up_in(self, ty: ValueType) -> Row {
        Row {
            looks_up_in: Some(ty),
            ..self
        }
    }

    /// The same, of a command with options: their words, with blanks between.
    pub const fn options(self, options: &'static str) -> Row {
        Row { options, ..self }
    }

    /// The same, of a command whose keys have other flags than those of the native one.
    pub const fn key_flags(self, flags: &'static str) -> Row {
        Row {
            key_flags: Some(flags),
            ..self
        }
    }

    /// The same, of a command that works on values of this type, too.
    pub const fn takes_too(self, ty: ValueType) -> Row {
        Row {
            takes_too: Some(ty),
            ..self
        }
    }

    /// The same, of a command to which only the first of its keys that holds a value matters.
    pub const fn first_key_only(self) -> Row {
        Row {
            first_key_only: true,
            ..self
        }
    }

    /// The same, of a command of which replicas without the module get something else.
    pub const fn stream(self, stream: Stream) -> Row {
        Row { stream, ..self }
    }

    /// Its name; that of a part follows the container's after a `|`.
    pub fn full_name(&self) -> String {
        match self.form {
            Form::Part(container, _) => format!("{container}|{}", self.name),
            Form::Command(_) | Form::Container => self.name.to_owned(),
        }
    }
}

//! The table of settings: from it come load arguments, the server's configuration, errors and the
//! manual's table.

use super::Config;
use super::scope::Keys;
use super::value::{Bytes, File, Number, OneOf, Percents, Value};

/// A setting: `name VALUE` as a load argument, `pmedis.name` in the server's configuration.
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What stands for its value in usage lines.
    pub form: &'static str,
    /// When it can change.
    pub changes: Changes,
    /// As an argument it may be given several times.
    pub repeats: bool,
    /// What it is, for the manual.
    pub doc: &'static str,
    /// Where its value is.
    value: fn(&mut Config) -> Box<dyn Value + '_>,
}

/// When a setting can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Only when the module is loaded.
    AtLoad,
    /// While the server runs too, by CONFIG SET.
    AtRunTime,
}

impl Setting {
    /// Takes a new value.
    ///
    /// # Errors
    /// What was expected; the old value stays.
    pub fn read(&self, config: &mut Config, text: &[u8]) -> Result<(), String> {
        (self.value)(config).read(text)
    }

    /// Takes the value of an argument.
    ///
    /// # Errors
    /// As [`Setting::read`].
    pub fn add(&self, config: &mut Config, text: &[u8]) -> Result<(), String> {
        (self.value)(config).add(text)
    }

    /// The value as text.
    pub fn show(&self, config: &mut Config) -> Vec<u8> {
        (self.value)(config).show()
    }

    /// Its line in the manual's table, with which a test compares it.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the manual is not made, but compared")
    )]
    pub fn line(&self) -> String {
        let mut defaults = Config::default();
        let default = String::from_utf8_lossy(&self.show(&mut defaults)).into_owned();
        let default = match default.as_str() {
            "" => String::new(),
            text => format!("`{text}`"),
        };
        let changes = match self.changes {
            Changes::AtLoad => "at load",
            Changes::AtRunTime => "at run time",
        };
        format!(
            "| `{}` | {} | {default} | {changes} | {} |",
            self.name,
            (self.value)(&mut defaults).range(),
            self.doc
        )
    }
}

/// All settings.
pub const TABLE: &[Setting] = &[
    Setting {
        name: "path",
        form: "FILE",
        changes: Changes::AtLoad,
        repeats: false,
        doc: "the pool: a file, a poolset file whose pool was made with `pmempool create`, or a DAX device. A relative path is relative to the server's `dir`",
        value: |config| Box::new(File(&mut config.path)),
    },
    Setting {
        name: "size",
        form: "SIZE",
        changes: Changes::AtLoad,
        repeats: false,
        doc: "the size of a new pool, at least 8 MiB; a smaller existing pool grows to it, and a larger one does not shrink",
        value: |config| Box::new(Bytes(&mut config.size)),
    },
    Setting {
        name: "max-size",
        form: "SIZE",
        changes: Changes::AtLoad,
        repeats: false,
        doc: "the size up to which the pool may grow while the server runs, but not with `durability disk`; it does so automatically when it has no space left; see [Growth](keys.md#growth)",
        value: |config| Box::new(Bytes(&mut config.max_size)),
    },
    Setting {
        name: "durability",
        form: "HOW",
        changes: Changes::AtLoad,
        repeats: false,
        doc: "what a write survives: a power loss with `pmem` and `disk`, of which `auto` chooses `pmem` on persistent memory (DAX) and `disk` elsewhere; only a crash of the server with `process`, for caches; see [durability.md](durability.md)",
        value: |config| Box::new(OneOf(&mut config.durability)),
    },
    Setting {
        name: "journal",
        form: "SIZE",
        changes: Changes::AtLoad,
        repeats: false,
        doc: "with `durability disk`: the size of the journal, a file beside the pool, in addition to `size`; a smaller one than 1 MiB becomes 1 MiB. If it is not given, a new journal gets a quarter of the pool's size, from 4 to 256 MiB; see [durability.md](durability.md)",
        value: |config| Box::new(Bytes(&mut config.journal)),
    },
    Setting {
        name: "memory-limit",
        form: "SIZE",
        changes: Changes::AtRunTime,
        repeats: false,
        doc: "with `durability disk`: the memory that changed pages of the pool may take, which the kernel cannot reclaim by itself; if it is not given, half of the memory of the machine or of the control group, whichever is smaller. The pool may be larger; see [durability.md](durability.md)",
        value: |config| Box::new(Bytes(&mut config.memory_limit)),
    },
    Setting {
        name: "rdb",
        form: "WHAT",
        changes: Changes::AtRunTime,
        repeats: false,
        doc: "what the server's own RDB files contain of PM keys: `markers` (the values are in the pool), `full` for the values, for backups, or `native` for native keys, which servers without the module can read; replicas then need no module either, see [replication.md](replication.md#the-way-back)",
        value: |config| Box::new(OneOf(&mut config.rdb)),
    },
    Setting {
        name: "orphans",
        form: "HOW",
        changes: Changes::AtRunTime,
        repeats: false,
        doc: "what to do about an RDB with markers beside a new pool, or an AOF of another pool: `refuse` to start, or `drop` those keys",
        value: |config| Box::new(OneOf(&mut config.orphans)),
    },
    Setting {
        name: "beside",
        form: "HOW",
        changes: Changes::AtRunTime,
        repeats: false,
        doc: "what to do about an RDB with values that was put beside a pool with keys: `refuse` to start, or `ignore` the values",
        value: |config| Box::new(OneOf(&mut config.beside)),
    },
    Setting {
        name: "copy",
        form: "HOW",
        changes: Changes::AtLoad,
        repeats: false,
        doc: "what to do about a pool that was copied while a server had it open: `refuse` to start, or `accept` it, check every value, and report the damaged ones",
        value: |config| Box::new(OneOf(&mut config.copy)),
    },
    Setting {
        name: "unprefixed",
        form: "KEYS",
        changes: Changes::AtLoad,
        repeats: true,
        doc: "with `yes`, the plain names (`SET`, `LPUSH`, …) mean PM keys, for unmodified clients; with patterns of keys and `db=N`, only for some keys; see [unprefixed.md](unprefixed.md). As an argument, it is repeated for each of these",
        value: |config| Box::new(Keys(&mut config.unprefixed)),
    },
    Setting {
        name: "adopt",
        form: "HOW",
        changes: Changes::AtLoad,
        repeats: false,
        doc: "with `yes`, native keys loaded from an RDB or AOF at a start become PM keys after it; see [unprefixed.md](unprefixed.md)",
        value: |config| Box::new(OneOf(&mut config.adopt)),
    },
    Setting {
        name: "output-hook",
        form: "HOW",
        changes: Changes::AtLoad,
        repeats: false,
        doc: "with `no`, the module does not intercept what the server sends: each command is durable when it ends, but on Redis 7.0 a reply of EXEC or of a script can leave before it is durable; see [architecture.md](architecture.md#where-a-reply-could-overtake-a-commit)",
        value: |config| Box::new(OneOf(&mut config.output_hook)),
    },
    Setting {
        name: "alarms",
        form: "PERCENTAGES",
        changes: Changes::AtRunTime,
        repeats: false,
        doc: "the percentages of the pool in use at which the log warns; `\"\"` for none",
        value: |config| Box::new(Percents(&mut config.alarms)),
    },
    Setting {
        name: "fill",
        form: "NUMBER",
        changes: Changes::AtRunTime,
        repeats: false,
        doc: "for tests: the most keys per second that are put into the server's keyspace in the background after a start",
        value: |config| {
            Box::new(Number {
                place: &mut config.fill,
                of: "keys a second",
            })
        },
    },
];

/// The setting of a name, in any case.
pub(super) fn find(name: &[u8]) -> Option<&'static Setting> {
    let is = |setting: &&Setting| name.eq_ignore_ascii_case(setting.name.as_bytes());
    TABLE.iter().find(is)
}

/// The load arguments, as in `path FILE [size SIZE]`.
pub(super) fn usage() -> String {
    let word = |setting: &Setting| match setting.name {
        "path" => format!("{} {}", setting.name, setting.form),
        _ if setting.repeats => format!("[{} {}]...", setting.name, setting.form),
        _ => format!("[{} {}]", setting.name, setting.form),
    };
    TABLE.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The names, as in "path, size or rdb".
pub(super) fn names() -> String {
    let names: Vec<&str> = TABLE.iter().map(|setting| setting.name).collect();
    match names.split_last() {
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        let mut config = Config::default();
        for text in [
            ("path", "/a/b"),
            ("size", "1.5g"),
            ("max-size", "3g"),
            ("durability", "PROCESS"),
            ("memory-limit", "2g"),
            ("rdb", "full"),
            ("orphans", "drop"),
            ("beside", "ignore"),
            ("copy", "accept"),
            ("unprefixed", "db=3 user:*"),
            ("adopt", "yes"),
            ("output-hook", "no"),
            ("alarms", "7,50"),
            ("fill", "9"),
        ] {
            let setting = find(text.0.as_bytes()).expect(text.0);
            setting.read(&mut config, text.1.as_bytes()).expect(text.1);
        }
        for mut config in [config, Config::default()] {
            let mut again = Config::default();
            for setting in TABLE {
                let text = setting.show(&mut config);
                setting.read(&mut again, &text).expect(setting.name);
            }
            assert_eq!(config, again);
        }
    }

    /// The manual has the table that the code has.
    #[test]
    fn the_manual_has_all_settings() {
        let manual = include_str!("../../../docs/settings.md");
        for setting in TABLE {
            let line = setting.line();
            assert!(
                manual.contains(&line),
                "docs/settings.md lacks the line\n{line}"
            );
        }
        let rows = manual.lines().filter(|line| line.starts_with("| `"));
        let lines: Vec<String> = TABLE.iter().map(Setting::line).collect();
        for row in rows {
            assert!(lines.iter().any(|line| line == row), "no setting: {row}");
        }
    }
}

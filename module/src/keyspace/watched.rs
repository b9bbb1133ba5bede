//! The commands that the command filter tells from others by their names.
//!
//! It sees all commands, and nearly all are none of these. So two letters decide first, and a whole
//! name is compared only with the few that begin with them: some ten instructions, whatever the
//! name is, prefixed or plain.

/// What a command is to the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    /// SYNC, PSYNC: a replica begins to wait for what it lacks.
    Syncs,
    /// REPLCONF, in which it may tell that it has got that.
    Confirms,
    /// DEBUG, which may load a file, or keep keys from expiring.
    Debugs,
    /// It may change several PM keys, or one in several steps.
    Steps,
    /// It does so only if it has several keys.
    StepsIfMany,
    /// MSET, which does so unless it stands for PM.MSET.
    SetsMany,
    /// SET, which may give an expire time.
    Sets,
}

/// What a command of this name is to the filter, if anything.
#[inline]
pub(super) fn watched(name: &[u8]) -> Option<Watched> {
    use Watched::{Confirms, Debugs, Sets, SetsMany, Steps, StepsIfMany, Syncs};
    /// What tells the lower case of a letter from its upper case.
    const LOWER: u8 = 0x20;
    let [first, second, ..] = *name else {
        return None;
    };
    let candidates: &[(&str, Watched)] = match &[first | LOWER, second | LOWER] {
        b"co" => &[("copy", Steps)],
        b"de" => &[("del", StepsIfMany), ("debug", Debugs)],
        b"ev" => &[
            ("eval", Steps),
            ("evalsha", Steps),
            ("eval_ro", Steps),
            ("evalsha_ro", Steps),
        ],
        b"ex" => &[("exec", Steps)],
        b"fc" => &[("fcall", Steps), ("fcall_ro", Steps)],
        b"mo" => &[("move", Steps)],
        b"ms" => &[("mset", SetsMany)],
        b"ps" => &[("psync", Syncs)],
        b"re" => &[
            ("rename", Steps),
            ("renamenx", Steps),
            ("restore", Steps),
            ("restore-asking", Steps),
            ("replconf", Confirms),
        ],
        b"se" => &[("set", Sets)],
        b"sy" => &[("sync", Syncs)],
        b"un" => &[("unlink", StepsIfMany)],
        _ => return None,
    };
    let mut candidates = candidates.iter();
    let found = candidates.find(|(word, _)| name.eq_ignore_ascii_case(word.as_bytes()));
    found.map(|&(_, watched)| watched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_in_any_case() {
        let steps = [
            "EXEC",
            "eval",
            "Copy",
            "MOVE",
            "fcall",
            "fcall_RO",
            "rename",
            "renameNX",
            "evalsha",
            "EVAL_ro",
            "evalsha_ro",
            "restore",
            "Restore-Asking",
        ];
        for name in steps {
            assert_eq!(watched(name.as_bytes()), Some(Watched::Steps), "{name}");
        }
        let others = [
            ("DEL", Watched::StepsIfMany),
            ("unlink", Watched::StepsIfMany),
            ("MSET", Watched::SetsMany),
            ("Set", Watched::Sets),
            ("sync", Watched::Syncs),
            ("PSYNC", Watched::Syncs),
            ("ReplConf", Watched::Confirms),
            ("debug", Watched::Debugs),
        ];
        for (name, what) in others {
            assert_eq!(watched(name.as_bytes()), Some(what), "{name}");
        }
    }

    #[test]
    fn all_else_is_passed_over() {
        for name in [
            "", "x", "get", "PM.SET", "pm.copy", "ping", "msetnx", "decr", "setex",
        ] {
            assert_eq!(watched(name.as_bytes()), None, "{name}");
        }
        // With the bit of lower case these are the same as letters or as each other.
        for name in [b"\x45\x58\x45\x03".as_slice(), b"fcall\x7fro", b"D\x05L"] {
            assert_eq!(watched(name), None, "{name:?}");
        }
    }
}

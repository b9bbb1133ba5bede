//! What a command needs of the keyspace while it is being filled.
//!
//! The lists are of commands of Redis up to 8.6 and Valkey up to 9.1. Of commands with many parts
//! those are listed that need nothing, so that a part that a later server adds gets all keys.

/// What must be there before a command runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// The keys that it names.
    Names,
    /// All keys.
    All,
    /// Nothing, if it runs with these words instead.
    Instead(Vec<Vec<u8>>),
    /// All keys, unless the replica that sends it goes on from where it is.
    FullSync,
}

/// The sections of INFO that count no keys, without and with those that only `INFO all` tells.
const SECTIONS: [&str; 10] = [
    "server",
    "clients",
    "memory",
    "persistence",
    "stats",
    "replication",
    "cpu",
    "module_list",
    "errorstats",
    "cluster",
];
const MORE_SECTIONS: [&str; 4] = ["commandstats", "latencystats", "threads", "debug"];
/// Those that do.
const KEY_SECTIONS: [&str; 3] = ["keyspace", "keysizes", "hotkeys"];

/// Parts of CLUSTER that look at no key.
const CLUSTER: [&str; 21] = [
    "addslots",
    "addslotsrange",
    "bumpepoch",
    "count-failure-reports",
    "failover",
    "forget",
    "help",
    "info",
    "keyslot",
    "links",
    "meet",
    "myid",
    "myshardid",
    "nodes",
    "replicas",
    "saveconfig",
    "set-config-epoch",
    "shards",
    "slaves",
    "slots",
    "getslotmigrations",
];
/// Parts of DEBUG that look at no key.
const DEBUG: [&str; 7] = [
    "change-repl-id",
    "error",
    "help",
    "log",
    "protocol",
    "set-active-expire",
    "sleep",
];
/// Parts of MEMORY that count keys.
const MEMORY: [&str; 2] = ["doctor", "stats"];

fn is_one_of(word: &[u8], list: &[&str]) -> bool {
    list.iter()
        .any(|other| word.eq_ignore_ascii_case(other.as_bytes()))
}

/// What the command of these words needs. It need not exist.
pub(super) fn of(words: &[&[u8]]) -> Demand {
    let Some((&name, rest)) = words.split_first() else {
        return Demand::Names;
    };
    let is = |list: &[&str]| is_one_of(name, list);
    let part = rest.first().copied().unwrap_or_default();
    let all_if = |needs: bool| if needs { Demand::All } else { Demand::Names };
    if is(&[
        "scan",
        "keys",
        "randomkey",
        "dbsize",
        "clusterscan",
        "trimslots",
    ]) {
        Demand::All
    } else if is(&["info"]) {
        info(rest)
    } else if is(&["psync", "sync"]) {
        Demand::FullSync
    } else if is(&["cluster"]) {
        all_if(!is_one_of(part, &CLUSTER))
    } else if is(&["debug"]) {
        all_if(!is_one_of(part, &DEBUG))
    } else if is(&["memory"]) {
        all_if(is_one_of(part, &MEMORY))
    } else if is(&["config"]) {
        all_if(is_one_of(part, &["set"]) && rest[1..].chunks(2).any(wants_new_keys))
    } else if is(&["module"]) {
        // What it loads may walk over all keys.
        all_if(is_one_of(part, &["load", "loadex"]))
    } else {
        Demand::Names
    }
}

/// Whether a setting and its value ask for the event of each key that comes to be.
fn wants_new_keys(setting: &[&[u8]]) -> bool {
    match setting {
        [name, value] => is_one_of(name, &["notify-keyspace-events"]) && tells_of_new_keys(value),
        _ => false,
    }
}

/// Whether these events are among those of `notify-keyspace-events`.
pub(super) fn tells_of_new_keys(events: &[u8]) -> bool {
    events.contains(&b'n')
}

/// INFO waits for all keys if it is asked for their number. Else it leaves that out: a health check
/// must not wait.
fn info(sections: &[&[u8]]) -> Demand {
    if sections
        .iter()
        .any(|section| is_one_of(section, &KEY_SECTIONS))
    {
        return Demand::All;
    }
    let asked: &[&[u8]] = match sections {
        [] => &[b"default"],
        asked => asked,
    };
    let mut instead = vec![b"INFO".to_vec()];
    let mut add = |sections: &[&str]| {
        instead.extend(sections.iter().map(|section| section.as_bytes().to_vec()));
    };
    for section in asked {
        let all = is_one_of(section, &["all", "everything"]);
        if all || is_one_of(section, &["default"]) {
            add(&SECTIONS);
        }
        if all {
            add(&MORE_SECTIONS);
        }
        if is_one_of(section, &["everything"]) {
            add(&["modules"]);
        }
    }
    if instead.len() == 1 {
        return Demand::Names;
    }
    let others = asked.iter();
    let others = others.filter(|section| !is_one_of(section, &["all", "everything", "default"]));
    instead.extend(others.map(|section| section.to_vec()));
    Demand::Instead(instead)
}

#[cfg(test)]
mod tests {
    use super::{Demand, of};

    fn demand(line: &str) -> Demand {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        of(&words)
    }

    #[test]
    fn commands_about_all_keys_need_all() {
        for line in [
            "SCAN 0",
            "keys *",
            "RandomKey",
            "dbsize",
            "INFO keyspace",
            "info server KEYSPACE",
            "cluster countkeysinslot 1",
            "CLUSTER GETKEYSINSLOT 1 10",
            "cluster reset",
            "cluster something-new",
            "cluster",
            "debug reload",
            "debug digest",
            "memory stats",
            "config set maxmemory 1 notify-keyspace-events KEn",
            "module load /a.so",
        ] {
            assert_eq!(demand(line), Demand::All, "{line}");
        }
    }

    #[test]
    fn others_need_the_keys_they_name() {
        for line in [
            "GET k",
            "pm.dbsize",
            "flushall",
            "FLUSHDB async",
            "cluster nodes",
            "Cluster Slots",
            "debug sleep 1",
            "memory usage k",
            "config set notify-keyspace-events KEA",
            "config get notify-keyspace-events",
            "config set",
            "config",
            "info clients stats",
            "info nothing",
            "nothing at all",
            "",
        ] {
            assert_eq!(demand(line), Demand::Names, "{line}");
        }
        assert_eq!(of(&[]), Demand::Names);
    }

    #[test]
    fn info_leaves_out_what_counts_keys() {
        for line in [
            "INFO",
            "info default",
            "info ALL",
            "info everything",
            "info default commandstats",
        ] {
            let Demand::Instead(words) = demand(line) else {
                panic!("{line}")
            };
            let words: Vec<_> = words
                .iter()
                .map(|word| String::from_utf8_lossy(word))
                .collect();
            assert_eq!(words[0], "INFO");
            assert!(words.iter().any(|word| word == "replication"), "{words:?}");
            assert!(
                !words
                    .iter()
                    .any(|word| word == "keyspace" || word == "default")
            );
            let has = |section: &str| words.iter().any(|word| word == section);
            assert_eq!(has("modules"), line.contains("everything"), "{line}");
            assert_eq!(
                has("commandstats"),
                line != "INFO" && line != "info default",
                "{line}"
            );
        }
        assert_eq!(demand("psync ? -1"), Demand::FullSync);
    }
}

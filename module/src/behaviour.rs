//! What servers answer differently, and since which version: the only place that knows.
//!
//! Redis and Valkey have gone separate ways since 7.2, and both change small replies now and then.
//! A `PM.` command answers as the native one of the server it runs in. Where that differs, its
//! handler asks this table, which was looked up once, when the module was loaded. What can be asked
//! of the server itself (the form of a double, or which functions its API has) is not in it.

use std::sync::OnceLock;

/// The families of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Redis, and what calls itself nothing else.
    Redis,
    /// Valkey.
    Valkey,
}

/// A version: major, minor, patch.
pub type Version = (u16, u16, u16);

/// The server that the module runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its family.
    pub family: Family,
    /// Its version, by the family's own count.
    pub version: Version,
}

/// A difference; the name says what a server does that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Behaviour {
    /// LREM's count and LPOS's RANK must not be the least integer.
    LeastCountIsOutOfRange,
    /// A timeout that is too large is out of range, not negative.
    LargeTimeoutIsOutOfRange,
    /// BITCOUNT and BITPOS judge their arguments before they look at the key.
    BitRangeComesFirst,
    /// BITCOUNT judges its unit before its end, as BITPOS does.
    BitcountUnitComesFirst,
    /// BITCOUNT takes a start without an end.
    BitcountTakesStart,
    /// A cursor is digits only, after space; else it is what `strtoul` takes.
    CursorIsDigits,
    /// ZRANK takes WITHSCORE, so that another last word is a syntax error, not one argument too
    /// many.
    RankTakesWithscore,
    /// The scans know NOVALUES of HSCAN, and say so where it does not belong.
    ScanKnowsNovalues,
    /// The scans know NOSCORES of ZSCAN, and say so where it does not belong.
    ScanKnowsNoscores,
    /// Scores, weights, degrees and lengths are decimal; else they may be hexadecimal.
    ScoresAreDecimal,
    /// The ends of ranges of scores, and what SORT compares, are decimal and begin without space.
    EndsAreDecimal,
    /// What SORT compares is read as a score is: neither nothing nor out of range.
    WeightsAreScores,
    /// Degrees are shown with as few digits as tell them apart; else with seventeen digits after
    /// the point.
    DegreesAreShort,
    /// GEOSEARCH names the member that is not there.
    MissingMemberIsNamed,
    /// GEOSEARCH knows polygons, and says so where no form is given.
    SearchKnowsPolygons,
    /// SORT in a cluster follows patterns of keys in its own slot; else none.
    SortFollowsOneSlot,
    /// SORT in a cluster knows that `#` is no key.
    SortKnowsElement,
    /// SET with a condition on the value reads it, and counts that.
    ComparisonCounts,
    /// LSET takes the last 32 bits of its index.
    IndexIsTruncated,
    /// LTRIM that takes nothing out is no change to those who watch the key.
    TrimOfNothingIsNoChange,
    /// A negative offset into a range of a large sorted set counts from the range's end; else it is
    /// beyond all elements.
    NegativeOffsetIsFromEnd,
    /// Commands that add to a sorted set make it a large one at once, if what they add is too much
    /// for a small one.
    LargeAdditionsAreKnown,
    /// ZSCAN shows the scores of small sorted sets as other commands do.
    SmallScoresAreShort,
    /// GETEX judges its expire time before it looks at the key.
    GetexTimeComesFirst,
    /// SET with a time that is over deletes the key and stores nothing.
    PastTimeDeletes,
    /// What such a time deletes has expired, as its event says; else it is a deletion like others.
    PastTimeExpires,
    /// SET takes IFEQ instead of NX and XX, and once only; else it may follow by NX or XX, and be
    /// repeated.
    IfeqStandsAlone,
    /// The errors of MSETEX are Valkey's, and the order of its events.
    MsetexIsValkeys,
    /// Commands that block run in scripts, where they do not block.
    BlockingRunsInScripts,
    /// What is said of a key that a user may not use is short.
    RefusalsAreShort,
    /// MEMORY USAGE of a module's value that expires may end the server.
    UsageOfExpiringValuesIsUnsafe,
    /// SCAN with TYPE counts no look at a key's type as a hit.
    ScanOfTypeCountsNothing,
    /// A look at a key, while a client that waits is served that has said CLIENT NO-TOUCH ON, ends
    /// the server, unless a command looks.
    ServingWithoutTouchIsUnsafe,
    /// GETDEL is replicated as DEL, whether users' deletions are lazy or not.
    GetdelIsDel,
    /// SPOP of all elements is replicated as UNLINK if what the server deletes by itself is to go
    /// lazily.
    PopOfAllMayUnlink,
    /// Small hashes whose fields expire are listpacks, too.
    ListpacksHoldTimes,
    /// Fields of hashes expire.
    FieldsExpire,
    /// It has HSETEX.
    HasHsetex,
    /// Commands treat fields whose time has come as absent, and leave them for the background. Else
    /// they remove them, except HSET, HDEL, HEXPIRE and HLEN, to which they are there.
    ExpiredFieldsAreAbsent,
    /// What a time that is over removes of a hash has expired, as the event says; else it was
    /// deleted.
    PastFieldTimeExpires,
    /// HSETEX with such a time, of fields that were not there, is no change to those who watch the
    /// key.
    PassingFieldsAreNoChange,
    /// To HTTL and its like, a field of a small hash ends when its time has come, as one of a large
    /// hash; else a moment earlier.
    SmallHashesEndOnTime,
    /// HTTL rounds to the nearest second; else up.
    FieldTtlIsRounded,
    /// Telling the server of a change counts as a read of the key.
    TellingIsReading,
    /// It has the events `overwritten` and `type_changed`.
    TellsOfReplacement,
}

/// From which version on a server has a behaviour.
#[derive(Clone, Copy)]
enum Since {
    Never,
    Version(u16, u16, u16),
    /// From the first on, and from the second no more.
    Between(Version, Version),
}

/// The behaviours in the order of their numbers: since when Redis has it, and Valkey.
const TABLE: [(Behaviour, Since, Since); 45] = {
    use Behaviour::*;
    use Since::{Between, Never, Version as V};
    [
        (LeastCountIsOutOfRange, V(7, 4, 0), V(8, 0, 0)),
        (LargeTimeoutIsOutOfRange, V(7, 2, 0), V(7, 2, 0)),
        (BitRangeComesFirst, V(7, 4, 0), V(8, 0, 0)),
        (BitcountUnitComesFirst, Never, V(8, 0, 0)),
        (BitcountTakesStart, Never, V(8, 0, 0)),
        (CursorIsDigits, V(7, 4, 0), V(8, 0, 0)),
        (RankTakesWithscore, V(7, 2, 0), V(7, 2, 0)),
        (ScanKnowsNovalues, V(7, 4, 0), V(8, 0, 0)),
        (ScanKnowsNoscores, Never, V(8, 1, 0)),
        (ScoresAreDecimal, Never, V(9, 1, 0)),
        (EndsAreDecimal, V(8, 0, 0), V(9, 1, 0)),
        (WeightsAreScores, Never, V(9, 1, 0)),
        (DegreesAreShort, V(8, 0, 0), Never),
        (MissingMemberIsNamed, Never, V(9, 1, 0)),
        (SearchKnowsPolygons, Never, V(9, 0, 0)),
        (SortFollowsOneSlot, V(7, 4, 0), V(8, 0, 0)),
        (SortKnowsElement, V(8, 0, 0), V(8, 1, 0)),
        (ComparisonCounts, V(8, 4, 0), Never),
        (IndexIsTruncated, V(7, 2, 0), V(7, 2, 0)),
        (TrimOfNothingIsNoChange, Never, V(9, 1, 0)),
        (
            NegativeOffsetIsFromEnd,
            Between((7, 4, 0), (8, 2, 0)),
            V(8, 0, 0),
        ),
        (LargeAdditionsAreKnown, V(7, 2, 0), V(7, 2, 0)),
        (SmallScoresAreShort, V(7, 2, 0), V(7, 2, 0)),
        (GetexTimeComesFirst, Never, V(9, 1, 0)),
        (PastTimeDeletes, Never, V(8, 0, 0)),
        (PastTimeExpires, Never, V(8, 1, 0)),
        (IfeqStandsAlone, Never, V(8, 1, 0)),
        (MsetexIsValkeys, Never, V(7, 2, 0)),
        (BlockingRunsInScripts, V(7, 2, 0), V(7, 2, 0)),
        (RefusalsAreShort, V(7, 2, 0), V(7, 2, 0)),
        // Seen in 8.6, not in 8.2.
        (UsageOfExpiringValuesIsUnsafe, V(8, 3, 0), Never),
        // Seen in 8.2, not in 8.0.
        (ScanOfTypeCountsNothing, V(8, 2, 0), V(8, 0, 0)),
        // Seen in 8.0, 8.2 and Valkey 8.1; not in 8.6, nor in Valkey 8.0 and 9.1.
        (
            ServingWithoutTouchIsUnsafe,
            Between((7, 2, 0), (8, 6, 0)),
            Between((8, 1, 0), (9, 0, 0)),
        ),
        (GetdelIsDel, V(7, 2, 0), V(7, 2, 0)),
        (PopOfAllMayUnlink, V(7, 2, 0), V(7, 2, 0)),
        (ListpacksHoldTimes, V(7, 0, 0), Never),
        (FieldsExpire, V(7, 4, 0), V(9, 0, 0)),
        (HasHsetex, V(8, 0, 0), V(9, 0, 0)),
        (ExpiredFieldsAreAbsent, Never, V(7, 2, 0)),
        (PastFieldTimeExpires, Never, V(7, 2, 0)),
        (PassingFieldsAreNoChange, Never, V(7, 2, 0)),
        (SmallHashesEndOnTime, Never, V(7, 2, 0)),
        (FieldTtlIsRounded, Never, V(7, 2, 0)),
        (TellingIsReading, V(8, 4, 0), Never),
        (TellsOfReplacement, V(8, 2, 0), Never),
    ]
};

static SERVER: OnceLock<Server> = OnceLock::new();

/// The server's behaviours, a bit each.
static HERE: OnceLock<u64> = OnceLock::new();

/// Learns which server this is, while the module is being loaded: what `INFO server` says, or, if
/// that command is renamed, the version in the module API, which Valkey gives as Redis 7.2.
pub fn learn(info: Option<&str>, of_api: Version) {
    let server = match info {
        Some(info) => Server::of(info),
        None => Server {
            family: Family::Redis,
            version: of_api,
        },
    };
    let _ = SERVER.set(server);
    let _ = HERE.set(bits(server));
}

/// The server that the module runs in; the oldest one that is supported, until it is known.
pub fn server() -> Server {
    *SERVER.get().unwrap_or(&Server::OLDEST)
}

impl Behaviour {
    /// Whether the server has this behaviour. O(1).
    #[inline]
    pub fn here(self) -> bool {
        HERE.get()
            .is_some_and(|bits| bits & 1 << self as usize != 0)
    }
}

/// Bytes of the longest string that the server keeps in one piece with its key, or with the key's
/// object: what OBJECT ENCODING calls `embstr`. Below zero if there is none. Newer servers have the
/// key and its expire time in the same piece, of 64 bytes, or 128.
pub fn embedded_max(key_len: usize, expires: bool) -> i64 {
    let Server { family, version } = server();
    // The header of a longer name is longer.
    let is_long = key_len >= 32;
    let key_len = key_len as i64;
    let time = if expires { 8 } else { 0 };
    match (family, (version.0, version.1)) {
        (Family::Valkey, (9.., _)) => 113 - key_len - time - if is_long { 2 } else { 0 },
        // A longer header is not reckoned with.
        (Family::Valkey, (8, 1..)) if is_long => 41 - key_len,
        (Family::Valkey, (8, 1..)) => 41 - key_len - time,
        (Family::Redis, (8, 2)) => 41 - key_len - if is_long && expires { 2 } else { 0 },
        (Family::Redis, (8, 3..) | (9.., _)) => 41 - key_len,
        _ => 44,
    }
}

/// The lengths of strings, from one to another, that the server does not keep so although they are
/// shorter: where Valkey 8.1 asks for the expire time as well, unless there was room for it.
pub fn embedded_gap(key_len: usize, expires: bool) -> Option<(i64, i64)> {
    let Server { family, version } = server();
    let has_gap = matches!((family, version), (Family::Valkey, (8, 1.., _)));
    let key_len = key_len as i64;
    // With the longer header, 40 bytes and more are beyond 64, and get a piece of 80.
    (has_gap && expires && key_len >= 32).then_some((34 - key_len, 39 - key_len))
}

impl Server {
    /// Redis 7.0.
    const OLDEST: Server = Server {
        family: Family::Redis,
        version: (7, 0, 0),
    };

    /// The server that `INFO server` describes.
    fn of(info: &str) -> Server {
        let field = |name: &str| {
            let mut lines = info.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        let version = |name| field(name).and_then(parse);
        let known = match version("valkey_version") {
            Some(version) => Some((Family::Valkey, version)),
            None => version("redis_version").map(|version| (Family::Redis, version)),
        };
        known.map_or(Server::OLDEST, |(family, version)| Server {
            family,
            version,
        })
    }

    /// Whether it has a behaviour since the version given.
    fn is_since(self, redis: Since, valkey: Since) -> bool {
        let since = match self.family {
            Family::Redis => redis,
            Family::Valkey => valkey,
        };
        match since {
            Since::Never => false,
            Since::Version(major, minor, patch) => self.version >= (major, minor, patch),
            Since::Between(from, until) => (from..until).contains(&self.version),
        }
    }
}

/// A version from its text; what follows the three numbers is left alone, and numbers may be
/// missing.
fn parse(text: &str) -> Option<Version> {
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|n| n.parse().ok());
    let major = numbers.next()?;
    Some((
        major,
        numbers.next().unwrap_or(0),
        numbers.next().unwrap_or(0),
    ))
}

fn bits(server: Server) -> u64 {
    let mut bits = 0;
    for (behaviour, redis, valkey) in TABLE {
        bits |= u64::from(server.is_since(redis, valkey)) << behaviour as usize;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(info: &str, behaviour: Behaviour) -> bool {
        bits(Server::of(info)) & 1 << behaviour as usize != 0
    }

    #[test]
    fn servers_are_told_by_their_own_version() {
        let valkey =
            "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n";
        assert_eq!(
            Server::of(valkey),
            Server {
                family: Family::Valkey,
                version: (9, 1, 2)
            }
        );
        assert_eq!(
            Server::of("redis_version:8.6.2\r\n"),
            Server {
                family: Family::Redis,
                version: (8, 6, 2)
            }
        );
        assert_eq!(
            Server::of("redis_version:255.255.255").version,
            (255, 255, 255)
        );
        assert_eq!(Server::of("redis_version:9.2-rc1").version, (9, 2, 0));
        assert_eq!(Server::of("nothing of the kind"), Server::OLDEST);
    }

    #[test]
    fn behaviours_begin_with_their_version() {
        assert!(!has(
            "redis_version:7.0.15",
            Behaviour::LeastCountIsOutOfRange
        ));
        assert!(!has(
            "redis_version:7.2.6",
            Behaviour::LeastCountIsOutOfRange
        ));
        assert!(has(
            "redis_version:7.4.0",
            Behaviour::LeastCountIsOutOfRange
        ));
        assert!(!has("redis_version:8.6.2", Behaviour::ScoresAreDecimal));
        assert!(has("valkey_version:9.1.2", Behaviour::ScoresAreDecimal));
        assert!(!has("valkey_version:9.0.3", Behaviour::ScoresAreDecimal));
        for (version, is) in [
            ("7.2.6", false),
            ("7.4.0", true),
            ("8.0.6", true),
            ("8.2.0", false),
        ] {
            let info = format!("redis_version:{version}");
            assert_eq!(
                has(&info, Behaviour::NegativeOffsetIsFromEnd),
                is,
                "{version}"
            );
        }
    }

    #[test]
    fn the_table_is_in_order() {
        for (i, (behaviour, ..)) in TABLE.into_iter().enumerate() {
            assert_eq!(behaviour as usize, i, "{behaviour:?}");
        }
        assert!(TABLE.len() <= u64::BITS as usize);
    }
}

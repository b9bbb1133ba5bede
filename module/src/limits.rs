//! What the server's configuration says of values, evictions and deletions, kept up to date.

use crate::behaviour::Behaviour;
use crate::redis::Ctx;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use store::structures::encoding::ListpackMax;
use store::structures::limits::{AllLimits, HashLimits, Limits, SetLimits, ZSetLimits};

/// `proto-max-bulk-len` of a server that does not say otherwise.
static STRING_MAX: AtomicU64 = AtomicU64::new(512 << 20);
/// `hll-sparse-max-bytes` of such a server.
static HLL_SPARSE_MAX: AtomicU64 = AtomicU64::new(3000);
/// `list-max-listpack-size` of such a server.
static LIST_MAX: AtomicI64 = AtomicI64::new(-2);
/// Whether the server has a setting for sets that are listpacks.
static LISTPACK_SETS: AtomicBool = AtomicBool::new(false);

/// Whether the server allows DEBUG to some clients.
static DEBUG: AtomicBool = AtomicBool::new(false);

/// Up to which size a value of one type is packed.
struct Packed {
    elements: AtomicU64,
    element_len: AtomicU64,
}

impl Packed {
    const fn new<const COUNT: usize, const LEN: usize>(limits: Limits<COUNT, LEN>) -> Packed {
        Packed {
            elements: AtomicU64::new(limits.elements()),
            element_len: AtomicU64::new(limits.element_len()),
        }
    }

    #[inline]
    fn get<const COUNT: usize, const LEN: usize>(&self) -> Limits<COUNT, LEN> {
        Limits::new(
            self.elements.load(Ordering::Relaxed),
            self.element_len.load(Ordering::Relaxed),
        )
    }
}

static HASH: Packed = Packed::new(AllLimits::DEFAULT.hash);
static MEMBERS: Packed = Packed::new(AllLimits::DEFAULT.set.members);
static INTEGERS: Packed = Packed::new(AllLimits::DEFAULT.set.integers);
static ZSET: Packed = Packed::new(AllLimits::DEFAULT.zset);

/// Which keys give way.
static POLICY: AtomicU8 = AtomicU8::new(Policy::Never as u8);
/// How many keys are looked at for each that does.
static SAMPLES: AtomicU64 = AtomicU64::new(5);

/// Which keys give way when there is no room: `maxmemory-policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Policy {
    /// None: `noeviction`.
    #[default]
    Never,
    /// Of all keys those used longest ago.
    AllLru,
    /// Of all keys those used least often.
    AllLfu,
    /// Of all keys any.
    AllRandom,
    /// Of those that expire those used longest ago.
    VolatileLru,
    /// Of those that expire those used least often.
    VolatileLfu,
    /// Of those that expire any.
    VolatileRandom,
    /// Those that expire first.
    VolatileTtl,
}

impl Policy {
    /// All of them, in the order of their numbers, with the server's names.
    const ALL: [(&str, Policy); 8] = [
        ("noeviction", Policy::Never),
        ("allkeys-lru", Policy::AllLru),
        ("allkeys-lfu", Policy::AllLfu),
        ("allkeys-random", Policy::AllRandom),
        ("volatile-lru", Policy::VolatileLru),
        ("volatile-lfu", Policy::VolatileLfu),
        ("volatile-random", Policy::VolatileRandom),
        ("volatile-ttl", Policy::VolatileTtl),
    ];

    /// Whether only keys that expire give way.
    pub fn is_volatile(self) -> bool {
        self as u8 >= Policy::VolatileLru as u8
    }
}

/// Which keys give way when there is no room.
pub fn policy() -> Policy {
    let number = POLICY.load(Ordering::Relaxed);
    Policy::ALL
        .get(usize::from(number))
        .map_or(Policy::Never, |&(_, policy)| policy)
}

/// How many keys are looked at for each that gives way: `maxmemory-samples`.
pub fn samples() -> usize {
    usize::try_from(SAMPLES.load(Ordering::Relaxed))
        .unwrap_or(1)
        .clamp(1, 64)
}

/// The command by which replicas delete a key that gives way.
pub fn evicting_command() -> &'static CStr {
    if LAZILY.evicted.load(Ordering::Relaxed) {
        c"UNLINK"
    } else {
        c"DEL"
    }
}

type Setter = fn(u64);

fn store(number: &AtomicU64, value: u64) {
    number.store(value, Ordering::Relaxed);
}

/// Settings, and what takes their values.
const SETTINGS: [(&str, Setter); 10] = [
    ("maxmemory-samples", |n| store(&SAMPLES, n)),
    ("proto-max-bulk-len", |n| store(&STRING_MAX, n)),
    ("hll-sparse-max-bytes", |n| store(&HLL_SPARSE_MAX, n)),
    ("hash-max-listpack-entries", |n| store(&HASH.elements, n)),
    ("hash-max-listpack-value", |n| store(&HASH.element_len, n)),
    ("set-max-intset-entries", |n| store(&INTEGERS.elements, n)),
    ("set-max-listpack-entries", |n| {
        LISTPACK_SETS.store(true, Ordering::Relaxed);
        store(&MEMBERS.elements, n);
    }),
    ("set-max-listpack-value", |n| store(&MEMBERS.element_len, n)),
    ("zset-max-listpack-entries", |n| store(&ZSET.elements, n)),
    ("zset-max-listpack-value", |n| store(&ZSET.element_len, n)),
];

/// How the server deletes, as it tells its replicas.
struct Lazily {
    evicted: AtomicBool,
    expired: AtomicBool,
    overwritten: AtomicBool,
    by_user: AtomicBool,
}

static LAZILY: Lazily = Lazily {
    evicted: AtomicBool::new(false),
    expired: AtomicBool::new(false),
    overwritten: AtomicBool::new(false),
    by_user: AtomicBool::new(false),
};

/// Whether the server imports data from another one.
static IMPORTS: AtomicBool = AtomicBool::new(false);

/// Settings that are `yes` or `no`.
const FLAGS: [(&str, &AtomicBool); 5] = [
    ("import-mode", &IMPORTS),
    ("lazyfree-lazy-eviction", &LAZILY.evicted),
    ("lazyfree-lazy-expire", &LAZILY.expired),
    ("lazyfree-lazy-server-del", &LAZILY.overwritten),
    ("lazyfree-lazy-user-del", &LAZILY.by_user),
];

/// A key that a command deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// GETDEL, DELEX, DELIFEQ.
    Asked,
    /// Its expire time is over when it is given.
    Expired,
    /// SPOP of all elements.
    Emptied,
}

/// The command by which replicas delete the key, too, as the native commands of this server choose
/// it.
pub fn deleting_command(deletion: Deletion) -> &'static CStr {
    let is_on = |setting: &AtomicBool| setting.load(Ordering::Relaxed);
    let lazily = match deletion {
        Deletion::Asked => !Behaviour::GetdelIsDel.here() && is_on(&LAZILY.by_user),
        Deletion::Expired => is_on(&LAZILY.expired),
        Deletion::Emptied => Behaviour::PopOfAllMayUnlink.here() && is_on(&LAZILY.overwritten),
    };
    if lazily { c"UNLINK" } else { c"DEL" }
}

/// The longest string in bytes: `proto-max-bulk-len`.
pub fn string_max() -> u64 {
    STRING_MAX.load(Ordering::Relaxed)
}

/// The longest HyperLogLog in bytes that is sparse: `hll-sparse-max-bytes`.
pub fn hll_sparse_max() -> u64 {
    HLL_SPARSE_MAX.load(Ordering::Relaxed)
}

/// Up to which size hashes are packed.
#[inline]
pub fn hash() -> HashLimits {
    HASH.get()
}

/// Up to which size sets are packed.
#[inline]
pub fn set() -> SetLimits {
    SetLimits {
        integers: INTEGERS.get(),
        members: MEMBERS.get(),
    }
}

/// Up to which size sorted sets are packed.
#[inline]
pub fn zset() -> ZSetLimits {
    ZSET.get()
}

/// Up to which size values of all types are packed.
pub fn all() -> AllLimits {
    AllLimits {
        hash: hash(),
        set: set(),
        zset: zset(),
    }
}

/// Whether the server's own small sets and lists are listpacks, as Redis has it from 7.2 on.
pub fn listpack_sets_and_lists() -> bool {
    LISTPACK_SETS.load(Ordering::Relaxed)
}

/// Up to which size a list is a listpack where lists are: `list-max-listpack-size`.
pub fn listpack_lists() -> ListpackMax {
    ListpackMax::of_setting(LIST_MAX.load(Ordering::Relaxed))
}

/// Whether the server imports data from another one, which decides what expires: `import-mode`,
/// from Valkey 8.1 on.
pub fn imports() -> bool {
    IMPORTS.load(Ordering::Relaxed)
}

/// Whether the server allows DEBUG to some clients: `enable-debug-command`.
pub fn allows_debug() -> bool {
    DEBUG.load(Ordering::Relaxed)
}

/// Reads the settings: when the module is loaded, and whenever the server's configuration changes.
pub fn read(ctx: &Ctx) {
    for (name, take) in SETTINGS {
        // What a server does not know, or does not tell as its CONFIG is renamed, keeps its
        // default.
        if let Some(value) = setting(ctx, name).and_then(|text| text.parse().ok()) {
            take(value);
        }
    }
    let list_max = setting(ctx, "list-max-listpack-size");
    if let Some(value) = list_max.and_then(|text| text.parse().ok()) {
        LIST_MAX.store(value, Ordering::Relaxed);
    }
    for (name, flag) in FLAGS {
        if let Some(text) = setting(ctx, name) {
            flag.store(text == "yes", Ordering::Relaxed);
        }
    }
    let policy = setting(ctx, "maxmemory-policy");
    let policy = Policy::ALL
        .iter()
        .find(|(name, _)| policy.as_deref() == Some(*name));
    POLICY.store(
        policy.map_or(Policy::Never, |&(_, policy)| policy) as u8,
        Ordering::Relaxed,
    );
    let debug = setting(ctx, "enable-debug-command");
    DEBUG.store(debug.is_some_and(|text| text != "no"), Ordering::Relaxed);
}

fn setting(ctx: &Ctx, name: &str) -> Option<String> {
    String::from_utf8(ctx.setting(name)?).ok()
}

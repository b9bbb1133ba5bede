//! Time, fences and space of lists, hashes, sets and sorted sets, without a server.
//!
//! ```text
//! cargo run --release -p bench --bin structures             the tables
//! cargo run --release -p bench --bin structures -- check    also fails if a budget is exceeded
//! cargo run --release -p bench --bin structures -- hash     of some types only
//! PMEDIS_ELEMENTS=10000000 cargo run ...                           for values of so many elements
//! ```
//!
//! The pool lies on tmpfs and counts as persistent memory; flushes are counted, not executed, so
//! times are without them (`cargo bench` has times with them). `worst` is the slowest single
//! operation that the kernel did not interrupt, growth of the pool included. Space is what the pool
//! gives out for a value, in proportion to the payload: an element, field and value, member and
//! score.

use bench::measure::{Report, measure, processor_time, relaunch_with_flushes, shuffle};
use pobj::{Pool, Result, Tx};
use store::layout::pool_at;
use store::structures::limits::AllLimits;
use store::structures::list::{self, Element, Side};
use store::structures::zset::{self, Rule};
use store::structures::{self, Root, hash, set};
use store::value::ValueType;

/// Operations per figure where the value stays as large as it is.
const OPERATIONS: usize = 50_000;

/// One value in a pool of its own.
struct Bench {
    pool: Pool,
    root: Root,
    report: Report,
}

impl Bench {
    fn change<R>(&mut self, f: impl FnOnce(&mut Tx<'_>, &mut Root) -> Result<R>) -> Result<R> {
        let mut root = self.root;
        let mut tx = self.pool.begin();
        let result = f(&mut tx, &mut root)?;
        tx.commit()?;
        self.root = root;
        Ok(result)
    }

    /// A figure of changes.
    fn changes<R>(
        &mut self,
        name: &str,
        budget: Option<u64>,
        items: &[usize],
        mut f: impl FnMut(&mut Tx<'_>, &mut Root, usize) -> Result<R>,
    ) -> Result<()> {
        let figure = measure(name, budget, items, |item| {
            self.change(|tx, root| f(tx, root, item)).map(|_| ())
        })?;
        self.report.add(&figure);
        Ok(())
    }

    /// A figure of reads.
    fn reads<R>(
        &mut self,
        name: &str,
        items: &[usize],
        mut f: impl FnMut(&Pool, Root, usize) -> Result<R>,
    ) -> Result<()> {
        let figure = measure(name, Some(0), items, |item| {
            f(&self.pool, self.root, item).map(|_| ())
        })?;
        self.report.add(&figure);
        Ok(())
    }

    /// The space that the value takes, of which `most` times the payload are allowed.
    fn space(&mut self, what: &str, payload: usize, most: f64) {
        let ratio = self.pool.usage().used as f64 / payload as f64;
        println!("{what:<34} {ratio:>9.2} times its payload (at most {most})");
        self.report.require(ratio <= most);
    }

    /// Gives the value up in steps, as it is done in the background.
    fn give_up(&mut self, ty: ValueType) -> Result<()> {
        while self.root != Root::EMPTY {
            self.change(|tx, root| structures::of(ty).dismantle(tx, root, 64))?;
        }
        assert_eq!(self.pool.usage().used, 0, "everything is free");
        Ok(())
    }

    /// Says how long one large operation takes; what it leaves is freed in steps, as in the
    /// background.
    fn once(
        &mut self,
        name: &str,
        ty: ValueType,
        f: impl FnOnce(&mut Tx<'_>, &mut Root) -> Result<Root>,
    ) -> Result<()> {
        let start = processor_time();
        let mut rest = self.change(f)?;
        let elapsed = processor_time() - start;
        println!("{name:<34} {:>9.2} ms", elapsed.as_secs_f64() * 1e3);
        while rest != Root::EMPTY {
            let mut tx = self.pool.begin();
            structures::of(ty).dismantle(&mut tx, &mut rest, 64)?;
            tx.commit()?;
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    relaunch_with_flushes();
    let count = std::env::var("PMEDIS_ELEMENTS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(1_000_000);
    let place = tempfile::tempdir_in("/dev/shm").expect("a directory on tmpfs");
    let size = (count as u64 * 200).max(1 << 30);
    let options = pool_at(place.path().join("structures.pool")).size(size);
    let mut bench = Bench {
        pool: Pool::open(&options)?,
        root: Root::EMPTY,
        report: Report::begin(),
    };
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "check")
        .collect();
    type Figures = fn(&mut Bench, usize) -> Result<()>;
    let types: [(&str, Figures); 4] = [
        ("list", lists),
        ("hash", hashes),
        ("set", sets),
        ("zset", sorted_sets),
    ];
    for (name, figures) in types {
        if named.is_empty() || named.iter().any(|named| named == name) {
            figures(&mut bench, count)?;
        }
    }
    bench.report.end();
    Ok(())
}

/// Sixteen bytes that tell the number.
fn text(n: usize) -> [u8; 16] {
    let mut text = [b'0'; 16];
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(n).as_bytes();
    text[16 - digits.len()..].copy_from_slice(digits);
    text
}

/// So many numbers below `below`, in no order.
fn some(count: usize, below: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count)
        .map(|i| i * (below / count).max(1) % below)
        .collect();
    shuffle(&mut numbers);
    numbers
}

fn one(text: &[u8]) -> impl ExactSizeIterator<Item = &[u8]> {
    std::iter::once(text)
}

fn lists(bench: &mut Bench, count: usize) -> Result<()> {
    let all: Vec<usize> = (0..count).collect();
    let random = some(OPERATIONS.min(count), count);
    bench.changes("RPUSH", Some(2), &all, |tx, root, i| {
        list::push(tx, root, Side::Right, one(&text(i)))
    })?;
    bench.space("list of elements of 16", 16 * count, 1.6);
    bench.changes("LPUSH", Some(2), &random, |tx, root, i| {
        list::push(tx, root, Side::Left, one(&text(i)))
    })?;
    bench.reads("LINDEX anywhere", &random, |pool, root, i| {
        list::get(pool, root, i as u64).map(|found| found.is_some())
    })?;
    bench.reads("LRANGE 100 anywhere", &random, |pool, root, i| {
        let (mut left, mut sum) = (100, 0);
        list::each(pool, root, Side::Left, i as u64, |value| {
            sum += value.bytes(pool)?.len();
            left -= 1;
            Ok(left > 0)
        })?;
        Ok(sum)
    })?;
    bench.changes("LSET anywhere", Some(2), &random, |tx, root, i| {
        list::set(tx, root, i as u64, &text(i + 1))
    })?;
    bench.changes("LINSERT anywhere", None, &random, |tx, root, i| {
        list::insert(tx, root, i as u64, &text(i))
    })?;
    bench.changes("LMOVE to the other end", Some(2), &random, |tx, root, _| {
        list::rotate(tx, root, Side::Left, Side::Right, &mut Element::default())
    })?;
    bench.changes("LPOP", Some(2), &random, |tx, root, _| {
        list::pop(tx, root, Side::Left, &mut Element::default())
    })?;
    bench.changes("RPOP", Some(2), &random, |tx, root, _| {
        list::pop(tx, root, Side::Right, &mut Element::default())
    })?;
    bench.once("LTRIM by nine tenths", ValueType::List, |tx, root| {
        list::drop_end(tx, root, Side::Left, count as u64 / 10 * 9)
    })?;
    bench.give_up(ValueType::List)
}

fn hashes(bench: &mut Bench, count: usize) -> Result<()> {
    let all: Vec<usize> = (0..count).collect();
    let random = some(OPERATIONS.min(count), count);
    bench.changes("HSET new", Some(2), &all, |tx, root, i| {
        hash::set(
            tx,
            root,
            AllLimits::DEFAULT.hash,
            std::iter::once((&text(i)[..], &text(i)[..])),
        )
    })?;
    bench.space("hash of fields of 16 + 16", 32 * count, 2.0);
    bench.changes("HSET overwriting", Some(2), &random, |tx, root, i| {
        hash::set(
            tx,
            root,
            AllLimits::DEFAULT.hash,
            std::iter::once((&text(i)[..], &text(i + 1)[..])),
        )
    })?;
    bench.reads("HGET", &random, |pool, root, i| {
        hash::get(pool, root, &text(i)).map(|value| value.is_some())
    })?;
    let integer = |tx: &mut Tx<'_>, root: &mut Root, i: usize, n: usize| {
        let number = n.to_string();
        let (spot, _) = hash::find(tx, *root, &text(i))?;
        hash::put(
            tx,
            root,
            AllLimits::DEFAULT.hash,
            spot,
            &text(i),
            number.as_bytes(),
        )
    };
    for &i in &random {
        bench.change(|tx, root| integer(tx, root, i, 8))?;
    }
    let mut n = 8;
    let same: Vec<usize> = vec![random[0]; OPERATIONS];
    bench.changes("HINCRBY of one field", Some(1), &same, |tx, root, i| {
        n += 1;
        integer(tx, root, i, n)
    })?;
    bench.changes("HINCRBY, 8 to 9", Some(1), &random, |tx, root, i| {
        integer(tx, root, i, 9)
    })?;
    bench.once("COPY of the hash", ValueType::Hash, |tx, root| {
        let old = *root;
        *root = hash::copy(tx, old)?;
        Ok(old)
    })?;
    bench.changes("HDEL", Some(2), &random, |tx, root, i| {
        hash::remove(tx, root, one(&text(i)))
    })?;
    bench.give_up(ValueType::Hash)?;
    let few: Vec<usize> = (0..100).collect();
    bench.changes(
        "HSET new, up to 100 fields",
        Some(2),
        &few,
        |tx, root, i| {
            hash::set(
                tx,
                root,
                AllLimits::DEFAULT.hash,
                std::iter::once((&text(i)[..], &text(i)[..])),
            )
        },
    )?;
    let again = some(OPERATIONS, 100);
    bench.changes("HINCRBY, one of 100", Some(1), &again, |tx, root, i| {
        n += 1;
        integer(tx, root, i, n)
    })?;
    bench.reads("HGETALL of 100", &again, |pool, root, _| {
        hash::pairs(pool, root)?.try_fold(0, |sum, pair| pair.map(|pair| sum + pair.1.len()))
    })?;
    bench.give_up(ValueType::Hash)
}

fn sets(bench: &mut Bench, count: usize) -> Result<()> {
    let all: Vec<usize> = (0..count).collect();
    let random = some(OPERATIONS.min(count), count);
    let name = |i: usize| {
        let mut name = text(i);
        name[0] = b'm';
        name
    };
    bench.changes("SADD", Some(2), &all, |tx, root, i| {
        set::add(tx, root, AllLimits::DEFAULT.set, one(&name(i)))
    })?;
    bench.space("set of members of 16", 16 * count, 3.0);
    bench.reads("SISMEMBER", &random, |pool, root, i| {
        set::contains(pool, root, &name(i))
    })?;
    bench.changes("SREM", Some(2), &random, |tx, root, i| {
        set::remove(tx, root, one(&name(i)))
    })?;
    let half = &random[..random.len() / 2];
    bench.changes("SPOP", Some(2), half, |tx, root, _| set::pop(tx, root))?;
    bench.once("SUNIONSTORE of the rest", ValueType::Set, |tx, root| {
        let old = *root;
        *root = set::copy(tx, old)?;
        Ok(old)
    })?;
    bench.give_up(ValueType::Set)
}

fn sorted_sets(bench: &mut Bench, count: usize) -> Result<()> {
    let mut scores: Vec<usize> = (0..count).collect();
    shuffle(&mut scores);
    let all: Vec<usize> = (0..count).collect();
    let random = some(OPERATIONS.min(count), count);
    let rule = Rule::default();
    bench.changes("ZADD new", Some(2), &all, |tx, root, i| {
        zset::add(
            tx,
            root,
            AllLimits::DEFAULT.zset,
            &text(i),
            scores[i] as f64,
            rule,
        )
    })?;
    bench.space("sorted set of members of 16", 24 * count, 3.0);
    bench.changes("ZADD another score", Some(2), &random, |tx, root, i| {
        zset::add(
            tx,
            root,
            AllLimits::DEFAULT.zset,
            &text(i),
            scores[count - 1 - i] as f64 + 0.5,
            rule,
        )
    })?;
    let increment = Rule {
        increment: true,
        ..rule
    };
    bench.changes("ZINCRBY", Some(2), &random, |tx, root, i| {
        zset::add(
            tx,
            root,
            AllLimits::DEFAULT.zset,
            &text(i),
            1000.0,
            increment,
        )
    })?;
    bench.reads("ZSCORE", &random, |pool, root, i| {
        zset::score(pool, root, &text(i))
    })?;
    bench.reads("ZRANK", &random, |pool, root, i| {
        zset::rank(pool, root, &text(i))
    })?;
    bench.reads("ZRANGE 100 anywhere", &random, |pool, root, i| {
        let mut walk = zset::walk(pool, root, i as u64, false)?;
        let mut sum = 0.0;
        for _ in 0..100 {
            sum += walk.step()?.map_or(0.0, |(_, score)| score);
        }
        Ok(sum)
    })?;
    bench.changes("ZREM", Some(2), &random, |tx, root, i| {
        zset::remove(tx, root, one(&text(i)))
    })?;
    bench.changes("ZPOPMIN", Some(2), &random, |tx, root, _| {
        zset::remove_range(tx, root, 0..1)
    })?;
    bench.once("ZREMRANGEBYRANK of half", ValueType::ZSet, |tx, root| {
        let len = zset::len(*root);
        zset::remove_range(tx, root, len / 4..len / 4 * 3)?;
        Ok(Root::EMPTY)
    })?;
    bench.once("ZRANGESTORE of the rest", ValueType::ZSet, |tx, root| {
        let old = *root;
        *root = zset::copy(tx, old)?;
        Ok(old)
    })?;
    bench.give_up(ValueType::ZSet)
}

//! Time and fences of the engine's string operations, without a server.
//!
//! ```text
//! cargo run --release -p pmedis-bench --bin engine             the table
//! cargo run --release -p pmedis-bench --bin engine -- check    also fails if a fence budget is exceeded
//! cargo run --release -p pmedis-bench --bin engine -- fences   the fences alone, as docs/fences.md has them
//! ```
//!
//! The pool lies on tmpfs and counts as persistent memory (`PMEM_IS_PMEM_FORCE=1`, set here): flushes and
//! fences are real. Fences are counted where libpmem is called, libpmemobj's own included. Times are the
//! median of several runs over random keys. `fences` is the median operation's; `mean` includes the rare
//! ones that needed a new slab page.

use pmedis::keyspace::Engine;
use pmedis::keyspace::record::{self, Fields, NEVER, RecordPtr};
use pmedis::structures::Root;
use pmedis::structures::string::{self, Value};
use pmedis::value::ValueType;
use pobj::{PoolOptions, Result};
use std::time::Instant;

/// Runs per figure.
const RUNS: usize = 5;

/// Lengths of values.
const LENGTHS: [(usize, &str); 4] = [
    (8, "8 B"),
    (128, "128 B"),
    (1024, "1 KiB"),
    (64 << 10, "64 KiB"),
];

/// One line of the table.
struct Figure {
    name: String,
    nanoseconds: f64,
    fences: u64,
    mean_fences: f64,
    lines: f64,
    budget: Option<u64>,
}

fn main() -> Result<()> {
    relaunch_with_flushes();
    let mode = std::env::args().nth(1).unwrap_or_default();
    if mode == "fences" {
        return print_fences();
    }
    let check = mode == "check";
    let place = tempfile::tempdir_in("/dev/shm").expect("a directory on tmpfs");
    let options = PoolOptions::new(place.path().join("engine.pool")).size(2 << 30);
    let mut engine = Engine::open(&options)?;
    const OPERATIONS: usize = 200_000;

    println!(
        "{:<28} {:>9} {:>8} {:>8} {:>8} {:>8}",
        "operation", "ns", "fences", "mean", "lines", "budget"
    );
    let mut exceeded = false;
    for (len, label) in LENGTHS {
        for figure in strings(&mut engine, len, label, OPERATIONS)? {
            let budget = figure
                .budget
                .map_or("-".to_owned(), |budget| format!("<= {budget}"));
            let Figure {
                name,
                nanoseconds,
                fences,
                mean_fences,
                lines,
                ..
            } = &figure;
            println!(
                "{name:<28} {nanoseconds:>9.0} {fences:>8} {mean_fences:>8.2} {lines:>8.1} {budget:>8}"
            );
            exceeded |= figure.budget.is_some_and(|budget| figure.fences > budget);
        }
    }
    if check && exceeded {
        eprintln!("a fence budget is exceeded");
        std::process::exit(1);
    }
    Ok(())
}

/// Prints the fences of each operation as a page of the documentation. Unlike times, they are the same on
/// every machine.
fn print_fences() -> Result<()> {
    let place = tempfile::tempdir_in("/dev/shm").expect("a directory on tmpfs");
    let options = PoolOptions::new(place.path().join("engine.pool")).size(256 << 20);
    let mut engine = Engine::open(&options)?;
    println!("# Fences per operation\n");
    println!(
        "Of a typical operation: one in many also makes a slab page, which takes some more. This table is"
    );
    println!(
        "generated (`cargo run -p pmedis-bench --bin engine -- fences`), and a test compares it.\n"
    );
    println!("| operation | fences | at most |");
    println!("|---|---|---|");
    for (len, label) in LENGTHS {
        for figure in strings(&mut engine, len, label, 1_000)? {
            let budget = figure
                .budget
                .map_or("–".to_owned(), |most| most.to_string());
            println!(
                "| {} | {} | {budget} |",
                figure.name.trim_end(),
                figure.fences
            );
        }
    }
    Ok(())
}

/// libpmem reads its switches when it is loaded, before `main`'s code could set them safely.
fn relaunch_with_flushes() {
    if std::env::var_os("PMEM_IS_PMEM_FORCE").is_none() {
        let program = std::env::current_exe().expect("the path of this program");
        let status = std::process::Command::new(program)
            .args(std::env::args_os().skip(1))
            .env("PMEM_IS_PMEM_FORCE", "1")
            .status()
            .expect("this program starts");
        std::process::exit(status.code().unwrap_or(1));
    }
}

/// Measures `operation` over each element of `items`, `RUNS` times; `restore` undoes it in between.
fn measure<T: Copy>(
    engine: &mut Engine,
    name: &str,
    label: &str,
    budget: Option<u64>,
    items: &[T],
    mut operation: impl FnMut(&mut Engine, T) -> Result<()>,
) -> Result<Figure> {
    let mut times = Vec::with_capacity(RUNS);
    let mut fences = Vec::with_capacity(items.len());
    let counts = || powercut::interpose::counters().counts();
    let before = counts();
    let mut last = before.fences;
    for part in items.chunks(items.len().div_ceil(RUNS)) {
        let start = Instant::now();
        for &item in part {
            operation(engine, item)?;
            let now = counts().fences;
            fences.push(now - last);
            last = now;
        }
        times.push(start.elapsed().as_nanos() as f64 / part.len() as f64);
    }
    let after = counts();
    times.sort_by(f64::total_cmp);
    fences.sort_unstable();
    let per = |count: u64| count as f64 / items.len() as f64;
    Ok(Figure {
        name: format!("{name} {label}"),
        nanoseconds: times[times.len() / 2],
        fences: fences[fences.len() / 2],
        mean_fences: per(after.fences - before.fences),
        lines: per(after.lines - before.lines),
        budget,
    })
}

/// The figures of strings of `len` bytes, from so many operations each.
fn strings(engine: &mut Engine, len: usize, label: &str, operations: usize) -> Result<Vec<Figure>> {
    let count = if len > 4096 {
        operations.min(1_000)
    } else {
        operations
    };
    let value: Vec<u8> = (0..len).map(|at| b'a' + (at % 26) as u8).collect();
    let other: Vec<u8> = value.iter().rev().copied().collect();
    let mut figures = Vec::new();

    let mut records = Vec::with_capacity(count);
    let indices: Vec<usize> = (0..count).collect();
    figures.push(measure(
        engine,
        "SET new",
        label,
        Some(2),
        &indices,
        |engine, index| {
            records.push(set_new(engine, &key(index), &value)?);
            Ok(())
        },
    )?);
    shuffle(&mut records);
    figures.push(measure(
        engine,
        "SET overwrite",
        label,
        Some(4),
        &records,
        |engine, record| {
            edit(engine, record, |tx, root, inline| {
                string::set(tx, root, inline, Value::of(&other))
            })
        },
    )?);
    shuffle(&mut records);
    let mut total = 0u64;
    figures.push(measure(
        engine,
        "GET",
        label,
        Some(0),
        &records,
        |engine, record| {
            let inline = record::inline(&engine.pool, record)?;
            let root = record::get(&engine.pool, record)?.root;
            if let Some(Value::Bytes(bytes)) = string::read(&engine.pool, root, inline)? {
                total += bytes.len() as u64 + u64::from(bytes[bytes.len() - 1]);
            }
            Ok(())
        },
    )?);
    assert!(total >= (count * len) as u64, "every value was read");
    if len == 8 {
        for &record in &records {
            edit(engine, record, |tx, root, inline| {
                string::set(tx, root, inline, Value::Int(1))
            })?;
        }
        figures.push(measure(
            engine,
            "INCR",
            "",
            Some(1),
            &records,
            |engine, record| {
                edit(engine, record, |tx, root, inline| {
                    let Some(Value::Int(n)) = string::read(tx, *root, inline)? else {
                        return Err(pobj::Error::Damaged("not a number".into()));
                    };
                    string::set(tx, root, inline, Value::Int(n + 1))
                })
            },
        )?);
    }
    shuffle(&mut records);
    figures.push(measure(
        engine,
        "DEL",
        label,
        None,
        &records,
        |engine, record| engine.bury(record),
    )?);
    Ok(figures)
}

fn key(index: usize) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let digits = format!("{index:012}");
    key[4..].copy_from_slice(digits.as_bytes());
    key
}

fn set_new(engine: &mut Engine, key: &[u8], value: &[u8]) -> Result<RecordPtr> {
    let space = engine.dbs.space(&mut engine.pool, 0)?;
    let birth = engine.dbs.tick(&mut engine.pool)?;
    let value = Value::of(value);
    let mut tx = engine.pool.begin();
    let (record, inline) = record::reserve(&mut tx, key, value.inline_len())?;
    let mut root = Root::EMPTY;
    string::set(&mut tx, &mut root, inline, value)?;
    let fields = Fields {
        ty: ValueType::String,
        space,
        birth,
        expire_at: NEVER,
        root,
    };
    record::fill(&mut tx, record, key, fields)?;
    tx.commit()?;
    Ok(record)
}

fn edit(
    engine: &mut Engine,
    record: RecordPtr,
    f: impl FnOnce(&mut pobj::Tx<'_>, &mut Root, record::Inline) -> Result<()>,
) -> Result<()> {
    let mut tx = engine.pool.begin();
    let inline = record::inline(&tx, record)?;
    let old = record::get(&tx, record)?.root;
    let mut root = old;
    f(&mut tx, &mut root, inline)?;
    record::set_root(&mut tx, record, old, root)?;
    tx.commit()
}

/// A fixed permutation (multiplicative congruential steps), so that runs compare.
fn shuffle<T>(items: &mut [T]) {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    for at in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(at, (state % (at as u64 + 1)) as usize);
    }
}

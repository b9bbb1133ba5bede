//! `pmedis info`: what is in a pool, as text and as a page of HTML.

use crate::keys::Keys;
use crate::output::{Output, count, of};
use crate::report::{Report, Table};
use crate::{Failure, Outcome};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{self, Write};
use std::path::Path;
use store::value::ValueType;

/// Keys, and the bytes that they take.
#[derive(Clone, Copy, Default)]
struct Sum {
    keys: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.keys += 1;
        self.bytes += bytes;
    }
}

/// A key: its bytes, its name, its database, its type.
type Large = (u64, Vec<u8>, i32, &'static str);

/// A key's name for people: of a long one the beginning, and how many bytes it has.
fn shown(name: &[u8]) -> String {
    const BYTES: usize = 100;
    match name.get(..BYTES) {
        Some(begin) if name.len() > BYTES => {
            format!("{}... ({} bytes)", begin.escape_ascii(), name.len())
        }
        _ => name.escape_ascii().to_string(),
    }
}

/// Writes how full the pool is, the keys of each type and database, and the largest keys. O(keys);
/// of values as much is read as tells their size.
pub(crate) fn info(path: &Path, html: Option<&Path>, largest: usize) -> Result<Outcome, Failure> {
    let keys = Keys::open(path)?;
    let mut types = [Sum::default(); ValueType::ALL.len()];
    let mut dbs: BTreeMap<i32, Sum> = BTreeMap::new();
    let mut top: BinaryHeap<Reverse<Large>> = BinaryHeap::new();
    let (mut expiring, mut damaged) = (0u64, 0u64);
    keys.each("counting", |key| {
        let sized = key.and_then(|key| Ok((keys.bytes(&key)?, key)));
        let Ok((bytes, key)) = sized else {
            damaged += 1;
            return Ok(());
        };
        expiring += u64::from(key.expire_at.is_some());
        let of_type = ValueType::ALL.iter().position(|&ty| ty == key.ty);
        types[of_type.unwrap_or(0)].add(bytes);
        dbs.entry(key.db).or_default().add(bytes);
        if largest > 0 && (top.len() < largest || top.peek().is_some_and(|least| least.0.0 < bytes))
        {
            top.push(Reverse((bytes, key.name.to_vec(), key.db, key.ty.plural())));
            if top.len() > largest {
                top.pop();
            }
        }
        Ok(())
    })?;

    let usage = keys.pool.usage();
    let mut report = Report::new(format!("Pool {}", path.display()));
    let mut pool = Table::new("Room", ["", "bytes"]);
    for (name, bytes) in [
        ("size", usage.size),
        ("used", usage.used),
        ("free", usage.free),
        ("largest free piece", usage.largest_free),
        ("scattered in slab pages", usage.scattered),
        ("reserved", usage.reserved),
    ] {
        pool.row([name.into()], bytes);
    }
    report.add(pool);
    let mut of_types = Table::new("Types", ["type", "keys", "bytes"]);
    for (ty, sum) in ValueType::ALL.into_iter().zip(types) {
        of_types.row([ty.plural().into(), sum.keys.to_string()], sum.bytes);
    }
    report.add(of_types);
    let mut of_dbs = Table::new("Databases", ["database", "keys", "bytes"]);
    for (db, sum) in &dbs {
        of_dbs.row([db.to_string(), sum.keys.to_string()], sum.bytes);
    }
    report.add(of_dbs);
    let mut of_keys = Table::new("Largest keys", ["key", "database", "type", "bytes"]);
    for Reverse((bytes, name, db, ty)) in top.into_sorted_vec() {
        of_keys.row([shown(&name), db.to_string(), ty.into()], bytes);
    }
    report.add(of_keys);
    let total: u64 = types.iter().map(|sum| sum.keys).sum();
    report.note(format!(
        "{}, {expiring} with an expire time; {damaged} unreadable, see pmedis check. Format {}, log position {}.",
        count(total, "key"),
        // Opened, it has the newest; its file has it after the next start of a server.
        keys.pool.old_format().unwrap_or(pobj::FORMAT_VERSION),
        keys.pool.found_lsn()
    ));
    for fault in keys.faults() {
        report.note(format!("{fault}."));
    }
    io::stdout().write_all(report.text().as_bytes())?;
    if let Some(file) = html {
        let mut out = Output::to(Some(file), path)?;
        let written = out.write_all(report.html().as_bytes());
        written
            .and_then(|()| out.finish())
            .map_err(of(Some(file)))?;
    }
    Ok(keys.outcome(damaged))
}

//! Recordings of a program that forgets one word of a run: what a step says in the table of an
//! extent, of granules that it takes or gives back, is neither in its log record nor in its place.
//!
//! What a structure forgets, its own checks tell. Which granules are whose, only the words of runs
//! tell; so an exploration that passes one of these does not look at them.

use std::collections::HashMap;
use std::ops::Range;

use powercut::trace::{self, Event};
use powercut::{LINE_BYTES, Line, LineNumber, Recording};

use crate::POOL_SEED;

/// How an extent begins, at a multiple of this many bytes; see `pobj/src/alloc/extent.rs`.
const MAGIC: &[u8; 8] = b"PmExtent";
const GRANULE: usize = 4096;
/// Where its table starts.
const TABLE_AT: usize = 64;
const WORD: usize = size_of::<u64>();
/// Bytes of a log record's header; see `pobj/src/log_record.rs`.
const HEADER: usize = 32;

/// A word of a run that a step changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunWord {
    /// Its offset in the pool.
    pub offset: u64,
    /// What it was before the step; zero for granules that were free.
    pub before: u64,
    /// What the step makes of it; zero if it gives the granules back.
    pub after: u64,
}

/// The words of runs that the step `step` changes: each as it is at the step's end. The pool is a
/// plain file.
///
/// # Panics
/// If there is no such step.
pub fn run_words(recording: &Recording, step: usize) -> Vec<RunWord> {
    let tables = tables(&recording.base);
    let mut before: HashMap<LineNumber, Line> = HashMap::new();
    let begun = recording.steps[step].begun as usize;
    for (_, event) in trace::events(&recording.trace[..begun]) {
        if let Event::Store(line, contents) = event {
            before.insert(line, contents);
        }
    }
    let mut after: Vec<(LineNumber, Line)> = Vec::new();
    for event in recording.events(step) {
        if let Event::Store(line, contents) = event
            && tables
                .iter()
                .any(|table| table.contains(&(line as usize * LINE_BYTES)))
        {
            after.retain(|(other, _)| *other != line);
            after.push((line, contents));
        }
    }
    let changes = after.iter().flat_map(|(line, contents)| {
        let at = *line as usize * LINE_BYTES;
        let old = match before.get(line) {
            Some(old) => &old[..],
            None => &recording.base[at..at + LINE_BYTES],
        };
        let words = words(old).zip(words(contents)).enumerate();
        let words = words.filter(|(_, (before, after))| before != after);
        words.map(move |(nth, (before, after))| RunWord {
            offset: (at + nth * WORD) as u64,
            before,
            after,
        })
    });
    changes.collect()
}

/// The recording in which the step `step` forgets this word: it stays what it was before, until
/// another step changes it.
///
/// # Panics
/// If there is no such step.
pub fn forgetting(recording: &Recording, step: usize, word: RunWord) -> Recording {
    let mut mutant = recording.with_events(step, &without(recording.events(step), word));
    for later in step + 1..recording.steps.len() {
        let events = recording.events(later);
        let is_changed = changes(&events, word);
        mutant = mutant.with_events(later, &without(events, word));
        if is_changed {
            break;
        }
    }
    mutant
}

/// Whether the word is made something else than the forgetful step has made it.
fn changes(events: &[Event], word: RunWord) -> bool {
    events.iter().any(|event| match place_of(event, word) {
        Some(at) => at.1[at.0..at.0 + WORD] != word.after.to_le_bytes(),
        None => false,
    })
}

/// Where the word stands in the line that is stored to.
fn place_of(event: &Event, word: RunWord) -> Option<(usize, Line)> {
    let line = word.offset / LINE_BYTES as u64;
    match event {
        Event::Store(stored, contents) if u64::from(*stored) == line => {
            Some(((word.offset % LINE_BYTES as u64) as usize, *contents))
        }
        _ => None,
    }
}

/// The events without the word: not in its place, and in no record.
fn without(mut events: Vec<Event>, word: RunWord) -> Vec<Event> {
    let (before, after) = (word.before.to_le_bytes(), word.after.to_le_bytes());
    for event in &mut events {
        if let Some((at, mut contents)) = place_of(event, word)
            && contents[at..at + WORD] == after
        {
            contents[at..at + WORD].copy_from_slice(&before);
            *event = Event::Store((word.offset / LINE_BYTES as u64) as LineNumber, contents);
        }
    }
    // How a record says it: offset and length, then the word.
    let said = [word.offset | (WORD as u64) << 48, word.after]
        .map(u64::to_le_bytes)
        .concat();
    let mut from = 0;
    while let Some(stream) = stream_from(&events, from) {
        from = stream.last().map_or(events.len(), |(at, _)| at + 1);
        let mut bytes: Vec<u8> = stream.iter().flat_map(|(_, line)| *line).collect();
        let found = bytes.windows(said.len()).position(|window| window == said);
        let record = found.and_then(|at| Some((at, record_around(&bytes, at)?)));
        let Some((at, record)) = record else {
            continue;
        };
        bytes[at + WORD..][..WORD].copy_from_slice(&before);
        let sum = checksum(&bytes[record.clone()]);
        bytes[record.start + WORD..][..WORD].copy_from_slice(&sum.to_le_bytes());
        for ((at, _), line) in stream.iter().zip(bytes.chunks_exact(LINE_BYTES)) {
            if let Event::Store(_, contents) = &mut events[*at] {
                contents.copy_from_slice(line);
            }
        }
    }
    events
}

/// The next stores to neighbouring lines from the event number `from` on, each with its number.
fn stream_from(events: &[Event], from: usize) -> Option<Vec<(usize, Line)>> {
    let stores = events.iter().enumerate().skip(from);
    let mut stores = stores.filter_map(|(at, event)| match event {
        Event::Store(line, contents) => Some((at, *line, *contents)),
        _ => None,
    });
    let (at, mut last, contents) = stores.next()?;
    let mut stream = vec![(at, contents)];
    for (at, line, contents) in stores {
        if line != last + 1 {
            break;
        }
        last = line;
        stream.push((at, contents));
    }
    Some(stream)
}

/// The log record among these bytes that has the byte at `at`.
fn record_around(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let starts = (0..=at / LINE_BYTES).rev().map(|line| line * LINE_BYTES);
    let mut records = starts.filter_map(|start| {
        let header = bytes.get(start..start + HEADER)?;
        let len = u32::from_le_bytes(header[20..24].try_into().expect("4 bytes")) as usize;
        let record = start..start + HEADER + len;
        let sum = u64::from_le_bytes(header[8..16].try_into().expect("8 bytes"));
        let is_whole = bytes
            .get(record.clone())
            .is_some_and(|bytes| checksum(bytes) == sum);
        (is_whole && record.contains(&at)).then_some(record)
    });
    records.next()
}

fn checksum(record: &[u8]) -> u64 {
    let seq = u64::from_le_bytes(record[..8].try_into().expect("a record has a header"));
    let seed = POOL_SEED[0] ^ seq.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    xxhash_rust::xxh3::xxh3_64_with_seed(&record[16..], seed)
}

fn words(line: &[u8]) -> impl Iterator<Item = u64> {
    let words = line.chunks_exact(WORD);
    words.map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")))
}

/// Where the tables of the extents of a pool are.
fn tables(pool: &[u8]) -> Vec<Range<usize>> {
    let starts = (0..pool.len()).step_by(GRANULE);
    let extents = starts.filter(|&at| pool[at..].starts_with(MAGIC));
    let tables = extents.map(|at| {
        let granules = words(&pool[at + WORD..at + 2 * WORD]).next().unwrap_or(0) as usize;
        at + TABLE_AT..at + TABLE_AT + granules * WORD
    });
    tables.collect()
}

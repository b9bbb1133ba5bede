//! What happened to a pool's lines, in order: the record of a workload, as bytes.
//!
//! An event is one byte for its kind, the line's number (4 bytes, little-endian) if it is about
//! one, and the line's contents if it is a store. What a program tells others is an event too: the
//! port (2 bytes) and the number of bytes (4). So is what a pool has since another part has come to
//! it: its pages (4 bytes). Positions in a trace are byte offsets.

use std::ops::Range;

use crate::{LINE_BYTES, Line, LineNumber};

const STORE: u8 = b'S';
const FLUSH: u8 = b'F';
const FENCE: u8 = b'|';
const SENT: u8 = b'>';
const GROWN: u8 = b'G';

/// Something that happened to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The line was found to hold something new.
    Store(LineNumber, Line),
    /// What the line holds will be durable after the next fence.
    Flush(LineNumber),
    /// Everything flushed is durable.
    Fence,
    /// The program has sent so many bytes to its peer at this TCP port.
    Sent(u16, u32),
    /// The pool has so many pages since another part has come to it, which has zeros.
    Grown(u32),
}

impl Event {
    /// Appends the event to a trace.
    pub fn write(&self, trace: &mut Vec<u8>) {
        match self {
            Event::Store(line, contents) => {
                trace.push(STORE);
                trace.extend(line.to_le_bytes());
                trace.extend(contents);
            }
            Event::Flush(line) => {
                trace.push(FLUSH);
                trace.extend(line.to_le_bytes());
            }
            Event::Fence => trace.push(FENCE),
            Event::Sent(port, bytes) => {
                trace.push(SENT);
                trace.extend(port.to_le_bytes());
                trace.extend(bytes.to_le_bytes());
            }
            Event::Grown(pages) => {
                trace.push(GROWN);
                trace.extend(pages.to_le_bytes());
            }
        }
    }

    /// Takes the first event off `trace`; `None` if there is no whole one.
    fn read(trace: &mut &[u8]) -> Option<Event> {
        let (kind, rest) = trace.split_first()?;
        let mut rest = rest;
        let event = match *kind {
            STORE => {
                let line = LineNumber::from_le_bytes(*take(&mut rest)?);
                Event::Store(line, *take::<LINE_BYTES>(&mut rest)?)
            }
            FLUSH => Event::Flush(LineNumber::from_le_bytes(*take(&mut rest)?)),
            FENCE => Event::Fence,
            SENT => {
                let port = u16::from_le_bytes(*take(&mut rest)?);
                Event::Sent(port, u32::from_le_bytes(*take(&mut rest)?))
            }
            GROWN => Event::Grown(u32::from_le_bytes(*take(&mut rest)?)),
            other => panic!("not a trace: an event of the kind {other:#x}"),
        };
        *trace = rest;
        Some(event)
    }
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(first)
}

/// The events of `trace`, each with its position.
///
/// A last event that is cut off, as a killed process leaves it, is not given out.
///
/// # Panics
/// If `trace` is not a trace.
pub fn events(trace: &[u8]) -> impl Iterator<Item = (usize, Event)> {
    let mut rest = trace;
    std::iter::from_fn(move || {
        let position = trace.len() - rest.len();
        Event::read(&mut rest).map(|event| (position, event))
    })
}

/// The trace without the `n`th event (from 0) that `which` picks, and where that was; `None` if
/// there are not that many.
pub fn without(
    trace: &[u8],
    n: usize,
    which: impl Fn(&Event) -> bool,
) -> Option<(Vec<u8>, Range<usize>)> {
    let (start, event) = events(trace).filter(|(_, event)| which(event)).nth(n)?;
    let mut left_out = Vec::new();
    event.write(&mut left_out);
    let removed = start..start + left_out.len();
    let mut rest = trace.to_vec();
    rest.drain(removed.clone());
    Some((rest, removed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 6] = [
        Event::Store(7, [3; 64]),
        Event::Flush(7),
        Event::Fence,
        Event::Flush(0x01020304),
        Event::Sent(6379, 5),
        Event::Grown(0x0a0b),
    ];

    fn trace() -> Vec<u8> {
        let mut trace = Vec::new();
        EVENTS.iter().for_each(|event| event.write(&mut trace));
        trace
    }

    #[test]
    fn events_come_back_with_their_positions() {
        let (positions, read): (Vec<_>, Vec<_>) = events(&trace()).unzip();
        assert_eq!(read, EVENTS);
        assert_eq!(positions, [0, 69, 74, 75, 80, 87]);
    }

    #[test]
    fn a_torn_last_event_is_dropped() {
        let trace = trace();
        assert_eq!(events(&trace[..trace.len() - 1]).count(), 5);
    }

    #[test]
    fn a_flush_can_be_left_out() {
        let is_flush = |event: &Event| matches!(event, Event::Flush(_));
        let (rest, removed) = without(&trace(), 1, is_flush).expect("there are two");
        assert_eq!(removed, 75..80);
        assert_eq!(
            events(&rest).map(|(_, event)| event).collect::<Vec<_>>(),
            [&EVENTS[..3], &EVENTS[4..]].concat()
        );
        assert_eq!(without(&trace(), 2, is_flush), None);
    }
}

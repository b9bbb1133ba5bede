//! Changes of a set.

use super::{INTEGERS, KEY_AT, Member, PACKED, TABLE, find_packed};
use super::{integers, len, random};
use crate::layout::DATA;
use crate::number::parse_i64;
use crate::structures::limits::SetLimits;
use crate::structures::table::{self, BATCH, Editor, EntryPtr};
use crate::structures::{Root, packed};
use crate::value::ValueType;
use pobj::{Error, PPtr, Result, Tx};
use std::iter;

/// Adds members; gives the number of new ones. O(members); O(n) unless the set is a table.
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn add<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    limits: SetLimits,
    mut members: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<u64> {
    let mut first = None;
    if members.len() == 1
        && let Some(member) = members.next()
    {
        if let Some(added) = add_one(tx, root, limits, member)? {
            return Ok(added.into());
        }
        first = Some(member);
    }
    let before = len(*root);
    let mut members = first.into_iter().chain(members).peekable();
    if matches!(root.encoding(), 0 | INTEGERS) {
        add_integers(tx, root, limits, &mut members)?;
    }
    // A set of integers that is still one here has taken all members.
    if matches!(root.encoding(), 0 | PACKED) && members.peek().is_some() {
        add_packed(tx, root, limits, &mut members)?;
    }
    match root.encoding() {
        0 | INTEGERS | PACKED => {}
        TABLE => add_to_table(tx, root, &mut members)?,
        _ => return Err(root.unknown(ValueType::Set)),
    }
    Ok(len(*root) - before)
}

/// Moves a member from one set to another: whether it was in the first, and is new in the second.
/// O(1); O(n) of a set that is no table.
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn transfer(
    tx: &mut Tx<'_>,
    from: &mut Root,
    to: &mut Root,
    limits: SetLimits,
    member: &[u8],
) -> Result<(bool, bool)> {
    if remove(tx, from, iter::once(member))? == 0 {
        return Ok((false, false));
    }
    Ok((true, add(tx, to, limits, iter::once(member))? > 0))
}

type Rest<'m, I> = &'m mut std::iter::Peekable<I>;

/// Takes members while they are integers and few. With some left, it turns the set into another
/// encoding, which takes those.
fn add_integers<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    limits: SetLimits,
    members: Rest<'_, impl Iterator<Item = &'a [u8]>>,
) -> Result<()> {
    let old = (*root != Root::EMPTY)
        .then(|| packed::place(*root))
        .transpose()?;
    let mut numbers = match old {
        Some(_) => integers(tx, *root)?.to_vec(),
        None => Vec::new(),
    };
    while let Some(&member) = members.peek() {
        let Some(n) = parse_i64(member) else { break };
        if let Err(at) = numbers.binary_search(&n) {
            if numbers.len() as u64 >= limits.integers.elements() {
                break;
            }
            numbers.insert(at, n);
        }
        members.next();
    }
    if members.peek().is_none() {
        let bytes: &[u8] = bytemuck::cast_slice(&numbers);
        let object = packed::store(tx, old, bytes)?;
        *root = packed::root(INTEGERS, numbers.len() as u64, object, bytes.len());
        return Ok(());
    }
    if numbers.is_empty() {
        return Ok(());
    }
    if numbers.len() as u64 >= limits.members.elements() {
        let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
        return become_table(tx, root, old, texts.iter().map(String::as_bytes));
    }
    let mut bytes = Vec::new();
    for n in &numbers {
        packed::push(&mut bytes, itoa::Buffer::new().format(*n).as_bytes());
    }
    let object = packed::store(tx, None, &bytes)?;
    free_object(tx, old)?;
    *root = packed::root(PACKED, numbers.len() as u64, object, bytes.len());
    tx.step()
}

/// Takes members while they are short and few. With some left, it turns the set into a table.
fn add_packed<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    limits: SetLimits,
    members: Rest<'_, impl Iterator<Item = &'a [u8]>>,
) -> Result<()> {
    let old = (*root != Root::EMPTY)
        .then(|| packed::place(*root))
        .transpose()?;
    let (before, mut bytes) = match old {
        Some(_) => (packed::count(*root), packed::bytes(tx, *root)?.to_vec()),
        None => (0, Vec::new()),
    };
    let mut count = before;
    while let Some(&member) = members.peek() {
        let short = member.len() as u64 <= limits.members.element_len();
        if !short || !is_packed(&bytes, member)? {
            if !limits.members.admit(count, member.len()) {
                break;
            }
            packed::push(&mut bytes, member);
            count += 1;
        }
        members.next();
    }
    if members.peek().is_some() {
        let items = packed::items(&bytes).collect::<Result<Vec<_>>>()?;
        return become_table(tx, root, old, items.into_iter());
    }
    if count != before {
        let object = packed::store(tx, old, &bytes)?;
        *root = packed::root(PACKED, count, object, bytes.len());
    }
    Ok(())
}

/// Replaces a small set by a table of these members, all different.
fn become_table<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    old: Option<(PPtr<u8>, usize)>,
    members: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<()> {
    free_object(tx, old)?;
    *root = match members.len() {
        0 => table::create(tx, TABLE)?,
        _ => build_table(tx, members)?,
    };
    Ok(())
}

fn free_object(tx: &mut Tx<'_>, object: Option<(PPtr<u8>, usize)>) -> Result<()> {
    match object {
        Some((at, _)) => tx.free(at),
        None => Ok(()),
    }
}

fn add_to_table<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    members: Rest<'_, impl Iterator<Item = &'a [u8]>>,
) -> Result<()> {
    let mut first = true;
    while members.peek().is_some() {
        if !std::mem::take(&mut first) {
            tx.step()?;
        }
        let mut editor = Editor::<KEY_AT>::begin(tx, root)?;
        for member in members.by_ref().take(BATCH) {
            let hash = table::hash(editor.tx, member);
            if editor.find(member, hash)?.is_none() {
                let entry = new_entry(editor.tx, member)?;
                editor.insert(entry, hash)?;
            }
        }
        editor.finish()?;
    }
    Ok(())
}

/// Whether a member, mostly a new one, is among these of a packed set.
fn is_packed(bytes: &[u8], member: &[u8]) -> Result<bool> {
    Ok(!packed::lacks(bytes, member) && find_packed(bytes, member)?.is_some())
}

/// Adds a member in the way that writes least; `None`, with nothing written, if there is none but
/// the general one. Otherwise whether the member is new.
fn add_one(
    tx: &mut Tx<'_>,
    root: &mut Root,
    limits: SetLimits,
    member: &[u8],
) -> Result<Option<bool>> {
    match root.encoding() {
        PACKED => {
            if !limits.members.admit(len(*root), member.len()) {
                return Ok(None);
            }
            if is_packed(packed::bytes(tx, *root)?, member)? {
                return Ok(Some(false));
            }
            let added = packed::append(tx, root, [&[member.len() as u8], member])?;
            Ok(added.then_some(true))
        }
        TABLE => {
            let hash = table::hash(tx, member);
            let lookup = table::look_up::<KEY_AT>(tx, *root, member, hash)?;
            if lookup.found.is_none() {
                let entry = new_entry(tx, member)?;
                table::insert::<KEY_AT>(tx, root, &lookup, entry)?;
            }
            Ok(Some(lookup.found.is_none()))
        }
        _ => Ok(None),
    }
}

fn new_entry(tx: &mut Tx<'_>, member: &[u8]) -> Result<EntryPtr> {
    let size = KEY_AT + member.len() as u64;
    let len = u32::try_from(member.len()).map_err(|_| Error::TooLarge(size))?;
    let entry = tx.alloc(size, DATA)?;
    if size <= packed::JOIN_MAX as u64 {
        packed::join([&len.to_le_bytes(), member], |bytes| tx.fill(entry, bytes))?;
        return Ok(entry.ptr());
    }
    tx.fill_value(entry.cast(), &len)?;
    tx.fill(entry.at(KEY_AT), member)?;
    Ok(entry.ptr())
}

/// Removes members; gives the number of those that were there. O(members); O(n) unless the set is a
/// table.
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn remove<'a>(
    tx: &mut Tx<'_>,
    root: &mut Root,
    mut members: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<u64> {
    tx.removes();
    let before = len(*root);
    match root.encoding() {
        0 => {}
        INTEGERS => {
            let mut numbers = integers(tx, *root)?.to_vec();
            for n in members.filter_map(parse_i64) {
                if let Ok(at) = numbers.binary_search(&n) {
                    numbers.remove(at);
                }
            }
            let bytes = bytemuck::cast_slice(&numbers);
            shrink(tx, root, bytes, numbers.len() as u64)?;
        }
        PACKED => {
            let mut bytes = packed::bytes(tx, *root)?.to_vec();
            let mut count = before;
            for member in members {
                if let Some(at) = find_packed(&bytes, member)? {
                    bytes.drain(at..at + 1 + member.len());
                    count = count.saturating_sub(1);
                }
            }
            shrink(tx, root, &bytes, count)?;
        }
        TABLE if members.len() == 1 => {
            if let Some(member) = members.next() {
                table::remove_key::<KEY_AT>(tx, root, member)?;
            }
        }
        TABLE => {
            table::remove_keys::<KEY_AT>(tx, root, members)?;
        }
        _ => return Err(root.unknown(ValueType::Set)),
    }
    Ok(before - len(*root))
}

/// Writes a small set that lost members.
fn shrink(tx: &mut Tx<'_>, root: &mut Root, bytes: &[u8], count: u64) -> Result<()> {
    let old = packed::place(*root)?;
    if bytes.is_empty() {
        *root = Root::EMPTY;
        return tx.free(old.0);
    }
    if count != packed::count(*root) {
        let object = packed::store(tx, Some(old), bytes)?;
        *root = packed::root(root.encoding(), count, object, bytes.len());
    }
    Ok(())
}

/// Removes a random member of a set that is not empty, each with the same probability, and gives
/// it.
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn pop(tx: &mut Tx<'_>, root: &mut Root) -> Result<Vec<u8>> {
    tx.removes();
    if root.encoding() == TABLE {
        let found = table::random(tx, *root)?;
        let member = table::key::<KEY_AT>(tx, found.entry)?.to_vec();
        table::remove::<KEY_AT>(tx, root, found)?;
        tx.free(found.entry)?;
        return Ok(member);
    }
    let member = match random(tx, *root)? {
        Member::Integer(n) => itoa::Buffer::new().format(n).as_bytes().to_vec(),
        Member::Bytes(bytes) => bytes.to_vec(),
    };
    remove(tx, root, std::iter::once(member.as_slice()))?;
    Ok(member)
}

/// A set of members that all differ. O(members); a large one takes steps, and fewer than [`add`]
/// does.
///
/// # Errors
/// [`Damaged`, `Full`, `TooLarge`](crate::structures#errors).
pub fn build<'a>(
    tx: &mut Tx<'_>,
    limits: SetLimits,
    members: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<Root> {
    let few = limits.integers.elements().max(limits.members.elements());
    if members.len() as u64 <= few {
        let mut root = Root::EMPTY;
        add(tx, &mut root, limits, members)?;
        return Ok(root);
    }
    build_table(tx, members)
}

fn build_table<'a>(
    tx: &mut Tx<'_>,
    members: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<Root> {
    let mut builder = table::Builder::with_capacity(members.len());
    for member in members {
        let entry = new_entry(tx, member)?;
        let hash = table::hash(tx, member);
        builder.push(tx, entry, hash)?;
    }
    builder.finish(tx, TABLE)
}

/// A copy of the set, in its encoding. O(n).
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn copy(tx: &mut Tx<'_>, source: Root) -> Result<Root> {
    match source.encoding() {
        0 => return Ok(Root::EMPTY),
        INTEGERS | PACKED => return packed::copy(tx, source),
        _ => {}
    }
    let mut members = Vec::new();
    for member in super::members(tx, source)? {
        members.push(member?.bytes(&mut itoa::Buffer::new()).to_vec());
    }
    build_table(tx, members.iter().map(Vec::as_slice))
}

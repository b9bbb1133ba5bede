//! A list that is being read or changed: its header, in DRAM, until it is written back.

use super::Side;
use super::child::Child;
use super::chunk::{CHUNK_MAX, Chunk, Room, grown};
use super::entry::Packed;
use super::tree::{Path, Tree};
use crate::damaged::damaged;
use crate::layout::DATA;
use crate::structures::Root;
use crate::value::ValueType;
use bytemuck::{Pod, Zeroable};
use pobj::{PPtr, Pool, Result, Tx};
use static_assertions::const_assert_eq;

pub(crate) const SINGLE: u8 = 1;
pub(crate) const DEEP: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Header {
    pub head: Child,
    pub tail: Child,
    pub tree: Tree,
    pub reserved: u64,
}
const_assert_eq!(size_of::<Header>(), 64);

/// A list, opened: its root and header in DRAM, written back by [`List::close`].
pub(super) struct List {
    pub form: Form,
    /// The tree was changed since the last step.
    pub dirty: bool,
    /// The header on media, as it was.
    pub stored: Option<(PPtr<Header>, Header)>,
}

pub(super) enum Form {
    Empty,
    Single(Chunk),
    Deep {
        head: Option<Chunk>,
        tree: Tree,
        tail: Option<Chunk>,
    },
}

/// Where a chunk hangs.
pub(super) enum Place {
    Single,
    End(Side),
    Leaf(Path),
}

/// A chunk, where it hangs, and the number of an element in it.
pub(super) struct ElementPlace {
    pub place: Place,
    pub chunk: Chunk,
    pub number: usize,
}

impl List {
    pub(super) fn open(pool: &Pool, root: Root) -> Result<List> {
        let (form, stored) = match root.encoding() {
            0 if root == Root::EMPTY => (Form::Empty, None),
            SINGLE => (
                Form::Single(Chunk::of(Child {
                    at: root.value,
                    word: root.rest(),
                })?),
                None,
            ),
            DEEP => {
                let at = PPtr::new(root.value).ok_or_else(|| damaged("list: a null header"))?;
                let header: Header = *pool.get(at)?;
                let end = |child: Child| match child {
                    Child { at: 0, .. } => Ok(None),
                    child => Chunk::of(child).map(Some),
                };
                let (head, tail) = (end(header.head)?, end(header.tail)?);
                (
                    Form::Deep {
                        head,
                        tree: header.tree,
                        tail,
                    },
                    Some((at, header)),
                )
            }
            _ => return Err(root.unknown(ValueType::List)),
        };
        Ok(List {
            form,
            dirty: false,
            stored,
        })
    }

    /// Brings the list to its least form and writes it back.
    pub(super) fn close(mut self, tx: &mut Tx<'_>, root: &mut Root) -> Result<()> {
        self.normalize_ends(tx)?;
        if let (Form::Empty | Form::Single(_), Some((at, _))) = (&self.form, self.stored) {
            tx.free(at)?;
        }
        *root = match self.form {
            Form::Empty => Root::EMPTY,
            Form::Single(chunk) => Root::new(SINGLE, chunk.span.word(), chunk.at.offset()),
            Form::Deep { head, tree, tail } => {
                let child = |chunk: Option<Chunk>| chunk.map_or(Child::default(), Chunk::child);
                let header = Header {
                    head: child(head),
                    tail: child(tail),
                    tree,
                    reserved: 0,
                };
                let at = match self.stored {
                    Some((at, old)) => {
                        write_changes(tx, at, &old, &header)?;
                        at
                    }
                    None => tx.alloc_value(&header, DATA)?,
                };
                Root::new(DEEP, 0, at.offset())
            }
        };
        Ok(())
    }

    /// A list of two forms again: an end chunk without entries goes, and a tree chunk takes its
    /// place.
    pub(crate) fn normalize_ends(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        if let Form::Single(chunk) = self.form
            && chunk.span.count == 0
        {
            tx.free(chunk.at)?;
            self.form = Form::Empty;
        }
        for side in [Side::Left, Side::Right] {
            let Form::Deep { head, tree, tail } = &mut self.form else {
                return Ok(());
            };
            let (end, far) = match side {
                Side::Left => (head, tail),
                Side::Right => (tail, head),
            };
            if let Some(chunk) = end.filter(|chunk| chunk.span.count == 0) {
                tx.free(chunk.at)?;
                *end = None;
            }
            if end.is_some() {
                continue;
            }
            if tree.is_empty() {
                // What is left is the chunk at the far end, which may be empty too.
                let rest = far.take();
                self.form = rest.map_or(Form::Empty, Form::Single);
                return self.normalize_ends(tx);
            }
            if std::mem::replace(&mut self.dirty, true) {
                tx.step()?;
            }
            *end = Some(tree.pop(tx, side)?);
        }
        Ok(())
    }

    /// Makes the tree's last change visible, if there was one.
    pub(crate) fn step_if_dirty(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        if std::mem::take(&mut self.dirty) {
            tx.step()
        } else {
            Ok(())
        }
    }

    pub(super) fn len(&self) -> u64 {
        let count = |chunk: &Option<Chunk>| chunk.map_or(0, Chunk::count);
        match &self.form {
            Form::Empty => 0,
            Form::Single(chunk) => chunk.count(),
            Form::Deep { head, tree, tail } => count(head)
                .saturating_add(tree.count)
                .saturating_add(count(tail)),
        }
    }

    pub(crate) fn end_mut(&mut self, side: Side) -> Option<&mut Chunk> {
        match (&mut self.form, side) {
            (Form::Empty, _) => None,
            (Form::Single(chunk), _) => Some(chunk),
            (Form::Deep { head, .. }, Side::Left) => head.as_mut(),
            (Form::Deep { tail, .. }, Side::Right) => tail.as_mut(),
        }
    }

    /// The chunk of element `index`, which must be below the length. O(log n).
    pub(super) fn find(&self, pool: &Pool, index: u64) -> Result<ElementPlace> {
        let found = |place, chunk, index: u64| {
            Ok(ElementPlace {
                place,
                chunk,
                number: index as usize,
            })
        };
        match &self.form {
            Form::Single(chunk) if index < chunk.count() => found(Place::Single, *chunk, index),
            Form::Deep { head, tree, tail } => {
                let before = head.map_or(0, Chunk::count);
                match (head, tail) {
                    (Some(head), _) if index < before => {
                        found(Place::End(Side::Left), *head, index)
                    }
                    _ if index - before < tree.count => {
                        let (path, chunk, number) = tree.find(pool, index - before)?;
                        found(Place::Leaf(path), chunk, number as u64)
                    }
                    (_, Some(tail)) if index - before - tree.count < tail.count() => {
                        found(Place::End(Side::Right), *tail, index - before - tree.count)
                    }
                    _ => Err(damaged("list: its counts contradict each other")),
                }
            }
            _ => Err(damaged("list: an index beyond its end")),
        }
    }

    /// Puts one or two chunks where one was.
    pub(super) fn put(&mut self, tx: &mut Tx<'_>, place: Place, chunks: &[Chunk]) -> Result<()> {
        let &[first, .., last] = chunks else {
            let chunk = chunks[0];
            match (place, &mut self.form) {
                (Place::Single, form) => *form = Form::Single(chunk),
                (Place::End(Side::Left), Form::Deep { head, .. }) => *head = Some(chunk),
                (Place::End(Side::Right), Form::Deep { tail, .. }) => *tail = Some(chunk),
                (Place::Leaf(path), Form::Deep { .. }) => {
                    return self.put_in_tree(tx, &path, chunks);
                }
                _ => return Err(damaged("list: a chunk in no place")),
            }
            return Ok(());
        };
        match (place, &mut self.form) {
            (Place::Single, form) => {
                *form = Form::Deep {
                    head: Some(first),
                    tree: Tree::default(),
                    tail: Some(last),
                };
                Ok(())
            }
            (Place::End(Side::Left), Form::Deep { head, .. }) => {
                *head = Some(first);
                self.push_in_tree(tx, Side::Left, last)
            }
            (Place::End(Side::Right), Form::Deep { tail, .. }) => {
                *tail = Some(last);
                self.push_in_tree(tx, Side::Right, first)
            }
            (Place::Leaf(path), Form::Deep { .. }) => self.put_in_tree(tx, &path, chunks),
            _ => Err(damaged("list: a chunk in no place")),
        }
    }

    pub(crate) fn put_in_tree(
        &mut self,
        tx: &mut Tx<'_>,
        path: &Path,
        chunks: &[Chunk],
    ) -> Result<()> {
        let Form::Deep { tree, .. } = &mut self.form else {
            return Ok(());
        };
        self.dirty = true;
        tree.replace(tx, path, path.number()..path.number() + 1, chunks)
    }

    fn push_in_tree(&mut self, tx: &mut Tx<'_>, side: Side, chunk: Chunk) -> Result<()> {
        self.step_if_dirty(tx)?;
        let Form::Deep { tree, .. } = &mut self.form else {
            return Ok(());
        };
        self.dirty = true;
        tree.push(tx, side, chunk)
    }

    /// Bytes that the chunk at one end takes without a second chunk; 0 if there is none.
    pub(super) fn room(&mut self, pool: &Pool, side: Side) -> Result<usize> {
        let single = matches!(self.form, Form::Single(_));
        let Some(&mut chunk) = self.end_mut(side) else {
            return Ok(CHUNK_MAX);
        };
        let room = chunk.room(pool, side)?;
        Ok(if may_rebuild(pool, chunk, single)? {
            room.max(CHUNK_MAX - chunk.used())
        } else {
            room
        })
    }

    /// Adds `count` entries of at most `CHUNK_MAX` bytes together at one end; in order, if it is
    /// the right one.
    #[inline]
    pub(crate) fn push_run(
        &mut self,
        tx: &mut Tx<'_>,
        side: Side,
        run: &[u8],
        count: usize,
    ) -> Result<()> {
        let single = matches!(self.form, Form::Single(_));
        let Some(chunk) = self.end_mut(side) else {
            self.form = Form::Single(Chunk::build(
                tx,
                run,
                count,
                grown(run.len()),
                Room::At(side),
            )?);
            return Ok(());
        };
        if run.len() <= chunk.room(tx, side)? {
            return chunk.append(tx, side, run, count);
        }
        let used = chunk.used() + run.len();
        if used <= CHUNK_MAX && may_rebuild(tx, *chunk, single)? {
            let capacity = if single { grown(used) } else { CHUNK_MAX };
            *chunk = chunk.rebuild(tx, side, run, count, capacity)?;
            return Ok(());
        }
        let full = *chunk;
        let fresh = Chunk::build(tx, run, count, CHUNK_MAX, Room::At(side))?;
        match (&mut self.form, side) {
            (form @ Form::Single(_), Side::Left) => {
                *form = Form::Deep {
                    head: Some(fresh),
                    tree: Tree::default(),
                    tail: Some(full),
                };
                return Ok(());
            }
            (form, Side::Right) if single => {
                *form = Form::Deep {
                    head: Some(full),
                    tree: Tree::default(),
                    tail: Some(fresh),
                };
                return Ok(());
            }
            (Form::Deep { head, .. }, Side::Left) => *head = Some(fresh),
            (Form::Deep { tail, .. }, _) => *tail = Some(fresh),
            _ => {}
        }
        self.push_in_tree(tx, side, full)
    }

    /// Takes the entry at one end out, with its object if it has one; false if there is none.
    pub(super) fn take(&mut self, pool: &Pool, side: Side, packed: &mut Packed) -> Result<bool> {
        let Some(chunk) = self.end_mut(side) else {
            return Ok(false);
        };
        let len = chunk.copy_end(pool, side, packed)?;
        *chunk = chunk.shrunk(side, len);
        Ok(true)
    }

    /// Shows the chunks from one end on; see [`Tree::walk`].
    pub(super) fn walk(
        &self,
        pool: &Pool,
        side: Side,
        mut skip: u64,
        mut f: impl FnMut(Chunk, usize) -> Result<bool>,
    ) -> Result<()> {
        let mut visit = |chunk: &Option<Chunk>, skip: &mut u64| match chunk {
            Some(chunk) if *skip < chunk.count() => f(*chunk, std::mem::take(skip) as usize),
            _ => {
                *skip -= chunk.map_or(0, Chunk::count);
                Ok(true)
            }
        };
        match &self.form {
            Form::Empty => Ok(()),
            Form::Single(chunk) => visit(&Some(*chunk), &mut skip).map(|_| ()),
            Form::Deep { head, tree, tail } => {
                let (near, far) = match side {
                    Side::Left => (head, tail),
                    Side::Right => (tail, head),
                };
                if !visit(near, &mut skip)? {
                    return Ok(());
                }
                let go_on = if skip < tree.count {
                    tree.walk(
                        pool,
                        side,
                        std::mem::take(&mut skip),
                        &mut |chunk, inside| {
                            let mut inside = inside as u64;
                            visit(&Some(chunk), &mut inside)
                        },
                    )?
                } else {
                    skip -= tree.count;
                    true
                };
                if go_on {
                    visit(far, &mut skip)?;
                }
                Ok(())
            }
        }
    }
}

/// Whether a chunk that lacks room at one end moves to a new one rather than being full.
fn may_rebuild(pool: &Pool, chunk: Chunk, single: bool) -> Result<bool> {
    Ok(chunk.used() <= CHUNK_MAX / 2 || single && chunk.capacity(pool)? < CHUNK_MAX)
}

/// Writes the words of a header that differ.
pub(crate) fn write_changes(
    tx: &mut Tx<'_>,
    at: PPtr<Header>,
    old: &Header,
    new: &Header,
) -> Result<()> {
    let (old, new): (&[u64], &[u64]) = (
        bytemuck::cast_slice(std::slice::from_ref(old)),
        bytemuck::cast_slice(std::slice::from_ref(new)),
    );
    let mut word = 0;
    while word < new.len() {
        let len = (word..new.len()).take_while(|&i| old[i] != new[i]).count();
        if len > 0 {
            tx.write(
                at.at(8 * word as u64),
                bytemuck::cast_slice(&new[word..word + len]),
            )?;
        }
        word += len + 1;
    }
    Ok(())
}

//! Random changes of values, through the structures themselves and `pobj`, without a keyspace.
//!
//! A pool has two records, each with a value of the same type, and dead ones with parts of values
//! that were given up. A step of the workload is one acknowledged change: a transaction, kept or
//! dropped; a group of them; a step of reclaiming; or a trim.
//!
//! A type takes part by implementing [`Structure`]: what it does at random to a value and to a
//! model, and how a value is read.

mod actor;
mod check;
mod hash;
mod list;
mod recovered;
mod set;
mod sizes;
mod string;
mod zset;

pub use check::Owned;
pub use hash::Hashes;
pub use list::Lists;
pub use set::Sets;
pub use string::Strings;
pub use zset::ZSets;

use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::path::Path;

use fastrand::Rng;
use pobj::{Pool, Tx};
use powercut::{Steps, Workload};
use store::inline::Inline;
use store::structures::Root;
use store::value::ValueType;
use xxhash_rust::xxh3::Xxh3;

use crate::check::Opened;
use crate::states::States;
use actor::Actor;

/// The normal way back, and what must be there then.
pub type Check<S> = crate::check::Check<Values<S>>;

/// A value that is being changed, and what it must hold.
pub struct Value<M> {
    /// Where it hangs.
    pub root: Root,
    /// The area of its record that it may use.
    pub inline: Inline,
    /// What it holds.
    pub model: M,
}

/// A type of values, as the exploration sees it.
pub trait Structure {
    /// The type on media.
    const TYPE: ValueType;
    /// What a value holds, in DRAM.
    type Model: Clone + Default + PartialEq + Hash;

    /// Bytes of the record's area for a value.
    fn inline(_rng: &mut Rng) -> u64 {
        0
    }

    /// Makes an empty value one that a change or two brings over a threshold: a full chunk, a
    /// packed form that has no room, a tree about to get another level.
    fn build(tx: &mut Tx<'_>, rng: &mut Rng, value: &mut Value<Self::Model>) -> pobj::Result<()>;

    /// Changes a value and its model at random, as one command would. Gives the part that is given
    /// up and to be reclaimed later, if any.
    fn change(tx: &mut Tx<'_>, rng: &mut Rng, value: &mut Value<Self::Model>)
    -> pobj::Result<Root>;

    /// Moves something between two values.
    fn exchange(
        tx: &mut Tx<'_>,
        rng: &mut Rng,
        values: &mut [Value<Self::Model>; 2],
    ) -> pobj::Result<()>;

    /// Reads a value.
    fn read(pool: &Pool, root: Root, inline: Inline) -> pobj::Result<Self::Model>;

    /// A short form of what a model holds, that differs if that does.
    fn digest(model: &Self::Model) -> u64 {
        digest(model)
    }

    /// The same of a value, without a model where that would take long.
    fn read_digest(pool: &Pool, root: Root, inline: Inline) -> pobj::Result<u64> {
        Ok(Self::digest(&Self::read(pool, root, inline)?))
    }
}

/// A short form of elements in no particular order, that differs if they do or one is there twice.
fn digest_of_elements<E: Hash>(
    elements: impl Iterator<Item = pobj::Result<E>>,
) -> pobj::Result<u64> {
    let mut sum = 0_u64;
    for element in elements {
        sum = sum.wrapping_add(digest(&element?));
    }
    Ok(sum)
}

fn digest<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = Xxh3::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A mistake in changing values, which the exploration must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// The root is set to refer to what a change makes in a batch before it is made.
    LinkedFirst,
    /// The root, with the count, is set in a batch after that of the change, which has freed what
    /// the old root refers to.
    LinkedLast,
}

/// All mistakes.
pub const MISTAKES: [Mistake; 2] = [Mistake::LinkedFirst, Mistake::LinkedLast];

/// A workload of random changes of values of one type.
pub struct Values<S> {
    /// Decides what is done.
    pub seed: u64,
    /// How many steps there are.
    pub steps: usize,
    /// What is done wrongly, if anything.
    pub mistake: Option<Mistake>,
    structure: PhantomData<S>,
}

impl<S> Values<S> {
    /// The workload of this seed.
    pub fn new(seed: u64, steps: usize) -> Values<S> {
        Values {
            seed,
            steps,
            mistake: None,
            structure: PhantomData,
        }
    }
}

impl<S: Structure> Workload for Values<S> {
    fn prepare(&self, pool: &Path) {
        crate::create_pool(pool);
        let mut rng = Rng::with_seed(self.seed);
        Actor::<S>::build(Pool::of(pool).expect("the pool opens"), &mut rng)
            .expect("there is room");
    }

    fn run(&self, pool: &Path, steps: &mut Steps) {
        let rng = Rng::with_seed(!self.seed);
        let mut actor =
            Actor::<S>::new(Pool::of(pool).expect("the pool opens"), rng).expect("sound");
        actor.mistake = self.mistake;
        actor.pool.set_commit_mode(crate::commit_mode(self.seed));
        let mut states = States::default();
        states.push(actor.describe());
        for _ in 0..self.steps {
            steps.step(|| {
                actor.act().expect("there is room");
                actor.pool.sync().expect("there is no journal to fail");
            });
            states.push(actor.describe());
        }
        let path = States::path_for(pool);
        states.write(&path).expect("the directory is writable");
    }
}

/// Random bytes.
fn content(rng: &mut Rng, len: usize) -> Vec<u8> {
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

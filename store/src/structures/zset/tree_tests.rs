//! The tree against a sorted vector: every rank, walk and search, and the shape, after each change.

use super::bulk::{build, dismantle};
use super::edit::Editor;
use super::node::{Bound, Element, Inner, LEAF_MAX, Leaf, Member, NodePtr, compare, member};
use super::single;
use super::tree::Tree;
use crate::layout::pool_at;
use pobj::{Durability, Pool};
use std::ops::Range;
use tempfile::TempDir;

struct Bed {
    pool: Pool,
    tree: Tree,
    /// The next change goes through an editor, whatever the leaf.
    edits: bool,
    model: Vec<(f64, Vec<u8>)>,
    _place: TempDir,
}

impl Bed {
    fn new() -> Bed {
        let place = tempfile::Builder::new()
            .prefix("zset-")
            .tempdir_in("/dev/shm")
            .unwrap();
        let options = pool_at(place.path().join("pool"))
            .durability(Durability::Process)
            .size(64 << 20);
        let pool = Pool::open(&options).unwrap();
        Bed {
            pool,
            tree: Tree::EMPTY,
            edits: false,
            model: Vec::new(),
            _place: place,
        }
    }

    fn place_of(&self, score: f64, name: &[u8]) -> Result<usize, usize> {
        self.model
            .binary_search_by(|(s, n)| compare((*s, n), (score, name)))
    }

    fn insert(&mut self, score: f64, name: &[u8]) {
        let Err(at) = self.place_of(score, name) else {
            return;
        };
        let mut tx = self.pool.begin();
        let ptr = Member::create(&mut tx, name, score).unwrap();
        let member = Some(ptr);
        let element = Element { score, member };
        self.tree = if self.edits {
            let mut editor = Editor::new(&mut tx, self.tree);
            editor.insert(element, name).unwrap();
            editor.finish().unwrap()
        } else {
            single::insert(&mut tx, self.tree, element, name, None).unwrap()
        };
        tx.commit().unwrap();
        self.model.insert(at, (score, name.to_vec()));
    }

    /// The element of this rank.
    fn element(&self, at: usize) -> Element {
        let mut walk = self.tree.walk(&self.pool, at as u64, false).unwrap();
        walk.next_element().unwrap().expect("a rank")
    }

    fn remove(&mut self, at: usize) {
        let element = self.element(at);
        let (score, name) = self.model.remove(at);
        let mut tx = self.pool.begin();
        self.tree = if self.edits {
            let mut editor = Editor::new(&mut tx, self.tree);
            assert_eq!(editor.remove(score, &name).unwrap(), element);
            editor.finish().unwrap()
        } else {
            single::remove(&mut tx, self.tree, element, &name).unwrap()
        };
        tx.free(element.member.unwrap()).unwrap();
        tx.commit().unwrap();
    }

    /// Takes an element off an end.
    fn pop(&mut self, last: bool) {
        let at = if last { self.model.len() - 1 } else { 0 };
        let (score, _) = self.model.remove(at);
        let mut tx = self.pool.begin();
        let place = self.tree.end(&tx, last).unwrap();
        let found = tx.get(place.path.leaf).unwrap().element(place.at);
        let element = found.unwrap();
        assert_eq!(element.score, score);
        self.tree = single::pop(&mut tx, self.tree, &place).unwrap();
        tx.free(element.member.unwrap()).unwrap();
        tx.commit().unwrap();
    }

    /// One element gets another score, in one step.
    fn change(&mut self, at: usize, score: f64) {
        let element = self.element(at);
        let (old, name) = self.model.remove(at);
        let mut tx = self.pool.begin();
        self.tree = if self.edits {
            let mut editor = Editor::new(&mut tx, self.tree);
            assert_eq!(editor.remove(old, &name).unwrap(), element);
            editor.insert(Element { score, ..element }, &name).unwrap();
            editor.finish().unwrap()
        } else {
            single::rescore(&mut tx, self.tree, element, &name, score, None).unwrap()
        };
        Member::set_score(&mut tx, element.member.unwrap(), score).unwrap();
        tx.commit().unwrap();
        let at = self.place_of(score, &name).unwrap_err();
        self.model.insert(at, (score, name));
    }

    /// Cuts some elements out, and frees them leaf by leaf.
    fn cut(&mut self, ranks: Range<usize>) {
        let mut gone: Vec<_> = self.model.drain(ranks.clone()).collect();
        let mut tx = self.pool.begin();
        let mut editor = Editor::new(&mut tx, self.tree);
        let cut = editor.cut(ranks.start as u64..ranks.end as u64).unwrap();
        self.tree = editor.finish().unwrap();
        tx.commit().unwrap();
        assert_eq!(cut.len, gone.len() as u64);
        let mut is_last = false;
        while !is_last {
            let mut tx = self.pool.begin();
            let shed = cut.shed(&mut tx).unwrap();
            for ptr in shed.0.into_iter().rev() {
                let (name, score) = member(&tx, ptr).unwrap();
                assert_eq!(gone.pop(), Some((score, name.to_vec())));
                tx.free(ptr).unwrap();
            }
            tx.commit().unwrap();
            is_last = shed.1;
        }
        assert!(gone.is_empty());
    }

    fn check(&self) {
        assert_eq!(self.tree.len, self.model.len() as u64);
        if self.model.is_empty() {
            return;
        }
        let first = self.check_node(
            self.tree.root.unwrap(),
            self.tree.height,
            self.tree.len,
            true,
        );
        assert_eq!(first, (self.model[0].0, self.model[0].1.clone()));
        let mut walk = self.tree.walk(&self.pool, 0, false).unwrap();
        for (score, name) in &self.model {
            let (found, at) = walk
                .next_member()
                .unwrap()
                .expect("as many as in the model");
            assert_eq!((found, at), (name.as_slice(), *score));
        }
        assert!(walk.next_member().unwrap().is_none());
    }

    /// Checks the shape below a node; gives the first element.
    fn check_node(&self, at: NodePtr, height: usize, count: u64, root: bool) -> (f64, Vec<u8>) {
        if height == 0 {
            let leaf: &Leaf = self.pool.get(at.cast()).unwrap();
            assert!(count as usize <= LEAF_MAX);
            let first = leaf.element(0).unwrap();
            for i in 0..count as usize {
                let element = leaf.element(i).unwrap();
                let (_, score) = member(&self.pool, element.member.unwrap()).unwrap();
                assert_eq!(score, element.score, "the leaf's copy of the score");
            }
            let (name, score) = member(&self.pool, first.member.unwrap()).unwrap();
            return (score, name.to_vec());
        }
        let inner: &Inner = self.pool.get(at.cast()).unwrap();
        let n = inner.len().unwrap();
        assert!(n > 1 || !root, "the root has two children at least");
        assert_eq!(inner.counts().unwrap().iter().sum::<u64>(), count);
        let mut firsts = Vec::new();
        for i in 0..n {
            let child = inner.child(i);
            let first = self.check_node(child.node.unwrap(), height - 1, child.count, false);
            if i > 0 {
                let (name, _) = member(&self.pool, child.first.member.unwrap()).unwrap();
                assert_eq!(
                    (child.first.score, name),
                    (first.0, first.1.as_slice()),
                    "separator"
                );
            }
            firsts.push(first);
        }
        firsts.swap_remove(0)
    }
}

fn name(n: u32) -> Vec<u8> {
    format!("m{n}").into_bytes()
}

fn campaign(seed: u64, rounds: usize, scores: u32) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bed = Bed::new();
    let mut growing = true;
    let mut next = 0;
    for round in 0..rounds {
        if bed.model.len() > rounds / 4 {
            growing = false;
        } else if bed.model.is_empty() {
            growing = true;
        }
        let score = match random.u8(..20) {
            0 => f64::INFINITY,
            1 => f64::NEG_INFINITY,
            _ => f64::from(random.u32(..scores)),
        };
        let n = bed.model.len();
        bed.edits = random.u8(..4) == 0;
        match random.u8(..10) {
            _ if n > 0 && random.u8(..100) == 0 => {
                let most = if random.bool() { n } else { n.min(70) };
                let len = random.usize(1..=most);
                let from = random.usize(..=n - len);
                bed.cut(from..from + len);
                bed.check();
            }
            0 if n > 0 => bed.change(random.usize(..n), score),
            // Mostly inside its leaf.
            1 if n > 0 => {
                let at = random.usize(..n);
                let by = random.u32(..1 + scores / 1000);
                bed.change(
                    at,
                    bed.model[at].0 + f64::from(by) - f64::from(scores / 2000),
                );
            }
            2 if n > 0 => bed.remove(if random.bool() { 0 } else { random.usize(..n) }),
            3 if n > 0 => bed.pop(random.bool()),
            _ if growing => {
                next += 1;
                bed.insert(score, &name(next ^ 0x155));
            }
            _ if n > 0 => bed.remove(random.usize(..n)),
            _ => {}
        }
        if round % 37 == 0 {
            bed.check();
            let (low, high) = (f64::from(random.u32(..scores)), random.bool());
            let bound = if high {
                Bound::AfterScore(low)
            } else {
                Bound::BeforeScore(low)
            };
            let expected = bed
                .model
                .partition_point(|(s, _)| if high { *s <= low } else { *s < low });
            if !bed.model.is_empty() {
                assert_eq!(bed.tree.rank(&bed.pool, &bound).unwrap(), expected as u64);
                let from = random.usize(..bed.model.len());
                let mut walk = bed.tree.walk(&bed.pool, from as u64, true).unwrap();
                for (score, name) in bed.model[..=from].iter().rev() {
                    assert_eq!(walk.next_member().unwrap(), Some((name.as_slice(), *score)));
                }
                assert!(walk.next_member().unwrap().is_none());
            }
        }
    }
    while !bed.model.is_empty() {
        bed.remove(random.usize(..bed.model.len()));
        if bed.model.len().is_multiple_of(100) {
            bed.check();
        }
    }
    assert_eq!(
        (bed.tree, bed.pool.usage().used),
        (Tree::EMPTY, 0),
        "seed {seed}"
    );
}

#[test]
fn random_changes_match_the_model() {
    for (seed, scores) in [(1, 1), (2, 3), (3, 1000), (4, 1 << 30)] {
        println!("seed {seed}");
        campaign(seed, 12_000, scores);
    }
}

#[test]
fn elements_in_order_fill_their_leaves() {
    let mut bed = Bed::new();
    for i in 0..20_000u32 {
        bed.insert(f64::from(i), &name(i));
    }
    bed.check();
    let members = 20_000 * 32;
    let tree = bed.pool.usage().used - members;
    assert!(
        tree < 20_000 * 20,
        "{tree} bytes for 20,000 elements in order"
    );
}

#[test]
fn random_order_leaves_little_room_unused() {
    let mut bed = Bed::new();
    let mut random = fastrand::Rng::with_seed(5);
    for i in 0..20_000u32 {
        bed.insert(random.f64(), &name(i));
    }
    bed.check();
    let tree = bed.pool.usage().used - 20_000 * 32;
    assert!(
        tree < 20_000 * 24,
        "{tree} bytes for 20,000 elements in random order"
    );
}

#[test]
fn changes_take_one_fence() {
    let mut bed = Bed::new();
    let mut random = fastrand::Rng::with_seed(6);
    for i in 0..50_000u32 {
        bed.insert(random.f64(), &name(i));
    }
    let before = bed.pool.traffic();
    for i in 0..1000 {
        bed.insert(random.f64(), &name(100_000 + i));
    }
    let fences = bed.pool.traffic().fences - before.fences;
    assert!(fences < 1150, "{fences} fences for 1000 insertions");
    let before = bed.pool.traffic();
    for _ in 0..1000 {
        bed.change(random.usize(..50_000), random.f64());
    }
    let fences = bed.pool.traffic().fences - before.fences;
    assert!(fences < 1150, "{fences} fences for 1000 moves");
}

#[test]
fn a_built_tree_is_sound_and_can_be_taken_apart_in_steps() {
    for n in [1usize, 27, 28, 1000, 30_000] {
        let mut bed = Bed::new();
        let mut elements = Vec::new();
        let mut tx = bed.pool.begin();
        for i in 0..n {
            let (score, name) = ((i / 3) as f64, format!("{i:012}").into_bytes());
            let ptr = Member::create(&mut tx, &name, score).unwrap();
            elements.push(Element {
                score,
                member: Some(ptr),
            });
            bed.model.push((score, name));
        }
        bed.tree = build(&mut tx, &elements).unwrap();
        tx.commit().unwrap();
        bed.check();
        let mut steps = 0;
        while bed.tree.len > 0 {
            let mut tx = bed.pool.begin();
            bed.tree = dismantle(&mut tx, bed.tree, 100).unwrap();
            tx.commit().unwrap();
            steps += 1;
        }
        assert_eq!(bed.pool.usage().used, n as u64 * 32, "the members are left");
        assert!(
            steps >= n / 3000 && steps <= n / 2500 + 2,
            "{steps} steps for {n}"
        );
    }
}

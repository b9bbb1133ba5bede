//! From a table and a seed to a sequence of commands.

use super::grammar::{Spec, Table, Term};
use super::{DBS, KEYS, Sequence, Step, Word, values};
use fastrand::Rng;

/// The longest sequence.
const STEPS_MAX: usize = 60;

/// How many of a hundred commands get their arguments bent out of shape.
const BENT_PERCENT: u8 = 8;

/// Makes the sequence of `seed`: the same one each time, as long as the table stays the same.
pub fn sequence(table: &Table, seed: u64) -> Sequence {
    let mut rng = Rng::with_seed(seed);
    let specs: Vec<&'static Spec> = table.here().collect();
    let len = rng.usize(5..=STEPS_MAX);
    let resp3 = rng.bool();
    let steps = (0..len).map(|_| step(&mut rng, &specs)).collect();
    Sequence { seed, resp3, steps }
}

fn step(rng: &mut Rng, specs: &[&'static Spec]) -> Step {
    let spec = draw(rng, specs);
    let mut arguments = Arguments {
        words: Vec::new(),
        relative_time: false,
    };
    for term in spec.grammar {
        arguments.add(rng, term);
    }
    if percent(rng, BENT_PERCENT) && spec.bent {
        bend(rng, &mut arguments.words);
    }
    Step {
        spec,
        words: arguments.words,
        relative_time: arguments.relative_time,
        check_expiry: percent(rng, 60),
        check_watch: percent(rng, 20),
        check_state: percent(rng, 15),
    }
}

fn percent(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(..100) < percent
}

/// Draws a command according to the weights.
fn draw(rng: &mut Rng, specs: &[&'static Spec]) -> &'static Spec {
    let total: u32 = specs.iter().map(|spec| spec.weight).sum();
    let mut ticket = rng.u32(..total);
    for spec in specs {
        if ticket < spec.weight {
            return spec;
        }
        ticket -= spec.weight;
    }
    unreachable!("a ticket below the sum of the weights belongs to a command")
}

/// Makes good arguments bad: one missing, one too many, one that does not belong.
fn bend(rng: &mut Rng, words: &mut Vec<Word>) {
    let at = rng.usize(..=words.len());
    match rng.u8(..4) {
        0 => words.truncate(at),
        1 if at < words.len() => {
            words.remove(at);
        }
        // A database given as data would be the same one on both sides.
        2 if at < words.len() && !matches!(words[at], Word::Db(_)) => {
            words[at] = Word::Data(values::junk(rng));
        }
        _ => words.insert(at, Word::Data(values::junk(rng))),
    }
}

struct Arguments {
    words: Vec<Word>,
    relative_time: bool,
}

impl Arguments {
    fn add(&mut self, rng: &mut Rng, term: &Term) {
        let word = match *term {
            Term::Key => Word::Key(key(rng)),
            Term::KeyNumber(at) => Word::Key(KEYS[at]),
            Term::Dump => Word::Dump(key(rng)),
            Term::Data(text) => Word::Data(text.into()),
            Term::Value => Word::Data(values::value(rng)),
            Term::Element => Word::Data(values::element(rng)),
            Term::Integer => Word::Data(values::integer(rng)),
            Term::Float => Word::Data(values::float(rng)),
            Term::Offset => Word::Data(values::offset(rng)),
            Term::Bit => Word::Data(values::bit(rng)),
            Term::Degrees => Word::Data(values::degrees(rng)),
            Term::Seconds => self.relative(values::relative_time(rng, 1000)),
            Term::Millis => self.relative(values::relative_time(rng, 1)),
            Term::UnixSeconds => Word::Fixed(values::unix_time(rng, 1000)),
            Term::UnixMillis => Word::Fixed(values::unix_time(rng, 1)),
            Term::Db => Word::Db(rng.u8(..DBS)),
            Term::Word(text) => match rng.u8(..10) {
                0 => Word::Fixed(text.to_ascii_lowercase().into_bytes()),
                1 => Word::Fixed(text.bytes().map(|byte| mixed_case(rng, byte)).collect()),
                _ => Word::Fixed(text.into()),
            },
            Term::All(terms) => return terms.iter().for_each(|term| self.add(rng, term)),
            Term::One(terms) => {
                let chosen = rng.usize(..terms.len());
                return self.add(rng, &terms[chosen]);
            }
            Term::Options(terms) => {
                let mut chosen: Vec<&Term> = terms.iter().filter(|_| percent(rng, 35)).collect();
                rng.shuffle(&mut chosen);
                return chosen.into_iter().for_each(|term| self.add(rng, term));
            }
            Term::Times(min, max, term) => {
                return (0..rng.usize(min..=max)).for_each(|_| self.add(rng, term));
            }
            Term::Counted(min, max, term) => {
                let times = rng.usize(min..=max);
                self.words.push(Word::Fixed(times.to_string().into_bytes()));
                return (0..times).for_each(|_| self.add(rng, term));
            }
        };
        self.words.push(word);
    }

    fn relative(&mut self, time: Vec<u8>) -> Word {
        self.relative_time = true;
        Word::Fixed(time)
    }
}

/// The first keys are drawn more often than the last ones.
fn key(rng: &mut Rng) -> &'static [u8] {
    KEYS[rng.usize(..KEYS.len()).min(rng.usize(..KEYS.len()))]
}

fn mixed_case(rng: &mut Rng, byte: u8) -> u8 {
    if rng.bool() {
        byte.to_ascii_lowercase()
    } else {
        byte.to_ascii_uppercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::tables::STRING;

    #[test]
    fn a_seed_gives_the_same_sequence_each_time() {
        for seed in 0..50 {
            let [one, two] = [(); 2].map(|()| sequence(&STRING, seed));
            assert_eq!(format!("{:?}", one.steps), format!("{:?}", two.steps));
            assert_eq!(one.resp3, two.resp3);
        }
        let [one, two] = [0, 1].map(|seed| format!("{:?}", sequence(&STRING, seed).steps));
        assert_ne!(one, two);
    }
}

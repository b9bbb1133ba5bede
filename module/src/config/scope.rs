//! Keys of which native names mean PM keys: the value of `unprefixed`.

use super::value::Value;
use crate::glob;

/// Keys: all of them, or those of some databases, or of some names, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The databases' numbers; none stands for all.
    pub dbs: Vec<i32>,
    /// Patterns of keys' names; none stands for all names.
    pub patterns: Vec<Vec<u8>>,
}

impl Scope {
    /// What begins the value of a scope that is a database's number.
    const DATABASE: &[u8] = b"db=";

    /// Whether it is all keys.
    pub fn is_all(&self) -> bool {
        self.dbs.is_empty() && self.patterns.is_empty()
    }

    /// Whether keys of a database can be among them.
    pub fn has_database(&self, db: i32) -> bool {
        self.dbs.is_empty() || self.dbs.contains(&db)
    }

    /// Whether keys of a name can be among them.
    pub fn has_name(&self, name: &[u8]) -> bool {
        let mut patterns = self.patterns.iter();
        self.patterns.is_empty() || patterns.any(|pattern| glob::matches(pattern, name))
    }
}

/// What it may be.
const EXPECTED: &str = "yes, no, db=<number> or a pattern of keys";

/// A scope, or none: `no`, `yes`, or words of which each is `db=<number>` or a pattern of keys.
///
/// A space within a pattern has a backslash before it, which patterns allow.
pub(super) struct Keys<'a>(pub &'a mut Option<Scope>);

impl Value for Keys<'_> {
    fn read(&mut self, text: &[u8]) -> Result<(), String> {
        let mut scope = None;
        let mut begin = 0;
        for end in unescaped_spaces(text).chain([text.len()]) {
            if begin < end {
                Keys(&mut scope).add(&text[begin..end])?;
            }
            begin = end + 1;
        }
        *self.0 = scope;
        Ok(())
    }

    fn add(&mut self, word: &[u8]) -> Result<(), String> {
        let is = |other: &[u8]| word.eq_ignore_ascii_case(other);
        let alone = |scope: &Option<Scope>| match scope {
            None => Ok(()),
            Some(_) => Err("yes or no once, and nothing beside it".to_owned()),
        };
        if is(b"no") {
            return alone(self.0);
        }
        if is(b"yes") {
            alone(self.0)?;
            *self.0 = Some(Scope::default());
            return Ok(());
        }
        if self.0.as_ref().is_some_and(Scope::is_all) {
            return alone(self.0);
        }
        let number = |text| std::str::from_utf8(text).ok()?.parse::<i32>().ok();
        match word.strip_prefix(Scope::DATABASE) {
            Some(text) => {
                let db = number(text).filter(|&db| db >= 0);
                let db = db.ok_or("the number of a database, as in db=3")?;
                self.0.get_or_insert_default().dbs.push(db);
            }
            None if word.is_empty() => return Err(EXPECTED.into()),
            None => {
                let mut pattern = word.to_vec();
                let spaces: Vec<usize> = unescaped_spaces(word).collect();
                for at in spaces.into_iter().rev() {
                    pattern.insert(at, b'\\');
                }
                self.0.get_or_insert_default().patterns.push(pattern);
            }
        }
        Ok(())
    }

    fn show(&self) -> Vec<u8> {
        match &*self.0 {
            None => b"no".to_vec(),
            Some(scope) if scope.is_all() => b"yes".to_vec(),
            Some(scope) => {
                let dbs = scope.dbs.iter().map(|db| format!("db={db}").into_bytes());
                let words: Vec<Vec<u8>> = dbs.chain(scope.patterns.iter().cloned()).collect();
                words.join(&b' ')
            }
        }
    }

    fn range(&self) -> String {
        "`yes`, `no`, or `db=N` and patterns of keys".into()
    }
}

/// Where the spaces are that no backslash precedes.
fn unescaped_spaces(text: &[u8]) -> impl Iterator<Item = usize> {
    let mut escaped = false;
    text.iter().enumerate().filter_map(move |(at, &byte)| {
        let plain = !escaped;
        escaped = plain && byte == b'\\';
        (plain && byte == b' ').then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Scope>, String> {
        let mut scope = None;
        Keys(&mut scope).read(text.as_bytes()).map(|()| scope)
    }

    #[test]
    fn scopes_are_read_and_shown() {
        assert_eq!(read("No"), Ok(None));
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("Yes"), Ok(Some(Scope::default())));
        let some = Scope {
            dbs: vec![0, 12],
            patterns: vec![br"a\ b*".to_vec(), b"c*".to_vec()],
        };
        for text in [r"db=0 db=12 a\ b* c*", r"a\ b*  db=0 c* db=12 "] {
            assert_eq!(read(text), Ok(Some(some.clone())), "{text}");
        }
        assert_eq!(Keys(&mut Some(some)).show(), br"db=0 db=12 a\ b* c*");
        for wrong in ["yes a*", "a* no", "yes yes", "db=", "db=-1", "db=a"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_word_may_have_spaces() {
        let mut scope = None;
        Keys(&mut scope).add(b"a b").unwrap();
        let shown = Keys(&mut scope).show();
        assert_eq!(shown, br"a\ b");
        assert_eq!(read(std::str::from_utf8(&shown).unwrap()), Ok(scope));
    }
}

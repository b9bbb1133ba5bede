//! What OBJECT ENCODING calls the encodings: by the name of Redis's encoding that is most like it.
//!
//! The names stand with each type ([`Structure::encoding`](super::Structure::encoding)).

/// Which encodings the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Sets that are listpacks, as Redis does from 7.2 on.
    pub listpack_sets: bool,
    /// Lists that are listpacks, up to this size, as Redis does from 7.2 on.
    pub listpack_lists: Option<ListpackMax>,
    /// Hashes that are listpacks though fields expire, as Redis does, and Valkey does not.
    pub listpacks_with_times: bool,
    /// Bytes of the longest string that it would keep in one piece with this key's object; below
    /// zero if there is none.
    pub embedded_max: i64,
    /// The lengths of shorter ones that it would not, from one to another.
    pub embedded_gap: Option<(i64, i64)>,
}

/// Up to which size a list is a listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListpackMax {
    /// Bytes of the listpack.
    Bytes(u64),
    /// Elements.
    Elements(u64),
}

impl ListpackMax {
    /// What the setting `list-max-listpack-size` says: so many elements, or from -1 down to -5
    /// 4 KiB to 64 KiB.
    pub fn of_setting(number: i64) -> ListpackMax {
        match number {
            0.. => ListpackMax::Elements(number.max(1) as u64),
            _ => ListpackMax::Bytes(2048 << number.unsigned_abs().min(5)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, ListpackMax};
    use crate::structures::list::{self, Side};
    use crate::structures::{self, Root};
    use crate::testing::pool;
    use crate::value::ValueType;
    use pobj::Pool;

    const OLD: Known = Known {
        listpack_sets: false,
        listpack_lists: None,
        listpacks_with_times: false,
        embedded_max: 44,
        embedded_gap: None,
    };

    fn name(pool: &Pool, ty: ValueType, root: Root, known: Known) -> &'static str {
        let name = structures::of(ty).encoding(pool, root, known);
        name.expect("it is sound")
    }

    #[test]
    fn strings_are_named_by_their_length() {
        let (_directory, pool) = pool(16 << 20);
        let bytes = |len| name(&pool, ValueType::String, Root::new(2, len, 0), OLD);
        assert_eq!((bytes(44), bytes(45)), ("embstr", "raw"));
        let number = Root::new(1, 0, 7);
        assert_eq!(name(&pool, ValueType::String, number, OLD), "int");
    }

    #[test]
    fn small_sets_are_listpacks_where_the_server_has_them() {
        let (_directory, pool) = pool(16 << 20);
        let small = |ty, encoding| {
            [false, true].map(|new| {
                let known = Known {
                    listpack_sets: new,
                    listpacks_with_times: new,
                    ..OLD
                };
                name(&pool, ty, Root::new(encoding, 9, 64), known)
            })
        };
        assert_eq!(small(ValueType::Set, 2), ["hashtable", "listpack"]);
        assert_eq!(small(ValueType::Hash, 1), ["listpack"; 2]);
        assert_eq!(small(ValueType::Hash, 3), ["hashtable", "listpackex"]);
        assert_eq!(small(ValueType::Hash, 4), ["hashtable"; 2]);
    }

    #[test]
    fn lists_are_listpacks_up_to_the_servers_limit() {
        let (_directory, mut pool) = pool(16 << 20);
        let mut root = Root::EMPTY;
        let mut changes = Vec::new();
        for n in 1..=400_u64 {
            let element = format!("{n:0>20}").into_bytes();
            let mut tx = pool.begin();
            let added = [element.as_slice()].into_iter();
            list::push(&mut tx, &mut root, Side::Right, added).expect("there is room");
            tx.commit().expect("there is room");
            let names = [None, Some(-2), Some(-1), Some(3), Some(0), Some(10_000)].map(|setting| {
                let known = Known {
                    listpack_lists: setting.map(ListpackMax::of_setting),
                    ..OLD
                };
                name(&pool, ValueType::List, root, known)
            });
            if changes.last().is_none_or(|&(_, last)| last != names) {
                changes.push((n, names));
            }
        }
        let first: Vec<u64> = changes.iter().map(|&(n, _)| n).collect();
        // What Redis 8.6 says of the same lists.
        assert_eq!(first, [1, 2, 4, 186, 373]);
        assert_eq!(
            changes[0].1,
            [
                "quicklist",
                "listpack",
                "listpack",
                "listpack",
                "listpack",
                "listpack"
            ]
        );
        assert_eq!(changes[4].1, ["quicklist"; 6]);
    }
}

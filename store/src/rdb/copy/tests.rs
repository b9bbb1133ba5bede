use super::*;

/// Leaves out every value of module 9 but the first, which becomes `changed`.
struct KeepOne(u32);

impl Edit for KeepOne {
    fn wants(&self, id: u64) -> bool {
        id == 9
    }

    fn value(&mut self, key: &ModuleKey<'_>) -> io::Result<Fate> {
        assert_eq!((key.db, key.id), (3, 9));
        assert_eq!(key.value, [2, 0x40, 77, 5, 1, b'v', 0]);
        self.0 += 1;
        let (name, before): (&[u8], &[u8]) = match self.0 {
            1 => (b"\x05first", b""),
            2 => (b"\x06second", &[op::EXPIRES_MS; 9]),
            _ => (b"\x05third", &[op::FREQUENCY, 9]),
        };
        assert_eq!((key.name, key.before), (name, before));
        Ok(match self.0 {
            1 => Fate::Changes(5000, vec![2, 1, 0]),
            _ => Fate::Goes,
        })
    }

    fn sizes(&mut self, db: u64, keys: u64, expiring: u64) -> (u64, u64) {
        assert_eq!(db, 3);
        (keys - 2, expiring)
    }
}

fn key(ty: u8, name: &str, value: &[u8]) -> Vec<u8> {
    [&[ty, name.len() as u8], name.as_bytes(), value].concat()
}

fn sealed(entries: &[Vec<u8>]) -> Vec<u8> {
    sealed_as(b"REDIS0010", entries)
}

fn sealed_as(magic: &[u8; 9], entries: &[Vec<u8>]) -> Vec<u8> {
    let mut file = [magic.as_slice(), &entries.concat(), &[op::END]].concat();
    let sum = CRC.checksum(&file);
    file.extend(sum.to_le_bytes());
    file
}

fn copied(file: &[u8]) -> io::Result<Vec<u8>> {
    let mut output = Vec::new();
    copy(file, &mut output, &mut KeepOne(0)).map(|()| output)
}

#[test]
fn values_are_left_out_and_replaced_and_all_others_stay() {
    let own = [9, 2, 0x40, 77, 5, 1, b'v', 0];
    let expiring = |entry: Vec<u8>| [vec![op::EXPIRES_MS; 9], entry].concat();
    let others = [
        vec![op::NOTE, 1, b'a', 0xc0, 7],
        vec![op::DATABASE, 3],
        key(0, "s", &[0xc3, 2, 5, b'x', b'y']),
        key(4, "h", &[2, 1, b'f', 1, b'v', 1, b'g', 0xc1, 1, 2]),
        key(3, "z", &[2, 1, b'm', 3, b'1', b'.', b'5', 1, b'n', 254]),
        key(
            7,
            "foreign",
            &[0x81, 0, 0, 0, 1, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
    ];
    let [note, database, string, hash, zset, foreign] = others.clone();
    let sizes = |keys| vec![op::SIZES, keys, 1];
    let file = sealed(&[
        note.clone(),
        database.clone(),
        sizes(7),
        string.clone(),
        key(7, "first", &own),
        hash.clone(),
        vec![op::SLOT_INFO, 1, 2, 3],
        expiring(key(7, "second", &own)),
        zset.clone(),
        [vec![op::FREQUENCY, 9], key(7, "third", &own)].concat(),
        foreign.clone(),
    ]);
    let changed = key(7, "first", &[0x53, 0x88, 2, 1, 0]);
    let expected = sealed(&[
        note,
        database,
        sizes(5),
        string,
        changed,
        hash,
        zset,
        foreign,
    ]);
    assert_eq!(copied(&file).unwrap(), expected);
    for end in 0..file.len() {
        assert!(copied(&file[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn what_is_not_known_is_not_copied() {
    for entry in [
        key(99, "new", &[1, b'v']),
        vec![240, 1],
        key(0, "s", &[0xc9]),
        key(7, "m", &[1, 9]),
    ] {
        let error = copied(&sealed(&[entry])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    }
    let mut longer = sealed(&[]);
    assert!(copied(&longer).is_ok());
    longer.push(0);
    assert!(copied(&longer).is_err());
    assert!(copied(b"REDIS0003\xff").is_err());
    assert!(copied(b"VALKEY080\xff\0\0\0\0\0\0\0\0").is_ok());
}

/// Looks at all keys, and leaves everything as it is; what stood before each.
struct Look(Vec<Vec<u8>>);

impl Edit for Look {
    fn wants(&self, id: u64) -> bool {
        id == 9
    }

    fn value(&mut self, key: &ModuleKey<'_>) -> io::Result<Fate> {
        self.0.push(key.before.to_vec());
        Ok(Fate::Stays)
    }

    fn sizes(&mut self, _: u64, keys: u64, expiring: u64) -> (u64, u64) {
        (keys, expiring)
    }
}

/// One number stands for two things: which, the beginning of the file tells.
#[test]
fn imports_of_slots_and_metadata_of_keys_are_copied_as_they_are() {
    let own = key(7, "own", &[9, 2, 7, 0]);
    let copied = |file: &[u8]| {
        let (mut output, mut look) = (Vec::new(), Look(Vec::new()));
        let copied = copy(file, &mut output, &mut look);
        copied.map(|()| (output, look.0))
    };

    let name = [vec![40], vec![b'n'; 40]].concat();
    let import = [
        &[243][..],
        &name,
        &[2, 0, 0x40, 100, 0x55, 0x55, 0x7f, 0xff],
    ]
    .concat();
    let entries = [
        import,
        vec![op::DATABASE, 0],
        own.clone(),
        key(0, "s", &[1, b'v']),
    ];
    let file = sealed_as(b"VALKEY080", &entries);
    assert_eq!(copied(&file).unwrap(), (file.clone(), vec![vec![]]));
    for end in 0..file.len() {
        assert!(copied(&file[..end]).is_err(), "cut at {end}");
    }
    for magic in [b"REDIS0012", b"REDIS0011"] {
        assert!(copied(&sealed_as(magic, &entries)).is_err());
    }

    let spec = [1, 2, 3, 4];
    let values: [&[u8]; 2] = [
        &[5, 1, b'v', 2, 0x40, 200, 0],
        &[4, 0, 0, 0, 0, 0, 0, 0, 9, 0],
    ];
    let metadata = [&[243, 2][..], &spec, values[0], &spec, values[1]].concat();
    let expiring = [&[op::EXPIRES_MS; 9], &metadata[..]].concat();
    let entries = [
        vec![op::DATABASE, 0],
        [expiring.clone(), own].concat(),
        [metadata, key(0, "s", &[1, b'v'])].concat(),
    ];
    let file = sealed_as(b"REDIS0013", &entries);
    assert_eq!(copied(&file).unwrap(), (file.clone(), vec![expiring]));
    for end in 0..file.len() {
        assert!(copied(&file[..end]).is_err(), "cut at {end}");
    }
    for magic in [b"VALKEY080", b"REDIS0011"] {
        assert!(copied(&sealed_as(magic, &entries)).is_err());
    }
}

//! A pool goes through its life with nothing but these bindings.

use std::ffi::{CStr, CString, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use pmdk_bindings::{
    Libpmemobj, OID_NULL, PMEMOBJ_MIN_POOL, PMEMobjpool, PMEMoid, POBJ_HEADER_NONE,
    POBJ_TX_FAILURE_RETURN, POBJ_XALLOC_NO_ABORT, TX_STAGE_NONE, TX_STAGE_WORK, load, oid_is_null,
    pmemobj_direct, pobj_action, pobj_alloc_class_desc, pobj_class_id,
};

const LAYOUT: &CStr = c"pmdk-bindings test";
const TYPE_NUM: u64 = 7;

/// A pool of the smallest size, in a directory that goes with it.
struct Pool {
    lib: &'static Libpmemobj,
    pop: *mut PMEMobjpool,
    path: CString,
    _dir: tempfile::TempDir,
}

impl Pool {
    fn create() -> Pool {
        let lib = load().expect("libpmemobj1 is installed");
        let dir = tempfile::tempdir_in("/dev/shm").expect("a directory on tmpfs");
        let path = path_to_c(&dir.path().join("pool"));
        // SAFETY: the arguments are strings, a size and a mode.
        let pop =
            unsafe { lib.pmemobj_create(path.as_ptr(), LAYOUT.as_ptr(), PMEMOBJ_MIN_POOL, 0o600) };
        assert!(!pop.is_null(), "{}", error(lib));
        Pool {
            lib,
            pop,
            path,
            _dir: dir,
        }
    }

    fn reopen(&mut self) {
        // SAFETY: the pool is open, and no test keeps addresses over this.
        unsafe { self.lib.pmemobj_close(self.pop) };
        // SAFETY: the arguments are strings.
        self.pop = unsafe { self.lib.pmemobj_open(self.path.as_ptr(), LAYOUT.as_ptr()) };
        assert!(!self.pop.is_null(), "{}", error(self.lib));
    }

    /// Reserves and publishes an object that holds `value`.
    fn put(&self, value: u64) -> PMEMoid {
        let mut action = MaybeUninit::<pobj_action>::uninit();
        // SAFETY: the pool is open; the reservation initializes the action, as it succeeds; the
        // object has eight bytes and nobody else knows it.
        unsafe {
            let oid = self
                .lib
                .pmemobj_reserve(self.pop, action.as_mut_ptr(), 8, TYPE_NUM);
            assert!(!oid_is_null(oid), "{}", error(self.lib));
            let address = pmemobj_direct(self.pop, oid).cast::<u64>();
            address.write(value);
            self.lib.pmemobj_persist(self.pop, address.cast(), 8);
            let published = self.lib.pmemobj_publish(self.pop, action.as_mut_ptr(), 1);
            assert_eq!(published, 0, "{}", error(self.lib));
            oid
        }
    }

    fn read(&self, oid: PMEMoid) -> u64 {
        // SAFETY: `put` made the object, with eight bytes, and the pool is open.
        unsafe { pmemobj_direct(self.pop, oid).cast::<u64>().read() }
    }

    fn objects(&self) -> Vec<PMEMoid> {
        // SAFETY: the pool is open.
        unsafe { self.lib.objects(self.pop) }.collect()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the pool is open, and nothing uses it from here on.
        unsafe { self.lib.pmemobj_close(self.pop) };
    }
}

fn path_to_c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no path contains a null byte")
}

fn error(lib: &Libpmemobj) -> String {
    // SAFETY: the message is a string that no call in between has changed.
    unsafe { CStr::from_ptr(lib.pmemobj_errormsg()) }
        .to_string_lossy()
        .into_owned()
}

fn same(a: PMEMoid, b: PMEMoid) -> bool {
    (a.pool_uuid_lo, a.off) == (b.pool_uuid_lo, b.off)
}

#[test]
fn published_objects_are_there_after_reopening() {
    let mut pool = Pool::create();
    assert!(pool.objects().is_empty());
    // SAFETY: the pool is open.
    assert!(same(unsafe { pool.lib.pmemobj_first(pool.pop) }, OID_NULL));

    for value in [11, 22, 33] {
        pool.put(value);
    }
    pool.reopen();

    let objects = pool.objects();
    let mut values: Vec<u64> = objects.iter().map(|&oid| pool.read(oid)).collect();
    values.sort_unstable();
    assert_eq!(values, [11, 22, 33]);
    for oid in objects {
        // SAFETY: the object exists.
        let (type_num, usable) = unsafe {
            (
                pool.lib.pmemobj_type_num(oid),
                pool.lib.pmemobj_alloc_usable_size(oid),
            )
        };
        assert_eq!(type_num, TYPE_NUM);
        assert!(usable >= 8, "{usable}");
    }
}

#[test]
fn a_cancelled_reservation_leaves_nothing() {
    let pool = Pool::create();
    let mut action = MaybeUninit::<pobj_action>::uninit();
    // SAFETY: the pool is open, and the reservation initializes the action, as it succeeds.
    unsafe {
        let oid = pool
            .lib
            .pmemobj_reserve(pool.pop, action.as_mut_ptr(), 64, TYPE_NUM);
        assert!(!oid_is_null(oid), "{}", error(pool.lib));
        pool.lib.pmemobj_cancel(pool.pop, action.as_mut_ptr(), 1);
    }
    assert!(pool.objects().is_empty());
}

#[test]
fn objects_may_be_freed_while_they_are_listed() {
    let pool = Pool::create();
    for value in 0..100 {
        pool.put(value);
    }
    let mut freed = 0;
    // SAFETY: the pool stays open, and only the object last given out is freed.
    for oid in unsafe { pool.lib.objects(pool.pop) } {
        let mut action = MaybeUninit::<pobj_action>::uninit();
        // SAFETY: the object exists; deferring its release initializes the action.
        unsafe {
            pool.lib
                .pmemobj_defer_free(pool.pop, oid, action.as_mut_ptr());
            assert_eq!(
                pool.lib.pmemobj_publish(pool.pop, action.as_mut_ptr(), 1),
                0
            );
        }
        freed += 1;
    }
    assert_eq!(freed, 100);
    assert!(pool.objects().is_empty());
}

#[test]
fn direct_gives_the_address_that_pmdk_gives() {
    let pool = Pool::create();
    let oid = pool.put(5);
    // SAFETY: the object exists, and the null handle is always allowed.
    let (theirs, of_null) = unsafe {
        (
            pool.lib.pmemobj_direct(oid),
            pool.lib.pmemobj_direct(OID_NULL),
        )
    };
    assert_eq!(pmemobj_direct(pool.pop, oid), theirs);
    assert_eq!(pmemobj_direct(pool.pop, OID_NULL), of_null);
    // SAFETY: any address is allowed.
    assert!(same(unsafe { pool.lib.pmemobj_oid(theirs) }, oid));
}

#[test]
fn an_allocation_class_is_used_for_its_objects() {
    let pool = Pool::create();
    let mut class = pobj_alloc_class_desc {
        unit_size: 65536,
        alignment: 0,
        units_per_block: 15,
        header_type: POBJ_HEADER_NONE,
        class_id: 0,
    };
    let mut action = MaybeUninit::<pobj_action>::uninit();
    // SAFETY: the pool is open, the argument of this ctl entry point is a class's description, and
    // the reservation initializes the action, as it succeeds.
    unsafe {
        let set = pool.lib.pmemobj_ctl_set(
            pool.pop,
            c"heap.alloc_class.new.desc".as_ptr(),
            ptr::from_mut(&mut class).cast::<c_void>(),
        );
        assert_eq!(set, 0, "{}", error(pool.lib));
        let id = u16::try_from(class.class_id).expect("a class's number is small");
        let flags = pobj_class_id(id);
        let oid = pool
            .lib
            .pmemobj_xreserve(pool.pop, action.as_mut_ptr(), 100, 0, flags);
        assert!(!oid_is_null(oid), "{}", error(pool.lib));
        assert_eq!(pool.lib.pmemobj_alloc_usable_size(oid), 65536);
        pool.lib.pmemobj_cancel(pool.pop, action.as_mut_ptr(), 1);
    }
}

#[test]
fn a_transaction_survives_a_failed_allocation_and_rolls_back_on_abort() {
    let pool = Pool::create();
    let oid = pool.put(1);
    let address = pmemobj_direct(pool.pop, oid).cast::<u64>();
    // SAFETY: the pool is open, the functions are called in the stages that allow them, and the
    // written bytes are an object's own.
    unsafe {
        assert_eq!(pool.lib.tx_begin(pool.pop), 0, "{}", error(pool.lib));
        pool.lib
            .pmemobj_tx_set_failure_behavior(POBJ_TX_FAILURE_RETURN);
        assert_eq!(pool.lib.pmemobj_tx_add_range_direct(address.cast(), 8), 0);
        address.write(2);
        let too_large = pool
            .lib
            .pmemobj_tx_xalloc(1 << 30, TYPE_NUM, POBJ_XALLOC_NO_ABORT);
        assert!(oid_is_null(too_large));
        assert_eq!(pool.lib.pmemobj_tx_stage(), TX_STAGE_WORK);
        pool.lib.pmemobj_tx_abort(libc::ECANCELED);
        assert_eq!(pool.lib.pmemobj_tx_end(), libc::ECANCELED);
        assert_eq!(pool.lib.pmemobj_tx_stage(), TX_STAGE_NONE);
    }
    assert_eq!(pool.read(oid), 1);
}

//! libpmemobj under the power cut: its flushes are seen, what it promises holds, and a program that
//! uses it wrongly is found out.

use std::env;
use std::ffi::{CStr, CString, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use pmdk_bindings::{
    Libpmemobj, PMEMOBJ_MIN_POOL, PMEMobjpool, PMEMoid, load, pmemobj_direct, pobj_action,
};
use powercut::explore::LIBPMEMOBJ_VOLATILE;
use powercut::interpose;
use powercut::{
    Config, Progress, Recording, Recovery, Report, Steps, Workload, explore, limit_lanes,
};

const LAYOUT: &CStr = c"powercut test";
const SHM: &str = "/dev/shm";
const OPERATIONS: u64 = 12;

/// The root object: a stack of nodes, linked by offsets in the pool.
#[repr(C)]
struct Root {
    top: u64,
    count: u64,
}

/// A node; it spans three lines.
#[repr(C)]
struct Node {
    below: u64,
    values: [u64; 20],
}

/// An open pool with a stack.
struct Stack {
    lib: &'static Libpmemobj,
    pop: *mut PMEMobjpool,
    root: *mut Root,
}

impl Stack {
    fn open(path: &Path, create: bool) -> Result<Stack, String> {
        let lib = load().expect("libpmemobj1 is installed");
        let path = to_c(path);
        // SAFETY: the arguments are strings, a size and a mode.
        let pop = unsafe {
            if create {
                lib.pmemobj_create(path.as_ptr(), LAYOUT.as_ptr(), PMEMOBJ_MIN_POOL, 0o600)
            } else {
                lib.pmemobj_open(path.as_ptr(), LAYOUT.as_ptr())
            }
        };
        if pop.is_null() {
            // SAFETY: the message is a string, and no call has come in between.
            return Err(unsafe { CStr::from_ptr(lib.pmemobj_errormsg()) }
                .to_string_lossy()
                .into());
        }
        // SAFETY: the pool is open.
        let root = pmemobj_direct(pop, unsafe { lib.pmemobj_root(pop, size_of::<Root>()) });
        Ok(Stack {
            lib,
            pop,
            root: root.cast(),
        })
    }

    fn root(&self) -> &Root {
        // SAFETY: libpmemobj gave the root object this size, filled with zeros, and the pool is
        // open.
        unsafe { &*self.root }
    }

    /// The offset of an address in the pool.
    fn offset(&self, address: *const c_void) -> u64 {
        (address as usize - self.pop as usize) as u64
    }

    fn node(&self, offset: u64) -> Result<&Node, String> {
        if !offset.is_multiple_of(16) || offset as usize + size_of::<Node>() > PMEMOBJ_MIN_POOL {
            return Err(format!("a node at {offset:#x}"));
        }
        // SAFETY: the node lies in the mapping (checked), is aligned, and any bytes are a node.
        Ok(unsafe { &*self.pop.cast::<u8>().add(offset as usize).cast() })
    }

    /// Publishes new values of the words of the root, together with further actions.
    fn publish(&self, mut actions: Vec<pobj_action>, top: u64, count: u64) {
        // SAFETY: the pool is open, the addresses are words of its root object, and each action is
        // initialized before it is published.
        unsafe {
            for (word, value) in [
                (&raw mut (*self.root).top, top),
                (&raw mut (*self.root).count, count),
            ] {
                let mut action = MaybeUninit::uninit();
                self.lib
                    .pmemobj_set_value(self.pop, action.as_mut_ptr(), word, value);
                actions.push(action.assume_init());
            }
            let result = self
                .lib
                .pmemobj_publish(self.pop, actions.as_mut_ptr(), actions.len());
            assert_eq!(result, 0);
        }
    }

    fn push(&self, value: u64, mistake: Option<Mistake>) {
        let Root { top, count } = *self.root();
        let mut reservation = MaybeUninit::uninit();
        // SAFETY: the pool is open; the new object has the size of a node, and nobody knows it yet.
        unsafe {
            let size = size_of::<Node>();
            let oid = self
                .lib
                .pmemobj_reserve(self.pop, reservation.as_mut_ptr(), size, 0);
            let node = pmemobj_direct(self.pop, oid).cast::<Node>();
            assert!(!node.is_null(), "there is room");
            node.write(Node {
                below: top,
                values: [value; 20],
            });
            if mistake != Some(Mistake::FlushLeftOut) {
                self.lib.pmemobj_persist(self.pop, node.cast(), size);
            }
            self.publish(
                vec![reservation.assume_init()],
                self.offset(node.cast()),
                count + 1,
            );
        }
    }

    fn pop(&self, mistake: Option<Mistake>) {
        let Root { top, count } = *self.root();
        let below = self.node(top).expect("the stack is in order").below;
        let first = self.root_oid();
        let oid = PMEMoid {
            pool_uuid_lo: first.pool_uuid_lo,
            off: top,
        };
        let mut freeing = MaybeUninit::uninit();
        // SAFETY: the pool is open, and the object is a node that exists.
        let mut freeing = unsafe {
            self.lib
                .pmemobj_defer_free(self.pop, oid, freeing.as_mut_ptr());
            vec![freeing.assume_init()]
        };
        if mistake == Some(Mistake::FreedBeforeUnlinked) {
            // SAFETY: the action is initialized; that the node is still linked is the mistake.
            unsafe { self.lib.pmemobj_publish(self.pop, freeing.as_mut_ptr(), 1) };
            freeing.clear();
        }
        self.publish(freeing, below, count - 1);
    }

    /// Replaces the values of the top node in a transaction of libpmemobj.
    fn replace(&self, value: u64) {
        let top = self.root().top;
        self.node(top).expect("the stack is in order");
        // SAFETY: the pool is open; the range is the top node's, which is logged before it is
        // changed.
        unsafe {
            let node = self.pop.cast::<u8>().add(top as usize).cast::<Node>();
            assert_eq!(self.lib.tx_begin(self.pop), 0);
            let values = &raw mut (*node).values;
            self.lib
                .pmemobj_tx_add_range_direct(values.cast(), size_of::<[u64; 20]>());
            values.write([value; 20]);
            self.lib.pmemobj_tx_commit();
            self.lib.pmemobj_tx_end();
        }
    }

    fn root_oid(&self) -> PMEMoid {
        // SAFETY: the pool is open.
        unsafe { self.lib.pmemobj_root(self.pop, size_of::<Root>()) }
    }

    /// The values of the stack from the top, if it is in order.
    fn values(&self) -> Result<Vec<u64>, String> {
        let Root { mut top, count } = *self.root();
        let mut values = Vec::new();
        while top != 0 {
            if values.len() as u64 == count {
                return Err(format!("more than {count} nodes"));
            }
            let node = self.node(top)?;
            if node.values != [node.values[0]; 20] {
                return Err(format!("a torn node: {:?}", node.values));
            }
            values.push(node.values[0]);
            top = node.below;
        }
        // SAFETY: the pool is open, and nothing is freed meanwhile.
        let objects = unsafe { self.lib.objects(self.pop) }.count();
        if values.len() as u64 != count || objects as u64 != count {
            return Err(format!(
                "{} nodes, {objects} objects, {count} counted",
                values.len()
            ));
        }
        Ok(values)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the pool is open, and no address of it outlives the stack.
        unsafe { self.lib.pmemobj_close(self.pop) };
    }
}

fn to_c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no path contains a null byte")
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
    /// A node is published without having been flushed.
    FlushLeftOut,
    /// A node is freed before the root forgets it.
    FreedBeforeUnlinked,
}

/// Pushes, pops and replacements.
struct Operations {
    mistake: Option<Mistake>,
}

impl Operations {
    fn apply(&self, stack: &Stack, n: u64) {
        match n % 4 {
            0 | 1 => stack.push(n + 1, self.mistake),
            2 => stack.replace(n + 1),
            _ => stack.pop(self.mistake),
        }
    }

    /// What the stack holds after the first `count` operations, from the top.
    fn expected(count: usize) -> Vec<u64> {
        let mut stack = Vec::new();
        for n in 0..count as u64 {
            if n % 4 >= 2 {
                stack.pop();
            }
            if n % 4 <= 2 {
                stack.push(n + 1);
            }
        }
        stack.reverse();
        stack
    }
}

impl Workload for Operations {
    fn prepare(&self, pool: &Path) {
        drop(Stack::open(pool, true).expect("the pool can be created"));
        limit_lanes(pool, 8).expect("it is a pool");
    }

    fn run(&self, pool: &Path, steps: &mut Steps) {
        let stack = Stack::open(pool, false).expect("the pool can be opened");
        (0..OPERATIONS).for_each(|n| steps.step(|| self.apply(&stack, n)));
    }
}

impl Recovery for Operations {
    type Pool = Stack;

    fn recover(&self, image: &Path) -> Result<Stack, String> {
        Stack::open(image, false)
    }

    fn check(&self, stack: Stack, image: &Path, progress: Progress) -> Result<(), String> {
        let values = stack.values()?;
        let allowed = [progress.acknowledged, progress.begun].map(Operations::expected);
        if !allowed.contains(&values) {
            return Err(format!("{values:?} instead of one of {allowed:?}"));
        }
        let lib = stack.lib;
        drop(stack);
        let image = to_c(image);
        // SAFETY: the arguments are strings.
        match unsafe { lib.pmemobj_check(image.as_ptr(), LAYOUT.as_ptr()) } {
            1 => Ok(()),
            result => Err(format!("pmemobj_check says {result}")),
        }
    }
}

fn explored(mistake: Option<Mistake>) -> Report {
    let directory = tempfile::tempdir_in(SHM).expect("tmpfs is mounted");
    let operations = Operations { mistake };
    let recording = Recording::of(&operations, directory.path());
    let config = Config {
        seed: 1,
        volatile: LIBPMEMOBJ_VOLATILE,
        ..Config::default()
    };
    let report = explore(&recording, &operations, Path::new(SHM), &config);
    println!("{mistake:?}: {report}");
    report
}

fn libpmemobj_calls_us_and_not_libpmem() {
    let directory = tempfile::tempdir_in(SHM).expect("tmpfs is mounted");
    let before = interpose::counters().counts();
    drop(Stack::open(&directory.path().join("pool"), true).expect("the pool can be created"));
    let after = interpose::counters().counts();
    assert!(
        after.fences > before.fences && after.lines > before.lines,
        "{before:?} {after:?}"
    );
}

fn correct_use_passes() {
    let report = explored(None);
    assert!(report.violations.is_empty(), "{report}");
    assert!(
        report.recovery_states > 0 && report.exhausted_cuts > 0,
        "{report}"
    );
    assert!(report.states > 500, "{report}");
}

fn mistakes_are_found() {
    for mistake in [Mistake::FlushLeftOut, Mistake::FreedBeforeUnlinked] {
        let report = explored(Some(mistake));
        assert!(
            !report.violations.is_empty(),
            "{mistake:?} is not found: {report}"
        );
    }
}

fn main() {
    // SAFETY: there is no other thread.
    unsafe { env::set_var("PMEM_IS_PMEM_FORCE", "1") };
    libpmemobj_calls_us_and_not_libpmem();
    correct_use_passes();
    mistakes_are_found();
}

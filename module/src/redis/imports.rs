//! The C library's functions that the server's program calls, with functions of the module in front
//! of them.
//!
//! A program calls a function of another library through a word that holds its address. The loader
//! fills these words, and the program's own relocations tell which of them is for which name: that
//! is read here, of the program alone, in memory that the loader has mapped. Nothing of the
//! server's own forms is assumed.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::size_of;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A relocation with an addend, as ELF has it on 64-bit machines.
#[derive(Clone, Copy)]
#[repr(C)]
struct Relocation {
    place: u64,
    /// The symbol's number above, the kind below.
    info: u64,
    addend: i64,
}

/// An entry of the table of what the loader needs to know.
#[derive(Clone, Copy)]
#[repr(C)]
struct Entry {
    tag: i64,
    value: u64,
}

/// Kinds of relocations after which a word holds a function's address: for calls, for other uses,
/// in data.
#[cfg(target_arch = "x86_64")]
const KINDS: [u32; 3] = [7, 6, 1];
#[cfg(target_arch = "aarch64")]
const KINDS: [u32; 3] = [1026, 1025, 257];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const KINDS: [u32; 0] = [];

const TAG_END: i64 = 0;
const TAG_CALLS_LEN: i64 = 2;
const TAG_NAMES: i64 = 5;
const TAG_SYMBOLS: i64 = 6;
const TAG_RELOCATIONS: i64 = 7;
const TAG_RELOCATIONS_LEN: i64 = 8;
const TAG_CALLS: i64 = 23;

const PAGE: usize = 4096;

/// What the loader knows of the program that runs.
#[derive(Default)]
struct Program {
    base: usize,
    /// Address of its table of entries.
    entries: usize,
    /// Addresses that were made read-only after they were filled.
    sealed: Range<usize>,
}

/// A library's function that the program calls.
pub(super) struct Import {
    program: Program,
    /// Addresses of the words that hold its address.
    places: Vec<usize>,
    /// What is called now.
    pub function: NonNull<c_void>,
}

impl Import {
    /// The library function `name`; `None` if the program does not call such a one.
    pub(super) fn find(name: &CStr) -> Option<Import> {
        let program = Program::find()?;
        let places = program.places(name);
        let &place = places.first()?;
        // SAFETY: an aligned word that the loader has filled, and that nobody but the loader
        // changes.
        let called = unsafe { AtomicUsize::from_ptr(place as *mut usize) }.load(Ordering::Relaxed);
        let called = called as *mut c_void;
        // What is looked up at the first call stands for the function until then.
        let function = if home(called) == home(place as *const c_void) {
            // SAFETY: looks up a C string in the program and its libraries.
            unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
        } else {
            called
        };
        Some(Import {
            program,
            places,
            function: NonNull::new(function)?,
        })
    }

    /// Has the program call `front` instead, everywhere, from now on. `None` if that cannot be.
    ///
    /// # Safety
    /// `front` must be a function of the same type, that lives as long as the process.
    pub(super) unsafe fn replace(&self, front: *const c_void) -> Option<()> {
        let mut places = self.places.iter();
        places.try_for_each(|&place| self.program.set(place, front as usize))
    }
}

impl Program {
    fn find() -> Option<Program> {
        let mut found = Program::default();
        // SAFETY: the callback gets the pointer that is passed on here, and ends before this
        // function does.
        unsafe { libc::dl_iterate_phdr(Some(look_at_program), (&raw mut found).cast()) };
        (found.entries != 0).then_some(found)
    }

    /// The value of an entry; an address if it is one.
    fn entry(&self, tag: i64) -> Option<usize> {
        let mut at = self.entries as *const Entry;
        loop {
            // SAFETY: the loader has mapped the table, which ends with an entry of its own.
            let entry = unsafe { at.read() };
            match entry.tag {
                TAG_END => return None,
                found if found == tag => return Some(entry.value as usize),
                // SAFETY: it was not the last.
                _ => at = unsafe { at.add(1) },
            }
        }
    }

    /// An entry that is an address. Some loaders leave it relative to the program's beginning.
    fn address(&self, tag: i64) -> Option<usize> {
        let value = self.entry(tag)?;
        Some(if value < self.base {
            self.base + value
        } else {
            value
        })
    }

    /// The words that hold the address of the function `name`.
    fn places(&self, name: &CStr) -> Vec<usize> {
        let tables = [
            (TAG_CALLS, TAG_CALLS_LEN),
            (TAG_RELOCATIONS, TAG_RELOCATIONS_LEN),
        ];
        let (Some(symbols), Some(names)) = (self.address(TAG_SYMBOLS), self.address(TAG_NAMES))
        else {
            return Vec::new();
        };
        let mut places = Vec::new();
        for (table, len) in tables {
            let (Some(table), Some(len)) = (self.address(table), self.entry(len)) else {
                continue;
            };
            // SAFETY: the loader has mapped the table, and has worked through so many bytes of it;
            // nobody changes it.
            let relocations = unsafe {
                let count = len / size_of::<Relocation>();
                std::slice::from_raw_parts(table as *const Relocation, count)
            };
            for relocation in relocations {
                let (symbol, kind) = ((relocation.info >> 32) as usize, relocation.info as u32);
                if !KINDS.contains(&kind) || relocation.addend != 0 {
                    continue;
                }
                // SAFETY: the loader has looked the symbol up by this entry, and its name is a C
                // string in the program's table of names.
                let found = unsafe {
                    let symbol = (symbols as *const libc::Elf64_Sym).add(symbol).read();
                    CStr::from_ptr((names + symbol.st_name as usize) as *const c_char)
                };
                if found == name {
                    places.push(self.base + relocation.place as usize);
                }
            }
        }
        places
    }

    /// Changes a word, which may be sealed. `None` if the kernel does not allow that.
    fn set(&self, place: usize, to: usize) -> Option<()> {
        let page = (place & !(PAGE - 1)) as *mut c_void;
        let is_sealed = self.sealed.contains(&place);
        let protect = |how: c_int| {
            // SAFETY: a page of the program's own data, whose protection is loosened, or is what it
            // was.
            unsafe { libc::mprotect(page, PAGE, how) == 0 }
        };
        if is_sealed && !protect(libc::PROT_READ | libc::PROT_WRITE) {
            return None;
        }
        // SAFETY: an aligned word (a relocation of these kinds is) of memory that can be written;
        // who calls through it meanwhile finds the one address or the other.
        unsafe { AtomicUsize::from_ptr(place as *mut usize) }.store(to, Ordering::Relaxed);
        // One that stays writable is as good.
        let _ = is_sealed && protect(libc::PROT_READ);
        Some(())
    }
}

/// The loader tells of the program first.
unsafe extern "C" fn look_at_program(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    found: *mut c_void,
) -> c_int {
    // SAFETY: the loader passes a valid struct, whose headers are mapped, and the pointer of
    // `Program::find`.
    let (info, found) = unsafe { (&*info, &mut *found.cast::<Program>()) };
    found.base = info.dlpi_addr as usize;
    for at in 0..info.dlpi_phnum as usize {
        // SAFETY: one of so many headers.
        let header = unsafe { *info.dlpi_phdr.add(at) };
        let start = found.base + header.p_vaddr as usize;
        match header.p_type {
            libc::PT_DYNAMIC => found.entries = start,
            libc::PT_GNU_RELRO => {
                let end = (start + header.p_memsz as usize) & !(PAGE - 1);
                found.sealed = start & !(PAGE - 1)..end;
            }
            _ => {}
        }
    }
    // No other is asked for.
    1
}

/// Where the program or library begins that an address lies in; `None` if in none.
pub(super) fn home(address: *const c_void) -> Option<NonNull<c_void>> {
    // SAFETY: all zeroes is a value of the struct of pointers; dladdr takes any address and fills
    // it.
    unsafe {
        let mut found = std::mem::zeroed::<libc::Dl_info>();
        (libc::dladdr(address, &mut found) != 0)
            .then_some(found.dli_fbase)
            .and_then(NonNull::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" fn front() -> libc::pid_t {
        -4242
    }

    #[test]
    fn calls_go_to_the_function_in_front() {
        // SAFETY: without preconditions.
        assert!(unsafe { libc::getpgrp() } > 0);
        let import = Import::find(c"getpgrp").expect("this program calls it");
        // SAFETY: a function of the same type.
        assert!(unsafe { import.replace(front as *const c_void) }.is_some());
        // SAFETY: as above.
        assert_eq!(unsafe { libc::getpgrp() }, -4242);
    }

    #[test]
    fn what_is_not_called_is_not_found() {
        assert!(Import::find(c"sethostid").is_none());
    }
}

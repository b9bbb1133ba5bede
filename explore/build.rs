//! Makes the executables export libpmem's functions that `powercut` stands in for, so that a
//! libpmemobj loaded at run time finds them before libpmem's own.

fn main() {
    println!("cargo:rustc-link-arg-bins=-rdynamic");
    println!("cargo:rustc-link-arg-tests=-rdynamic");
    println!("cargo:rerun-if-changed=build.rs");
}

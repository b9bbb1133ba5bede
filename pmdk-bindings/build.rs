//! Generates the bindings from the libpmemobj and libpmem headers that are installed.
//!
//! Nothing is linked: the bindings are structs of function pointers that are filled at run time.

use std::env;
use std::path::{Path, PathBuf};
use std::process::exit;

use bindgen::callbacks::{ItemInfo, ParseCallbacks};
use bindgen::{Builder, EnumVariation};

/// The first release with the fix for a broken transaction commit.
const MIN_VERSION: &str = "1.12.1";

/// The libpmemobj functions in use; each must exist in the library that is loaded.
const PMEMOBJ_FUNCTIONS: &[&str] = &[
    "pmemobj_(open|create|close|check|check_version|errormsg)",
    "pmemobj_(root|root_size)",
    "pmemobj_(reserve|xreserve|set_value|defer_free|publish|cancel)",
    "pmemobj_(direct|oid|alloc_usable_size|type_num|first|next)",
    "pmemobj_(persist|flush|drain|memcpy|memset)",
    "pmemobj_ctl_(get|set|exec)",
    "pmemobj_tx_(begin|commit|abort|end|process|stage|errno|set_failure_behavior)",
    "pmemobj_tx_(add_range_direct|xadd_range_direct|xalloc|free|publish)",
];

/// Types that no listed function mentions: they are arguments of `pmemobj_ctl_*` and the like.
const PMEMOBJ_TYPES: &[&str] = &[
    "pobj_action_type",
    "pobj_alloc_class_desc",
    "pobj_header_type",
    "pobj_stats_enabled",
    "pobj_arenas_assignment_type",
    "pobj_tx_stage",
    "pobj_tx_param",
    "pobj_tx_failure_behavior",
];

fn main() {
    let include_paths = [("libpmemobj", "libpmemobj-dev"), ("libpmem", "libpmem-dev")]
        .map(|(library, package)| find_headers(library, package))
        .concat();
    let builder = || {
        bindgen::builder()
            .header("wrapper.h")
            .clang_args(
                include_paths
                    .iter()
                    .map(|path| format!("-I{}", path.display())),
            )
            .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()))
            .dynamic_link_require_all(true)
            .wrap_unsafe_ops(true)
            .generate_comments(false)
    };

    let mut pmemobj = builder()
        .dynamic_library_name("Libpmemobj")
        .parse_callbacks(Box::new(ConstantNames))
        .allowlist_var("value_of_.*")
        .default_enum_style(EnumVariation::Consts)
        .prepend_enum_name(false)
        .opaque_type("__jmp_buf_tag");
    pmemobj = PMEMOBJ_FUNCTIONS
        .iter()
        .fold(pmemobj, |b, name| b.allowlist_function(name));
    pmemobj = PMEMOBJ_TYPES
        .iter()
        .fold(pmemobj, |b, name| b.allowlist_type(name));
    generate(pmemobj, "libpmemobj.rs");

    let pmem = builder()
        .dynamic_library_name("Libpmem")
        .allowlist_function("pmem_is_pmem");
    generate(pmem, "libpmem.rs");
}

/// Gives the include paths of `library`, or ends the build with one line that says what to install.
fn find_headers(library: &str, package: &str) -> Vec<PathBuf> {
    let probe = |config: &mut pkg_config::Config| config.cargo_metadata(false).probe(library);
    let found = match probe(&mut pkg_config::Config::new()) {
        Ok(found) => found,
        Err(pkg_config::Error::Command { command, cause }) => fail(&format!(
            "cannot run `{command}`: {cause}; on Debian, install pkg-config"
        )),
        Err(_) => fail(&format!(
            "pkg-config does not find {library}; on Debian, install {package} \
             ({MIN_VERSION} or newer)"
        )),
    };
    if probe(pkg_config::Config::new().atleast_version(MIN_VERSION)).is_err() {
        fail(&format!(
            "{library} {} is too old, {MIN_VERSION} or newer is needed; \
             on Debian, upgrade {package}",
            found.version
        ));
    }
    found.include_paths
}

fn generate(builder: Builder, file: &str) {
    let out_dir = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    builder
        .generate()
        .unwrap_or_else(|error| fail(&format!("bindgen cannot read PMDK's headers: {error}")))
        .write_to_file(Path::new(&out_dir).join(file))
        .unwrap_or_else(|error| fail(&format!("cannot write {file}: {error}")));
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1)
}

/// Gives the constants of wrapper.h the names of the macros they stand for.
#[derive(Debug)]
struct ConstantNames;

impl ParseCallbacks for ConstantNames {
    fn item_name(&self, item: ItemInfo) -> Option<String> {
        item.name.strip_prefix("value_of_").map(str::to_owned)
    }
}

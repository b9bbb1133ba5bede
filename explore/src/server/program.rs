//! The programs: `redis-server`, the module, and the library that is preloaded.

use std::env;
use std::path::{Path, PathBuf};

use powercut::program::ProgramRecorder;
use testkit::server::{Refusal, Server, Setup};

/// A server on `pool`.
pub(super) fn start(pool: &Path) -> Result<Server, Refusal> {
    setup(pool).start()
}

/// A server on its pool that is recorded, with more lines of configuration.
pub(crate) fn start_recorded(
    recorder: &ProgramRecorder,
    lines: &[&str],
) -> Result<Server, Refusal> {
    let setup = lines
        .iter()
        .fold(setup(recorder.pool()), |setup, line| setup.directive(line));
    let variables = recorder.environment(&built("libpowercut.so"));
    let setup = variables.iter().fold(setup, |setup, (name, value)| {
        setup.env(name, value.to_str().expect("paths of ours are text"))
    });
    setup.start()
}

/// What a cut leaves lies in another file than the pool that was recorded, in which it was in use.
fn setup(pool: &Path) -> Setup {
    let line = format!(
        "loadmodule {} path {} copy accept",
        built("libpmedis.so").display(),
        pool.display()
    );
    Setup::native().force_pmem().directive(&line)
}

/// A library of this very build, which lies beside this executable, or where those that it needs
/// lie.
///
/// # Panics
/// If it is not there.
fn built(name: &str) -> PathBuf {
    let executable = env::current_exe().expect("Linux has it");
    let directory = executable.parent().expect("it is in a directory");
    let mut places = [directory.join("deps"), directory.to_owned()].into_iter();
    places
        .find_map(|place| Some(place.join(name)).filter(|path| path.exists()))
        .unwrap_or_else(|| panic!("{name} is built along with {}", executable.display()))
}

//! A program that knows nothing of the power cut is recorded with the library preloaded.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use powercut::Recording;
use powercut::interpose::Counters;
use powercut::model::{Memory, Pending};
use powercut::preload::COUNTERS_VARIABLE;
use powercut::program::ProgramRecorder;
use powercut::trace::{self, Event};

/// Creates a pool, or opens the one that is there, and adds 1 to its counter, which it prints.
const PROGRAM: &str = r#"
#include <inttypes.h>
#include <stdio.h>
#include <libpmemobj.h>
int main(int argc, char **argv) {
    PMEMobjpool *pop = pmemobj_open(argv[1], "test");
    if (pop == NULL && (pop = pmemobj_create(argv[1], "test", PMEMOBJ_MIN_POOL, 0600)) == NULL) {
        fprintf(stderr, "%s\n", pmemobj_errormsg());
        return 1;
    }
    uint64_t *counter = pmemobj_direct(pmemobj_root(pop, 8));
    *counter += 1;
    pmemobj_persist(pop, counter, 8);
    printf("%" PRIu64 "\n", *counter);
    pmemobj_close(pop);
    return 0;
}
"#;

fn compile(directory: &Path) -> PathBuf {
    let (source, program) = (directory.join("program.c"), directory.join("program"));
    fs::write(&source, PROGRAM).expect("the source is written");
    let compiled = Command::new("cc")
        .arg("-o")
        .args([&program, &source])
        .arg("-lpmemobj")
        .status()
        .expect("a C compiler is installed");
    assert!(compiled.success(), "{compiled}");
    program
}

/// The library that cargo builds along with this test.
fn library() -> PathBuf {
    let test = env::current_exe().expect("Linux has it");
    let library = test
        .parent()
        .expect("it is in a directory")
        .join("libpowercut.so");
    assert!(
        library.exists(),
        "{} is built with the test",
        library.display()
    );
    library
}

/// Runs the program once and gives what it printed, and the recording.
fn record(program: &Path, pool: &Path) -> (String, Recording) {
    let trace = pool.with_extension("trace");
    let mut recorder = ProgramRecorder::new(pool, &trace).expect("the directory is writable");
    let mut command = Command::new(program);
    command.arg(pool).envs(recorder.environment(&library()));
    command.env(COUNTERS_VARIABLE, pool.with_extension("counters"));
    let output = recorder.step(|| command.output().expect("the program starts"));
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("a number is text");
    (
        printed.trim().into(),
        recorder.finish().expect("the trace is there"),
    )
}

/// What the recording says the pool holds at its end, if everything survives.
fn replayed(recording: &Recording) -> Vec<u8> {
    let mut memory = Memory::new(recording.base.clone());
    trace::events(&recording.trace).for_each(|(_, event)| memory.apply(&event));
    let last = |(line, it): (&u32, &Pending)| {
        (
            *line,
            it.versions().last().expect("it is not empty").contents,
        )
    };
    let survivors = memory.pending().iter().map(last).collect();
    memory.after_cut(&survivors).durable().to_vec()
}

#[test]
fn a_program_is_recorded_from_the_creation_of_its_pool_on() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("tmpfs is mounted");
    let program = compile(directory.path());
    let pool = directory.path().join("counter.pool");
    let counters = Counters::map(&pool.with_extension("counters")).expect("it can be made");
    for expected in ["1", "2"] {
        let before = counters.counts();
        let (printed, recording) = record(&program, &pool);
        assert_eq!(printed, expected);
        assert_ne!(recording.trace, [], "the library was asked");
        let fences = trace::events(&recording.trace).filter(|(_, event)| *event == Event::Fence);
        assert_eq!(
            counters.counts().fences - before.fences,
            fences.count() as u64
        );
        let end = recording.trace.len() as u64;
        assert_eq!(recording.progress(end).acknowledged, 1);
        assert_eq!(recording.progress(0).acknowledged, 0);
        let on_media = fs::read(&pool).expect("the pool is there");
        assert!(
            replayed(&recording) == on_media,
            "the trace tells all that happened"
        );
    }
}

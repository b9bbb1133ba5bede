//! `ci/bench engine`: what one operation of each structure costs, without a server.

use bench::costs::{Costs, PAGE};
use bench::measure::relaunch_with_flushes;
use bench::{fences, instructions, operations};
use std::process::{Command, ExitCode};
use std::{error, fs};

const HELP: &str = "\
Instructions, cache misses, fences and flushed lines of each operation of the structures, without a server.

  ci/bench engine           prints them, and by how much they differ from docs/instructions.md
  ci/bench engine check     fails if an operation takes 3 % more instructions, or fences, than there
  ci/bench engine save      writes docs/instructions.md
  ci/bench engine fences    prints docs/fences.md

Times: cargo bench -p bench
";

fn main() -> ExitCode {
    relaunch_with_flushes();
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn error::Error>> {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let all = operations::all();
    match mode.as_str() {
        "fences" => print!("{}", fences::page(&all)?),
        "" | "check" | "save" => {
            let program = std::env::current_exe()?.with_file_name("steps");
            let counted = instructions::count(&program, &[], all.len())?;
            let costs = Costs::new(&all, &counted)?;
            if mode == "save" {
                fs::write(PAGE, costs.page(&commit()?))?;
                return Ok(ExitCode::SUCCESS);
            }
            let known = Costs::parse(&fs::read_to_string(PAGE).unwrap_or_default());
            print!("{}", costs.compared(&known));
            let dearer = costs.dearer(&known);
            if mode == "check" && !dearer.is_empty() {
                eprintln!("dearer by 3 % or more: {}", dearer.join(", "));
                return Ok(ExitCode::FAILURE);
            }
        }
        "help" | "--help" => print!("{HELP}"),
        other => return Err(format!("{other}?").into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// The commit that is checked out, and its date.
fn commit() -> Result<String, Box<dyn error::Error>> {
    let mut git = Command::new("git");
    let found = git.args(["log", "-1", "--format=commit %h of %cs"]);
    let output = found.current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
    if !output.status.success() {
        return Err("git does not tell the commit that the figures are of".into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

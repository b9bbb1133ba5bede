//! `pmedis`: a tool beside the server. It opens a pool that no server has open, and changes no key
//! in it; `compact` puts a new one in its place.

mod check;
mod commands;
mod copy;
mod export;
mod import;
mod info;
mod keys;
mod output;
mod rdb;
mod report;

use clap::builder::Resettable;
use clap::{CommandFactory, Parser, Subcommand};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Inspects pmedis pools without a server, and exports their keys.
///
/// A pool is opened as the server opens it, with the last steps of its log redone; but all changes
/// stay in this process, and the file is not changed, except that the contents of a journal
/// (durability disk) are first written into it, as at a start. A pool that a server has open is
/// refused.
#[derive(Parser)]
#[command(name = "pmedis", version, after_help = EXIT_STATUS)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_STATUS: &str = "Exit status: 0 if all is well; 1 if something in the pool is damaged or missing, or could not be imported; 2 if the command could not be carried out.";

/// What the manual page ends with.
const MAN_PAGE_END: &str = r#".SH "EXIT STATUS"
.TP
0
All is well.
.TP
1
Something in the pool is damaged or missing, or could not be imported.
.TP
2
The command could not be carried out.
.SH "SEE ALSO"
.BR pmedis\-metrics (1),
.BR redis\-server (1),
.BR valkey\-server (1),
.BR pmempool (1),
and the files in /usr/share/doc/pmedis/docs
"#;

#[derive(Subcommand)]
enum Command {
    /// Reads every value to its last element, and reports what is damaged.
    Check {
        /// The pool: a file or a poolset file.
        pool: PathBuf,
    },
    /// Shows what is in a pool: how full it is, keys of each type and database, the largest keys.
    Info {
        /// The pool: a file or a poolset file.
        pool: PathBuf,
        /// Writes the same as a page of HTML to this file.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// How many of the largest keys are listed.
        #[arg(long, value_name = "NUMBER", default_value_t = 20)]
        largest: usize,
    },
    /// Writes the keys as commands, for `redis-cli --pipe`, or as an RDB file with native values.
    ///
    /// A damaged value is left out from its first damaged element on, and is reported. The output
    /// file appears only once it is complete; a pipe or a device that is there is written to.
    Export {
        /// The pool: a file or a poolset file.
        pool: PathBuf,
        /// Writes native commands, for a server without the module.
        #[arg(long)]
        native: bool,
        /// Writes an RDB file that servers without the module can read.
        ///
        /// Only Redis from 7.4 on and Valkey from 9.0 on know hashes with fields that expire, each
        /// in a format of its own: for `any` server, these expire times are left out, as are
        /// fields that have expired; for Redis, those after the year 4199, which it does not have.
        #[arg(
            long,
            value_name = "READER",
            value_enum,
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "any",
            conflicts_with = "native"
        )]
        rdb: Option<rdb::Reader>,
        /// Writes to this file instead of standard output.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Makes a new pool from an RDB file, or from commands as `export` writes them.
    ///
    /// It reads the RDB formats that servers from Redis 7.0 on write. Streams, values of modules
    /// and libraries of functions are left out and counted; the exit status is then 1.
    Import {
        /// The file.
        file: PathBuf,
        /// The new pool's file.
        to: PathBuf,
        /// Its size, such as 8g.
        #[arg(long, value_parser = size)]
        size: u64,
    },
    /// Copies all keys into a new pool, which may be larger.
    ///
    /// The new pool gets its name once it is complete. A damaged value is left out from its first
    /// damaged element on, and is reported.
    Copy {
        /// The pool: a file or a poolset file.
        pool: PathBuf,
        /// The new pool's file.
        to: PathBuf,
        /// Its size, such as 8g; by default that of the other pool.
        #[arg(long, value_parser = size)]
        size: Option<u64>,
        /// Copies also a pool that was copied while a server had it open.
        ///
        /// A part of it can be older than the rest, and what is old need not be damaged. The exit
        /// status is 1.
        #[arg(long)]
        accept_torn: bool,
    },
    /// Rewrites a pool's file with its keys alone, so that no free space is scattered.
    ///
    /// This needs disk space for both until the new file is complete; it then replaces the old
    /// one, and has its owner and its mode. If something in the pool is damaged, the old one stays.
    Compact {
        /// The pool: a file.
        pool: PathBuf,
        /// Its new size, such as 8g; by default unchanged.
        #[arg(long, value_parser = size)]
        size: Option<u64>,
    },
    /// Writes this program's manual page.
    #[command(hide = true)]
    Man,
}

/// A size as the module's settings have it.
fn size(text: &str) -> Result<u64, String> {
    pobj::parse_size(text).ok_or_else(|| "a size is expected, such as 512m or 1.5g".to_owned())
}

/// What came of it, if it could be done.
pub enum Outcome {
    /// All is well.
    Sound,
    /// Something in the pool is damaged, and was told of.
    Damaged,
}

/// Why it could not be done.
pub type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    keys::change_no_file();
    match run(arguments.command) {
        Ok(Outcome::Sound) => ExitCode::SUCCESS,
        Ok(Outcome::Damaged) => ExitCode::from(1),
        Err(failure) => {
            let _ = writeln!(io::stderr(), "pmedis: {failure}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<Outcome, Failure> {
    match command {
        Command::Check { pool } => check::check(&pool),
        Command::Info {
            pool,
            html,
            largest,
        } => info::info(&pool, html.as_deref(), largest),
        Command::Export {
            pool,
            rdb: Some(reader),
            output,
            ..
        } => rdb::export(&pool, reader, output.as_deref()),
        Command::Export {
            pool,
            native,
            output,
            ..
        } => export::export(&pool, native, output.as_deref()),
        Command::Import { file, to, size } => import::import(&file, &to, size),
        Command::Copy {
            pool,
            to,
            size,
            accept_torn,
        } => {
            let torn = if accept_torn {
                copy::Torn::Accept
            } else {
                copy::Torn::Refuse
            };
            copy::copy(&pool, &to, size, torn)
        }
        Command::Compact { pool, size } => copy::compact(&pool, size),
        Command::Man => {
            io::stdout().write_all(manual()?.as_bytes())?;
            Ok(Outcome::Sound)
        }
    }
}

/// The man page: one for all commands, each with a section of its own.
fn manual() -> io::Result<String> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let mut page = Vec::new();
    let command = Arguments::command().after_help(Resettable::Reset);
    clap_mangen::Man::new(command).render(&mut page)?;
    let mut page = text(page);
    for command in Arguments::command().get_subcommands() {
        let name = command.get_name();
        // There is no page of its own to be sent to.
        page = page.replace(&format!("pmedis\\-{name}(1)"), &format!("pmedis {name}"));
        if command.is_hide_set() {
            continue;
        }
        let manual = clap_mangen::Man::new(command.clone().bin_name(format!("pmedis {name}")));
        let mut section = Vec::new();
        manual.render_synopsis_section(&mut section)?;
        manual.render_description_section(&mut section)?;
        manual.render_options_section(&mut section)?;
        let title = format!(".SH \"PMEDIS {}\"\n", name.to_uppercase());
        page += &text(section)
            .replace(".SH SYNOPSIS\n", &title)
            .replace(".SH DESCRIPTION\n", ".PP\n")
            .replace(".SH OPTIONS\n", ".SS Options\n");
    }
    Ok(page.replace("pmedis\\-help(1)", "pmedis help") + MAN_PAGE_END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_agree_with_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_manual_is_one_page_with_a_section_for_each_command() {
        let page = manual().unwrap();
        for command in ["CHECK", "INFO", "EXPORT", "IMPORT", "COPY", "COMPACT"] {
            let section = format!(".SH \"PMEDIS {command}\"\n");
            assert!(page.contains(&section), "{command}: {page}");
        }
        let (own, see_also) = page.split_once(".SH \"SEE ALSO\"").unwrap();
        assert!(!own.contains("(1)") && !see_also.contains(".SH"), "{page}");
        assert!(!page.contains(".SH EXTRA"), "{page}");
        assert_eq!(page.matches("EXIT STATUS").count(), 1, "{page}");
    }
}

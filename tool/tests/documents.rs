//! The command lines of the documents do what they say.
//!
//! Every block marked `sh` is run, or says in a comment before it why not: `<!-- not run: why -->`.
//! A page is one session: its blocks run one after the other in a sandbox of its own, in which
//! `/etc/redis`, `/etc/systemd`, `/var`, `/mnt` and `/usr/lib/redis` are directories of the
//! sandbox, and `systemctl` and `redis-cli` are for its server. A command fails the test if it
//! fails, or if it prints other than a comment says that stands behind it: `# → OK`. What a page
//! needs that is not for its readers is in a comment `<!-- run`.
//!
//! A block that shows a terminal, with the prompt `$` or that of redis-cli in its first line, is
//! run, too: what redis-cli shows must be what stands there, and so must what the shell's commands
//! print, where something does.
//!
//! With `PMEDIS_SCRIPTS=directory` the scripts that are made of the pages are left there, for
//! `ci/try-package`, which runs them where the package is installed.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use testkit::ports::kept_port;
use testkit::server::module_path;

/// What a comment says that a command prints.
const PRINTS: &str = "# →";

/// A block of commands.
#[derive(Debug, PartialEq)]
enum Block {
    /// They are run.
    Run(String),
    /// They are not, for this reason.
    NotRun(String),
}

/// The blocks of a page.
fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut reason) = (Vec::new(), None);
    let mut lines = page.lines();
    let until = |lines: &mut std::str::Lines<'_>, end: &str| -> String {
        let body: Vec<&str> = lines.take_while(|line| line.trim_end() != end).collect();
        body.join("\n")
    };
    while let Some(line) = lines.next() {
        let comment = line.strip_prefix("<!-- not run:");
        if let Some(why) = comment.and_then(|why| why.strip_suffix("-->")) {
            reason = Some(why.trim().to_owned());
        } else if line == "<!-- run" {
            blocks.push(Block::Run(until(&mut lines, "-->")));
        } else if line == "```sh" {
            let body = until(&mut lines, "```");
            blocks.push(match reason.take() {
                Some(why) => Block::NotRun(why),
                None => Block::Run(body),
            });
        } else if line.starts_with("```") {
            let body = until(&mut lines, "```");
            if let Some(session) = terminal(&body) {
                blocks.push(match reason.take() {
                    Some(why) => Block::NotRun(why),
                    None => Block::Run(session),
                });
            }
        } else if !line.trim().is_empty() {
            reason = None;
        }
    }
    blocks
}

/// The prompt of redis-cli in a block that shows a terminal.
const PROMPT: &str = "127.0.0.1:6379> ";

/// What a terminal shows, as a block of commands with what they print; `None` if it shows none.
fn terminal(body: &str) -> Option<String> {
    let command = |line: &str| -> Option<String> {
        let typed = line.strip_prefix(PROMPT);
        match typed.or_else(|| line.strip_prefix("$ redis-cli ")) {
            // As to a terminal: quoted, and with the types of replies.
            Some(command) => Some(format!("redis-cli --no-raw {command}")),
            None => line.strip_prefix("$ ").map(str::to_owned),
        }
    };
    command(body.lines().next()?)?;
    let (mut block, mut lines) = (String::new(), body.lines().peekable());
    while let Some(line) = lines.next() {
        let command_line = command(line)?;
        let mut printed = String::new();
        while let Some(shown) = lines.next_if(|line| command(line).is_none()) {
            printed.push_str(&format!("  {PRINTS} {shown}\n"));
        }
        // The session that this begins is what follows.
        if line == "$ redis-cli" {
            continue;
        }
        block.push_str(&format!("{command_line}\n{printed}"));
        if printed.is_empty() && line.starts_with(PROMPT) {
            block.push_str(&format!("  {PRINTS}\n"));
        }
    }
    Some(block)
}

/// A block as a script that compares what commands print with what is said of them.
fn script(block: &str) -> String {
    let mut script = String::new();
    let mut lines = block.lines().peekable();
    while let Some(line) = lines.next() {
        let is_followed = lines
            .peek()
            .is_some_and(|next| next.trim_start().starts_with(PRINTS));
        let (command, mut expected) = match line.split_once(PRINTS) {
            Some((command, first)) => (command, vec![first.trim()]),
            None if is_followed => (line, Vec::new()),
            None => {
                writeln!(script, "{line}").unwrap();
                continue;
            }
        };
        while let Some(more) = lines.next_if(|line| line.trim_start().starts_with(PRINTS)) {
            expected.push(more.trim_start()[PRINTS.len()..].trim());
        }
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let command = command.trim_end();
        writeln!(
            script,
            "prints {} {} \"$({command})\"",
            quoted(command),
            quoted(expected.join("\n").trim_end())
        )
        .unwrap();
    }
    script
}

/// What scripts begin with.
const PRELUDE: &str = "set -euxo pipefail\n";

/// Directories, a server's configuration, and programs that stand in for the system's.
struct Sandbox {
    home: TempDir,
    port: u16,
}

/// The tree that this test is of.
fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Sandbox {
    fn new() -> Sandbox {
        let sandbox = Sandbox {
            home: tempfile::tempdir().unwrap(),
            port: kept_port().unwrap(),
        };
        for directory in [
            "bin",
            "etc/redis",
            "var/lib/redis",
            "var/lib/pmedis",
            "var/log/redis",
            "var/backups",
            "mnt",
            "usr/lib/redis/modules",
            "tree",
        ] {
            fs::create_dir_all(sandbox.path(directory)).unwrap();
        }
        let module = sandbox.path("usr/lib/redis/modules/libpmedis.so");
        symlink(module_path(), module).unwrap();
        symlink(env!("CARGO_BIN_EXE_pmedis"), sandbox.path("bin/pmedis")).unwrap();
        let metrics = tree().join("ops/pmedis-metrics");
        symlink(metrics, sandbox.path("bin/pmedis-metrics")).unwrap();
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sandbox");
        for program in fs::read_dir(programs).unwrap() {
            let program = program.unwrap();
            symlink(
                program.path(),
                sandbox.path("bin").join(program.file_name()),
            )
            .unwrap();
        }
        // The working directory: the tree, and what commands leave beside it.
        for entry in fs::read_dir(tree()).unwrap() {
            let entry = entry.unwrap();
            let own = sandbox.path("tree").join(entry.file_name());
            if entry.file_name() != "data" {
                symlink(tree().join(entry.file_name()), own).unwrap();
            }
        }
        let conf = format!(
            "bind 127.0.0.1\nport {}\ndir /var/lib/redis\nlogfile /var/log/redis/redis-server.log\n",
            sandbox.port
        );
        let own = fs::read_to_string(tree().join("packaging/pmedis.conf")).unwrap();
        let own = own.replace(" size 1g", " size 64m");
        for (file, text) in [("redis.conf", conf), ("pmedis.conf", own)] {
            let text = sandbox.inside(&text);
            fs::write(sandbox.path("etc/redis").join(file), text).unwrap();
        }
        sandbox
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.home.path().join(inside)
    }

    /// A text whose paths are those of the sandbox.
    fn inside(&self, text: &str) -> String {
        let home = self.home.path().display();
        [
            "/etc/redis",
            "/etc/systemd",
            "/var/",
            "/usr/lib/redis",
            "/mnt/",
        ]
        .iter()
        .fold(text.to_owned(), |text, path| {
            text.replace(path, &format!("{home}{path}"))
        })
    }

    /// A shell in it, whose working directory has what the tree has. `ci/serve` there serves the
    /// module of the tests.
    fn bash(&self) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut bash = Command::new("bash");
        bash.current_dir(self.path("tree"))
            .env("PMEDIS_PORT", self.port.to_string())
            .env("PMEDIS_MODULE", module_path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("SANDBOX", self.home.path())
            .env("SANDBOX_PORT", self.port.to_string())
            .stdin(Stdio::null());
        bash
    }

    /// Runs a page's blocks, one after the other.
    fn run(&self, page: &str, blocks: &[String]) {
        let mut text = PRELUDE.to_owned();
        for block in blocks {
            text.push_str(&script(block));
        }
        if let Some(directory) = std::env::var_os("PMEDIS_SCRIPTS") {
            fs::write(Path::new(&directory).join(page.replace('/', "-")), &text).unwrap();
        }
        let text = self.inside(&text);
        let script = self.path("script");
        fs::write(&script, text).unwrap();
        let output = self.bash().arg(&script).output().unwrap();
        let log = fs::read_to_string(self.path("var/log/redis/redis-server.log"));
        assert!(
            output.status.success(),
            "{page}: {}\n{}\nThe server's log:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
            log.unwrap_or_default()
        );
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for file in ["server.pid", "tree/data/redis.pid"] {
            let Ok(pid) = fs::read_to_string(self.path(file)) else {
                continue;
            };
            let killed = Command::new("kill").args(["-9", pid.trim()]).status();
            // Where a test has failed, another failure would hide it.
            assert!(killed.is_ok() || std::thread::panicking(), "{killed:?}");
        }
    }
}

/// Runs a page of the documents; how many of its blocks.
fn run_page(name: &str) -> usize {
    let page = fs::read_to_string(tree().join(name)).unwrap();
    let blocks = blocks(&page).into_iter().filter_map(|block| match block {
        Block::Run(commands) => Some(commands),
        Block::NotRun(_) => None,
    });
    let blocks: Vec<String> = blocks.collect();
    Sandbox::new().run(name, &blocks);
    blocks.len()
}

#[test]
fn operations() {
    assert!(run_page("docs/operations.md") > 10);
}

#[test]
fn every_page_with_commands_is_run() {
    let mut run = 0;
    for name in pages() {
        let text = fs::read_to_string(tree().join(&name)).unwrap();
        let has_commands = blocks(&text)
            .iter()
            .any(|block| matches!(block, Block::Run(_)));
        // It has a test of its own.
        if has_commands && name != "docs/operations.md" {
            run += run_page(&name);
        }
    }
    assert!(run > 0);
}

/// The documents, by their paths in the tree.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(tree().join("docs")).unwrap();
    let names = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let docs = names.filter(|name| name.ends_with(".md"));
    let mut pages = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    pages.extend(docs.map(|name| format!("docs/{name}")));
    pages.sort();
    pages
}

#[test]
fn each_subject_has_a_page_that_the_readme_names() {
    let readme = fs::read_to_string(tree().join("README.md")).unwrap();
    let pages = pages();
    for subject in [
        "installing",
        "first-steps",
        "durability",
        "operations",
        "commands",
        "servers",
        "clients",
        "benchmarks",
        "format",
    ] {
        assert!(pages.contains(&format!("docs/{subject}.md")), "{subject}");
    }
    for page in pages.iter().filter(|page| page.starts_with("docs/")) {
        assert!(readme.contains(&format!("({page}")), "no link to {page}");
    }
}

/// Whether a line of a block looks like a command of a shell.
fn is_command(line: &str) -> bool {
    let words = line.split_whitespace();
    let is_setting = |word: &&str| {
        let (name, _) = word.split_once('=').unwrap_or_default();
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    };
    let mut words = words.skip_while(is_setting);
    let (program, more) = (words.next().unwrap_or_default(), words.next());
    let programs = [
        "cargo",
        "redis-server",
        "redis-cli",
        "redis-benchmark",
        "valkey-server",
        "valkey-cli",
        "pmedis",
        "pmempool",
        "apt",
        "docker",
        "systemctl",
    ];
    program.starts_with("ci/")
        || programs.contains(&program) && more.is_some_and(|word| !word.starts_with('('))
}

#[test]
fn no_command_line_stands_outside_of_what_is_run() {
    let mut found = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(tree().join(&page)).unwrap();
        let (mut fence, mut before) = (None, "");
        for line in text.lines() {
            if let Some(mark) = line.strip_prefix("```") {
                fence = match fence {
                    None => Some(mark),
                    Some(_) => None,
                };
            } else if fence == Some("") && is_command(line)
                || fence.is_none()
                    && line.starts_with("    ")
                    && (before.is_empty() || before.starts_with("    "))
                    && is_command(line)
            {
                found.push(format!("{page}: {line}"));
            }
            before = line;
        }
    }
    assert!(found.is_empty(), "in no block marked `sh`: {found:#?}");
}

#[test]
fn a_wrong_word_is_noticed() {
    let sandbox = Sandbox::new();
    let run = |block: &str| {
        let block = script(block);
        let mut bash = sandbox.bash();
        bash.args(["-c", &format!("{PRELUDE}{block}")]);
        bash.output().unwrap().status.success()
    };
    assert!(run("printf 'a\\nb\\n'  # → a\n   # → b\ntrue"));
    assert!(!run("printf 'a\\nb\\n'  # → a\n   # → c"));
    assert!(!run("echo a  # → b"));
    assert!(!run("false\ntrue"));
}

#[test]
fn terminals_are_run_as_they_stand() {
    let shown = "$ redis-cli\n127.0.0.1:6379> PM.GET a\n\"1\"\n127.0.0.1:6379> PM.MGET a b\n1) \"1\"\n2) (nil)\n$ true\n$ echo b\nb";
    assert_eq!(
        terminal(shown).unwrap(),
        "redis-cli --no-raw PM.GET a\n  # → \"1\"\nredis-cli --no-raw PM.MGET a b\n  # → 1) \"1\"\n  # → 2) (nil)\ntrue\necho b\n  # → b\n"
    );
    assert_eq!(terminal("loadmodule libpmedis.so"), None);
}

#[test]
fn blocks_are_found_with_their_reasons() {
    let page = "Text\n\n<!-- not run: a device -->\n```sh\nmount\n```\n<!-- not run: lost -->\ntext\n```sh\nls\n```\n\
                ```\nnot this\n```\n<!-- run\nhidden\n-->\n";
    assert_eq!(
        blocks(page),
        [
            Block::NotRun("a device".into()),
            Block::Run("ls".into()),
            Block::Run("hidden".into())
        ]
    );
}

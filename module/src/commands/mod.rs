//! The commands: parse and validate arguments, call the keyspace, reply.

mod bitmap;
mod check;
mod defrag;
mod generic;
mod geo;
mod hash;
mod hyperloglog;
mod info_from_native;
mod list;
mod pool;
mod sample;
mod scan;
mod server;
mod set;
mod sort;
mod string;
mod syntax;
mod wait;
mod zset;

use crate::behaviour::Behaviour;
use crate::redis::{CommandInfo, Ctx, Handler, NumberedKeys, Registrar};
use info_from_native::Native;

/// Adds all commands to the server: one row each.
pub fn register(ctx: &Ctx) -> Result<(), String> {
    let mut table = Table {
        ctx,
        registrar: Registrar::new(ctx),
        natives: Vec::new(),
    };

    let served_always = "readonly fast allow-loading allow-stale";
    table.own("pm.info", server::info, -1, served_always, (0, 0, 0))?;
    table.own("pm.ready", server::ready, 1, served_always, (0, 0, 0))?;
    ctx.add_info(server::info_fields);
    table.own("pm.pool", pool::pool, -2, served_always, (0, 0, 0))?;
    table.own("pm.check", check::check, -1, "readonly", (1, 1, 1))?;

    table.own(
        "pm.defrag",
        defrag::defrag,
        -1,
        "admin deny-script",
        (0, 0, 0),
    )?;

    generic::rows(&mut table)?;
    string::rows(&mut table)?;
    bitmap::rows(&mut table)?;
    hyperloglog::rows(&mut table)?;
    list::rows(&mut table)?;
    hash::rows(&mut table)?;
    set::rows(&mut table)?;
    zset::rows(&mut table)?;
    sort::rows(&mut table)?;
    geo::rows(&mut table)?;

    info_from_native::describe(ctx, &table.natives);
    Ok(())
}

/// The table of commands, while it is being filled.
struct Table<'a> {
    ctx: &'a Ctx,
    registrar: Registrar<'a>,
    natives: Vec<Native>,
}

impl Table<'_> {
    /// Adds `pm.<name>`, the counterpart of a native command, which also describes it. No handler is
    /// called with fewer or more arguments than the arity allows.
    fn native<H: Handler>(
        &mut self,
        name: &'static str,
        handler: H,
        arity: i32,
        flags: &str,
        keys: (i32, i32, i32),
    ) -> Result<(), String> {
        self.natives.push(Native {
            name: name.to_owned(),
            arity,
        });
        let flags = match Behaviour::BlockingRunsInScripts.here() {
            true => flags.replace("deny-script ", ""),
            false => flags.to_owned(),
        };
        self.registrar
            .add(&format!("pm.{name}"), handler, &flags, keys)
    }

    /// The same for a command that says how many keys follow.
    fn numbered<H: Handler>(
        &mut self,
        name: &'static str,
        handler: H,
        arity: i32,
        flags: &str,
        numbered: NumberedKeys,
    ) -> Result<(), String> {
        self.natives.push(Native {
            name: name.to_owned(),
            arity,
        });
        self.registrar
            .add_numbered(&format!("pm.{name}"), handler, flags, numbered)
    }

    /// Adds `pm.<name>`, the counterpart of a native command that consists of others.
    fn container(&mut self, name: &'static str, arity: i32) -> Result<(), String> {
        self.natives.push(Native {
            name: name.to_owned(),
            arity,
        });
        self.registrar.add_container(&format!("pm.{name}"))
    }

    /// Adds a part of the container `pm.<container>`; see [`Table::native`]. Keys count from the
    /// container's name.
    fn part<H: Handler>(
        &mut self,
        container: &'static str,
        name: &'static str,
        handler: H,
        arity: i32,
        flags: &str,
        keys: (i32, i32, i32),
    ) -> Result<(), String> {
        self.natives.push(Native {
            name: format!("{container}|{name}"),
            arity,
        });
        self.registrar
            .add_part(&format!("pm.{container}"), name, handler, flags, keys)
    }

    /// Adds a command that Redis does not have.
    fn own<H: Handler>(
        &mut self,
        name: &'static str,
        handler: H,
        arity: i32,
        flags: &str,
        keys: (i32, i32, i32),
    ) -> Result<(), String> {
        self.registrar.add(name, handler, flags, keys)?;
        let info = CommandInfo {
            arity,
            ..CommandInfo::default()
        };
        self.ctx
            .set_command_info(name, &info)
            .map_err(|error| format!("{name}: {error:?}"))
    }
}

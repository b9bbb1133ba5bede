//! The commands: parse and validate arguments, call the keyspace, reply.

mod adopt;
mod bitmap;
mod check;
mod defrag;
mod generic;
mod geo;
mod hash;
mod hyperloglog;
mod info_from_native;
mod list;
pub mod plain;
mod pool;
mod sample;
mod scan;
mod sections;
mod server;
mod set;
mod sort;
mod string;
mod syntax;
mod wait;
mod zset;

use crate::behaviour::Behaviour;
use crate::redis::{CommandInfo, Ctx, Handler, KeysAt, NumberedKeys, Registrar, StandIn};
pub use info_from_native::Native;

/// Adds all commands to the server: one row each. Those are returned that have a native counterpart.
pub fn register(ctx: &Ctx) -> Result<Vec<Native>, String> {
    let mut table = Table {
        ctx,
        registrar: Registrar::new(ctx),
        natives: Vec::new(),
        stands_in: false,
    };

    let served_always = "readonly fast allow-loading allow-stale";
    table.own("pm.info", server::info, -1, served_always, (0, 0, 0))?;
    table.own("pm.ready", server::ready, 1, served_always, (0, 0, 0))?;
    table.own("pm.stats", server::stats, 1, served_always, (0, 0, 0))?;
    table.own("pm.help", server::help, 1, served_always, (0, 0, 0))?;
    table.own("pm.usage", server::usage, 2, "readonly", (1, 1, 1))?;
    ctx.add_info::<sections::InServer>();
    table.own(
        "pm.pool",
        pool::pool,
        -2,
        "admin allow-loading allow-stale",
        (0, 0, 0),
    )?;
    table.own("pm.check", check::check, -1, "readonly", (1, 1, 1))?;

    table.own(
        "pm.defrag",
        defrag::defrag,
        -1,
        "admin deny-script",
        (0, 0, 0),
    )?;

    table.registrar.add_container("pm.adopt")?;
    table.own_part("adopt", "keys", adopt::keys, -3, "write", (2, -1, 1))?;
    table.own_part("adopt", "match", adopt::matching, 3, "write", (0, 0, 0))?;
    table.own_part("adopt", "all", adopt::all, 2, "write", (0, 0, 0))?;
    table.own_part("adopt", "stop", adopt::stop, 2, "write", (0, 0, 0))?;
    table.own_part("adopt", "status", adopt::status, 2, "readonly", (0, 0, 0))?;

    generic::rows(&mut table)?;
    table.stands_in = true;
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
    Ok(table.natives)
}

/// The table of commands, while it is being filled.
struct Table<'a> {
    ctx: &'a Ctx,
    registrar: Registrar<'a>,
    natives: Vec<Native>,
    /// The rows that follow are of commands which the module stands in for, if it does.
    stands_in: bool,
}

/// Where a row's keys are.
fn keys_at(keys: (i32, i32, i32), flags: &str) -> KeysAt {
    match keys == (1, 1, 1) && !flags.contains("getkeys-api") {
        true => KeysAt::First,
        false => KeysAt::Elsewhere,
    }
}

impl Table<'_> {
    fn stand_in(&self, name: &str, keys: KeysAt, flags: &str) -> Option<StandIn> {
        self.stands_in.then(|| StandIn {
            native: name.to_owned(),
            own: format!("pm.{name}"),
            keys,
            writes: flags.contains("write"),
        })
    }

    /// The row before this is of a command which the module stands in for, if it does, and which looks for itself what
    /// its keys hold.
    fn any_key(&mut self) {
        if let Some(native) = self.natives.last_mut() {
            native.stand_in = Some(StandIn {
                native: native.name.clone(),
                own: format!("pm.{}", native.name),
                keys: KeysAt::Any,
                writes: false,
            });
        }
    }

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
            stand_in: self.stand_in(name, keys_at(keys, flags), flags),
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
            stand_in: self.stand_in(name, KeysAt::Elsewhere, flags),
        });
        self.registrar
            .add_numbered(&format!("pm.{name}"), handler, flags, numbered)
    }

    /// Adds `pm.<name>`, the counterpart of a native command that consists of others.
    fn container(&mut self, name: &'static str, arity: i32) -> Result<(), String> {
        self.natives.push(Native {
            name: name.to_owned(),
            arity,
            stand_in: None,
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
            stand_in: None,
        });
        self.registrar
            .add_part(&format!("pm.{container}"), name, handler, flags, keys)
    }

    /// Adds a part of a container that Redis does not have; see [`Table::part`].
    fn own_part<H: Handler>(
        &mut self,
        container: &str,
        name: &str,
        handler: H,
        arity: i32,
        flags: &str,
        keys: (i32, i32, i32),
    ) -> Result<(), String> {
        let container = format!("pm.{container}");
        self.registrar
            .add_part(&container, name, handler, flags, keys)?;
        let info = CommandInfo {
            arity,
            ..syntax::own(&format!("{container}|{name}")).unwrap_or_default()
        };
        let name = format!("{container}|{name}");
        let set = self.ctx.set_command_info(&name, &info);
        set.map_err(|error| format!("{name}: {error:?}"))
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
            ..syntax::own(name).unwrap_or_default()
        };
        self.ctx
            .set_command_info(name, &info)
            .map_err(|error| format!("{name}: {error:?}"))
    }
}

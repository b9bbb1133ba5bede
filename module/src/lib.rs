//! libpmedis.so: Redis's five native types on persistent memory.
//!
//! The path of a command: `commands` parses and validates, `keyspace` finds the record behind the
//! key, `store::structures` computes and writes through a `pobj` transaction, and `redis` is the
//! boundary to the server.

#![deny(unsafe_code)]
// Nothing is built on this crate: `pub` is for its other modules. So dead code shows, and `clippy`
// sees to the docs.
#![allow(unreachable_pub)]
#![warn(clippy::missing_docs_in_private_items)]

mod behaviour;
mod commands;
mod config;
mod double;
mod error;
mod glob;
mod keyspace;
mod limits;
mod partial_sort;
#[allow(unsafe_code)]
mod redis;
mod report;

use config::Config;
use redis::{Args, Ctx, Event, EventKind, MainCell, Reply};

/// The settings in force.
pub(crate) static SETTINGS: MainCell<Config> = MainCell::empty();

/// Learns the settings, from the load arguments and the server's configuration.
fn settings(ctx: &Ctx, args: Args<'_>) -> Result<Config, String> {
    let words = args.from(0).iter().map(|arg| arg.bytes());
    let mut given = Config::parse(words, report::notice).map_err(|error| error.to_string())?;
    let entries = config::entries(&mut given);
    let put = SETTINGS.replace(Some(given));
    put.map_err(|_| "loaded twice")?;
    ctx.add_configs::<config::InServer>(&entries)?;
    if ctx.has_unknown_settings() {
        let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
        return Err(format!(
            "a setting behind CONFIG is not known; after 'pmedis.', there are {}",
            names.join(", ")
        ));
    }
    let settings = SETTINGS.with(|settings| settings.clone());
    let settings = settings.map_err(|refused| format!("no settings: {refused:?}"))?;
    settings.check().map_err(|error| error.to_string())?;
    Ok(settings)
}

/// Learns what the server's configuration says, when the module is loaded and whenever it changes.
fn learn_configuration(ctx: &Ctx) {
    keyspace::learn_rdb_path(ctx);
    keyspace::plain_stream::follow_settings(ctx);
    keyspace::fill::follow_setting(ctx);
    limits::read(ctx);
}

/// Sets the module up; an error is logged and refuses the module.
pub(crate) fn load(ctx: &Ctx, args: Args<'_>) -> Result<(), String> {
    let config = settings(ctx, args)?;
    if !redis::end_children_with_server() {
        return Err("no memory to see to forked children".into());
    }
    keyspace::open::check_databases(ctx, &config)?;
    let engine = keyspace::open::open(&config).map_err(|error| error.to_string())?;
    keyspace::ENGINE
        .replace(Some(engine))
        .map_err(|_| "loaded twice")?;
    let set_up = set_up(ctx, config);
    if set_up.is_err() {
        let _ = keyspace::ENGINE.with(keyspace::Engine::withdraw);
    }
    set_up
}

/// Sets up all that has to do with an open pool.
fn set_up(ctx: &Ctx, config: Config) -> Result<(), String> {
    redis::register_types::<keyspace::callbacks::Values>(ctx)?;
    let info = match ctx.call(c"INFO", &[b"server"]) {
        Some(Reply::Text(info)) => Some(String::from_utf8_lossy(&info).into_owned()),
        _ => None,
    };
    behaviour::learn(info.as_deref(), ctx.server_version());
    redis::on_failure(&keyspace::room::ON_FAILURE).map_err(|_| "loaded on another thread")?;
    learn_configuration(ctx);
    keyspace::native_rdb::shorten()?;
    let natives = commands::register(ctx)?;
    let look_ups = commands::rows().filter_map(|row| Some((row.name, row.looks_up_in?)));
    let streams = commands::rows().map(|row| (row.name, row.stream));
    keyspace::plain_stream::learn_streams(streams);
    keyspace::learn_look_ups(look_ups).map_err(|error| error.text("").into_owned())?;
    keyspace::open::watch_faults(ctx);
    ctx.keep_ok();
    if let Some(scope) = config.unprefixed {
        commands::plain::stand_in(ctx, &natives, scope)?;
    }
    // Nothing fails from here on: Redis 7.0 would go on to call a module that it has refused.
    keyspace::events::subscribe(ctx);
    ctx.subscribe(EventKind::Config, |ctx: &Ctx, event: Event| {
        learn_configuration(ctx);
        keyspace::events::on_event(ctx, event);
    });
    keyspace::watch_output(ctx);
    Ok(())
}

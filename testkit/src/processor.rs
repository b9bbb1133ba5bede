//! What a server spends on something, whatever else the machine does meanwhile.

use crate::client::Client;

/// Microseconds for which the server's main thread runs during `f`. Other processes that share the
/// machine do not count; asking costs some 100 of them.
///
/// # Panics
/// If the server does not tell.
#[track_caller]
pub fn processor_time(client: &mut Client, f: impl FnOnce(&mut Client)) -> u64 {
    let before = spent(client);
    f(client);
    ((spent(client) - before) * 1e6) as u64
}

/// Seconds that the server's main thread has run.
#[track_caller]
fn spent(client: &mut Client) -> f64 {
    let text = client.call(&["INFO", "cpu"]);
    let text = String::from_utf8_lossy(text.bytes().expect("INFO's text")).into_owned();
    let seconds = |name: &str| -> f64 {
        let field = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let field = field.unwrap_or_else(|| panic!("no {name} in {text}"));
        field.parse().expect("seconds")
    };
    seconds("used_cpu_sys_main_thread") + seconds("used_cpu_user_main_thread")
}

//! The kill -9 tests: clients write as fast as they can, the server is killed at any moment, and
//! what the restarted server holds is judged.
//!
//! Each client has keys of its own and a history that can be replayed: the n-th thing it does is a
//! function of its seed and n ([`history`]). As a server runs a client's commands in order, what
//! it holds after a crash must be the client's state after its first m operations, wholly, for
//! some m between those that were acknowledged and those that were sent. [`writer`] writes and
//! counts, and tries all such m against the server. So a lost write, a half of a write, half of an
//! MSET or of a transaction, or a later write that survived an earlier one are all the same
//! finding: no m fits.

pub mod history;
pub mod rounds;
pub mod writer;

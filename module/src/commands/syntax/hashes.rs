//! The commands of hash fields that expire, for servers without them.

use super::Description;

pub const COMMANDS: &[Description] = &[];

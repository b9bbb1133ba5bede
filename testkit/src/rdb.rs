//! Payloads of DUMP and RESTORE: `type | value | version, 2 bytes | CRC64, 8 bytes`.

use crc::{CRC_64_REDIS, Crc};

static CRC: Crc<u64> = Crc::<u64>::new(&CRC_64_REDIS);

/// A payload with the checksum that its bytes have now.
pub fn sealed(mut payload: Vec<u8>) -> Vec<u8> {
    if let Some(end) = payload.len().checked_sub(8) {
        let sum = CRC.checksum(&payload[..end]);
        payload[end..].copy_from_slice(&sum.to_le_bytes());
    }
    payload
}

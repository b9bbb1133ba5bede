//! Payloads of DUMP and RESTORE: `type | value | version, 2 bytes | CRC64, 8 bytes`.

/// The checksum at the end of an RDB file or a DUMP payload: CRC-64 with Jones's polynomial,
/// reflected, beginning with 0. O(n), with a table made at compile time.
pub fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |crc, byte| {
        TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8)
    })
}

/// Jones's polynomial, its bits reversed.
const POLYNOMIAL: u64 = 0xad93_d235_94c9_35a9_u64.reverse_bits();

const TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (if crc & 1 == 1 { POLYNOMIAL } else { 0 });
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// A payload with the checksum that its bytes have now.
pub fn sealed(mut payload: Vec<u8>) -> Vec<u8> {
    if let Some(end) = payload.len().checked_sub(8) {
        let sum = crc64(&payload[..end]);
        payload[end..].copy_from_slice(&sum.to_le_bytes());
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::crc64;

    #[test]
    fn the_checksum_is_redis_s() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }
}

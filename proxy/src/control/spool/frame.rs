//! One record in a segment: its length and its CRC-32, both little-endian, then the bytes. It must not know what the bytes mean.

/// The longest frame that is written or believed.
pub(super) const LONGEST_FRAME: usize = 128 * 1024;
const HEADER: usize = 8;

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A frame; the next one begins `length` bytes on.
    Whole { payload: &'a [u8], length: usize },
    /// The bytes end before a frame does.
    End,
    /// Not a frame.
    Damaged,
}

/// The payload does not fit a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Appends a frame around what `write` appends. Nothing is appended when that does not fit or fails.
pub(super) fn frame_into<E>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), TooLong> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    let written = write(out);
    let (length, sum) = match out.get(start + HEADER..) {
        Some(payload) if written.is_ok() && payload.len() + HEADER <= LONGEST_FRAME => {
            (u32::try_from(payload.len()).unwrap_or(u32::MAX), crc32(payload))
        }
        _ => {
            out.truncate(start);
            return Err(TooLong);
        }
    };
    if let Some((for_length, rest)) = out.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut::<4>)
        && let Some((for_sum, _)) = rest.split_first_chunk_mut::<4>()
    {
        *for_length = length.to_le_bytes();
        *for_sum = sum.to_le_bytes();
    }
    Ok(())
}

/// Reads the frame that `bytes` begin with.
pub(super) fn next_frame(bytes: &[u8]) -> Frame<'_> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Frame::End };
    let Some((sum, rest)) = rest.split_first_chunk::<4>() else { return Frame::End };
    let length = u32::from_le_bytes(*length) as usize;
    if length > LONGEST_FRAME {
        return Frame::Damaged;
    }
    let Some(payload) = rest.get(..length) else { return Frame::End };
    // An empty record does not exist; a run of zeroes, which some file systems leave after a crash, would look like one.
    if length == 0 || crc32(payload) != u32::from_le_bytes(*sum) {
        return Frame::Damaged;
    }
    Frame::Whole { payload, length: length + HEADER }
}

/// The checksum of zip and Ethernet (reflected polynomial 0xEDB88320), eight bytes at a time.
#[expect(clippy::indexing_slicing, reason = "a byte is a place in a table of 256")]
fn crc32(bytes: &[u8]) -> u32 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut sum = u32::MAX;
    for [a, b, c, d, e, f, g, h] in eights {
        let [i, j, k, l] = (sum ^ u32::from_le_bytes([*a, *b, *c, *d])).to_le_bytes();
        sum = TABLES[7][usize::from(i)]
            ^ TABLES[6][usize::from(j)]
            ^ TABLES[5][usize::from(k)]
            ^ TABLES[4][usize::from(l)]
            ^ TABLES[3][usize::from(*e)]
            ^ TABLES[2][usize::from(*f)]
            ^ TABLES[1][usize::from(*g)]
            ^ TABLES[0][usize::from(*h)];
    }
    for byte in rest {
        let [low, ..] = (sum ^ u32::from(*byte)).to_le_bytes();
        sum = TABLES[0][usize::from(low)] ^ (sum >> 8);
    }
    !sum
}

/// What a byte does to the sum when 0 to 7 bytes follow it.
static TABLES: [[u32; 256]; 8] = tables();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler; 256 fits"
)]
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut place = 0;
    while place < 256 {
        let mut sum = place as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { 0xEDB8_8320 ^ (sum >> 1) } else { sum >> 1 };
            bit += 1;
        }
        tables[0][place] = sum;
        place += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut place = 0;
        while place < 256 {
            let before: u32 = tables[table - 1][place];
            tables[table][place] = tables[0][(before & 0xff) as usize] ^ (before >> 8);
            place += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
        frame_into::<()>(out, |out| {
            out.extend_from_slice(payload);
            Ok(())
        })
    }

    #[test]
    fn the_checksum_is_the_well_known_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"The quick brown fox jumps over the lazy dog"), 0x414F_A339);
    }

    #[test]
    fn what_is_framed_is_read_back_and_any_flipped_bit_is_noticed() {
        let mut framed = Vec::new();
        frame(b"record", &mut framed).unwrap();
        assert_eq!(next_frame(&framed), Frame::Whole { payload: b"record", length: framed.len() });
        for bit in 32..framed.len() * 8 {
            let mut broken = framed.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(next_frame(&broken), Frame::Damaged);
        }
        for cut in 0..framed.len() {
            assert_eq!(next_frame(&framed[..cut]), Frame::End);
        }
    }

    #[test]
    fn zeroes_are_not_a_record() {
        assert_eq!(next_frame(&[0; 64]), Frame::Damaged);
    }

    #[test]
    fn a_payload_that_could_not_be_read_back_is_not_written() {
        let mut out = Vec::new();
        assert_eq!(frame(&vec![1; LONGEST_FRAME], &mut out), Err(TooLong));
        assert_eq!(frame_into(&mut out, |_| Err("no")), Err(TooLong));
        assert!(out.is_empty());
    }
}

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

/// Appends a frame around `payload`.
pub(super) fn frame_into(payload: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() + HEADER <= LONGEST_FRAME);
    let Some(length) = length else { return Err(TooLong) };
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32(payload).to_le_bytes());
    out.extend_from_slice(payload);
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

/// The checksum of zip and Ethernet (reflected polynomial 0xEDB88320).
fn crc32(bytes: &[u8]) -> u32 {
    let folded = bytes.iter().fold(u32::MAX, |sum, byte| {
        let place = (sum ^ u32::from(*byte)) & 0xff;
        TABLE.get(place as usize).copied().unwrap_or_default() ^ (sum >> 8)
    });
    !folded
}

static TABLE: [u32; 256] = table();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler; 256 fits"
)]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut place = 0;
    while place < 256 {
        let mut sum = place as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { 0xEDB8_8320 ^ (sum >> 1) } else { sum >> 1 };
            bit += 1;
        }
        table[place] = sum;
        place += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_well_known_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn what_is_framed_is_read_back_and_any_flipped_bit_is_noticed() {
        let mut framed = Vec::new();
        frame_into(b"record", &mut framed).unwrap();
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
        assert_eq!(frame_into(&vec![1; LONGEST_FRAME], &mut out), Err(TooLong));
        assert!(out.is_empty());
    }
}

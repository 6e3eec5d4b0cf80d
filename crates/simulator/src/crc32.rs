//! The checksum of gzip and of AWS event streams (IEEE 802.3), here so that nobody compares the proxy's with itself.

#[derive(Debug, Clone, Copy)]
pub(crate) struct Crc32(u32);

const TABLE: [u32; 256] = table();

impl Crc32 {
    pub(crate) fn new() -> Self {
        Self(u32::MAX)
    }

    pub(crate) fn of(bytes: &[u8]) -> u32 {
        let mut sum = Self::new();
        sum.add(bytes);
        sum.value()
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let [low, ..] = self.0.to_le_bytes();
            let entry = TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default();
            self.0 = (self.0 >> 8) ^ entry;
        }
    }

    pub(crate) fn value(self) -> u32 {
        !self.0
    }
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would refuse it")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    let mut byte = 0;
    while index < 256 {
        let mut value = byte;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_the_nine_digits_is_the_published_one() {
        assert_eq!(Crc32::of(b"123456789"), 0xcbf4_3926);
    }
}

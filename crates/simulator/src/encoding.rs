//! Content codings without a compressor: gzip, Brotli and Zstandard all have blocks that hold their bytes as they are, and any
//! decoder reads those. Each piece becomes blocks of its own, so that a stream can be read as it arrives.

use bytes::Bytes;

use crate::behaviour::Encoding;
use crate::crc32::Crc32;

impl Encoding {
    /// The word in `content-encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Br => "br",
            Self::Zstd => "zstd",
        }
    }
}

/// One body on its way out.
#[derive(Debug)]
pub(crate) struct Encoder {
    encoding: Encoding,
    checksum: Crc32,
    length: u32,
}

/// The most bytes in one block: what gzip and, after it, Zstandard and Brotli can take.
const BLOCK: usize = 60_000;

impl Encoder {
    pub(crate) fn new(encoding: Encoding) -> Self {
        Self { encoding, checksum: Crc32::new(), length: 0 }
    }

    /// The bytes of a piece; the first begins with the format's header.
    pub(crate) fn piece(&mut self, bytes: &[u8], is_first: bool) -> Bytes {
        let mut out = Vec::with_capacity(bytes.len() + 32);
        if is_first {
            out.extend_from_slice(self.head());
        }
        self.checksum.add(bytes);
        self.length = self.length.wrapping_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        for block in bytes.chunks(BLOCK) {
            let size = u32::try_from(block.len()).unwrap_or(u32::MAX);
            let [low, high, ..] = size.to_le_bytes();
            match self.encoding {
                Encoding::Gzip => out.extend_from_slice(&[0, low, high, !low, !high]),
                // A meta-block: not the last (1 bit), four nibbles of length (2 bits), length less one (16), uncompressed (1).
                Encoding::Br => {
                    let bits = ((size - 1) << 3) | (1 << 19);
                    let [first, second, third, _] = bits.to_le_bytes();
                    out.extend_from_slice(&[first, second, third]);
                }
                // A block: not the last (1 bit), raw (2 bits), the length.
                Encoding::Zstd => {
                    let [first, second, third, _] = (size << 3).to_le_bytes();
                    out.extend_from_slice(&[first, second, third]);
                }
            }
            out.extend_from_slice(block);
        }
        Bytes::from(out)
    }

    /// What ends the body.
    pub(crate) fn end(&self) -> Vec<u8> {
        match self.encoding {
            Encoding::Gzip => {
                let mut end = vec![1, 0, 0, 0xff, 0xff];
                end.extend_from_slice(&self.checksum.value().to_le_bytes());
                end.extend_from_slice(&self.length.to_le_bytes());
                end
            }
            Encoding::Br => vec![0b11],
            Encoding::Zstd => vec![1, 0, 0],
        }
    }

    fn head(&self) -> &'static [u8] {
        match self.encoding {
            Encoding::Gzip => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff],
            // A window of 64 KiB, then an empty meta-block that ends on a whole byte: what follows each stored block does, too.
            Encoding::Br => &[0x0c],
            // No checksum, no size; a window of 128 KiB.
            Encoding::Zstd => &[0x28, 0xb5, 0x2f, 0xfd, 0, 0x38],
        }
    }
}

//! Takes the content coding off an answer's body while it comes: gzip, deflate, Brotli and Zstandard.
//!
//! The proxy asks no provider for compression; some servers and the proxies before them compress all the same. What comes out
//! is bounded at every step, so that a small body cannot fill the memory. It must not know what the bytes mean.

use std::fmt;
use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// How much may come out of one piece of a body. A piece is some ten kilobytes; no text shrinks to a thousandth.
const MOST_FROM_ONE_PIECE: usize = 32 << 20;
/// How many codings may lie over each other.
const MOST_CODINGS: usize = 4;
/// The window that Zstandard may ask for, as a power of two: 8 MiB, as browsers allow.
const ZSTD_WINDOW_LOG: u32 = 23;
const BROTLI_BUFFER: usize = 16 << 10;

/// The codings of one body, the outermost first.
#[derive(Debug, Default)]
pub(super) struct Decoding {
    codings: Vec<Coding>,
    /// Whether any byte came: an answer without a body may name a coding all the same.
    has_begun: bool,
}

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncodingError {
    /// Nobody here knows the coding.
    #[error("the content coding `{0}` is not known")]
    Unknown(String),
    /// The bytes are not what the coding says.
    #[error("the {coding} body is broken")]
    Broken {
        /// Its name.
        coding: &'static str,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
}

enum Coding {
    Gzip(MultiGzDecoder<Capped>),
    Deflate(ZlibDecoder<Capped>),
    Brotli(Box<brotli::DecompressorWriter<Capped>>),
    Zstd(Box<zstd::stream::zio::Writer<Capped, zstd::stream::raw::Decoder<'static>>>),
}

impl Decoding {
    /// What the head of an answer says of its body.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, EncodingError> {
        let mut codings = Vec::new();
        for value in headers.get_all(CONTENT_ENCODING) {
            let names = value.to_str().map_err(|_error| EncodingError::Unknown("?".to_owned()))?;
            for name in names.split(',').map(|name| name.trim().to_ascii_lowercase()) {
                codings.extend(Coding::named(&name)?);
            }
        }
        if codings.len() > MOST_CODINGS {
            return Err(EncodingError::Unknown(format!("{} codings over each other", codings.len())));
        }
        // The last one named was put on last.
        codings.reverse();
        Ok(Self { codings, has_begun: false })
    }

    /// Whether the bytes are plain.
    pub(super) fn is_plain(&self) -> bool {
        self.codings.is_empty()
    }

    /// Decodes one piece.
    pub(super) fn push(&mut self, piece: Bytes) -> Result<Bytes, EncodingError> {
        // The rule: nothing is encoded, and nothing is copied.
        self.has_begun |= !piece.is_empty();
        self.codings.iter_mut().try_fold(piece, |piece, coding| coding.push(&piece))
    }

    /// The rest, when the body has ended.
    pub(super) fn finish(&mut self) -> Result<Bytes, EncodingError> {
        let mut rest = Bytes::new();
        let codings = if self.has_begun { self.codings.as_mut_slice() } else { &mut [] };
        for coding in codings {
            let mut out = coding.push(&rest)?.to_vec();
            out.extend_from_slice(&coding.finish()?);
            rest = out.into();
        }
        Ok(rest)
    }
}

impl Coding {
    fn named(name: &str) -> Result<Option<Self>, EncodingError> {
        let broken = |source| EncodingError::Broken { coding: "zstd", source };
        Ok(Some(match name {
            "" | "identity" => return Ok(None),
            "gzip" | "x-gzip" => Self::Gzip(MultiGzDecoder::new(Capped::default())),
            "deflate" => Self::Deflate(ZlibDecoder::new(Capped::default())),
            "br" => Self::Brotli(Box::new(brotli::DecompressorWriter::new(Capped::default(), BROTLI_BUFFER))),
            "zstd" => {
                let mut decoder = zstd::stream::raw::Decoder::new().map_err(broken)?;
                let window = zstd::stream::raw::DParameter::WindowLogMax(ZSTD_WINDOW_LOG);
                decoder.set_parameter(window).map_err(broken)?;
                Self::Zstd(Box::new(zstd::stream::zio::Writer::new(Capped::default(), decoder)))
            }
            unknown => return Err(EncodingError::Unknown(unknown.chars().take(40).collect())),
        }))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Gzip(_) => "gzip",
            Self::Deflate(_) => "deflate",
            Self::Brotli(_) => "br",
            Self::Zstd(_) => "zstd",
        }
    }

    fn push(&mut self, piece: &[u8]) -> Result<Bytes, EncodingError> {
        let written = match self {
            Self::Gzip(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
            Self::Deflate(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
            Self::Brotli(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
            Self::Zstd(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
        };
        written.map_err(|source| EncodingError::Broken { coding: self.name(), source })?;
        Ok(self.sink().take())
    }

    fn finish(&mut self) -> Result<Bytes, EncodingError> {
        let finished = match self {
            Self::Gzip(decoder) => decoder.try_finish(),
            // It says nothing of an end that did not come; but only after its end it takes nothing more.
            Self::Deflate(decoder) => decoder.try_finish().and_then(|()| match decoder.write(&[0]) {
                Ok(0) => Ok(()),
                Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) => Err(error),
            }),
            Self::Brotli(decoder) => decoder.close(),
            Self::Zstd(decoder) => decoder.finish(),
        };
        finished.map_err(|source| EncodingError::Broken { coding: self.name(), source })?;
        Ok(self.sink().take())
    }

    fn sink(&mut self) -> &mut Capped {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.writer_mut(),
        }
    }
}

impl fmt::Debug for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Takes what a decoder writes, up to a bound.
#[derive(Default)]
struct Capped(Vec<u8>);

impl Capped {
    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.0).into()
    }
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > MOST_FROM_ONE_PIECE {
            return Err(io::Error::other("it grows beyond all measure"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn brotli(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ::brotli::CompressorWriter::new(Vec::new(), 4_096, 5, 22);
        encoder.write_all(bytes).unwrap();
        encoder.into_inner()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ::zstd::encode_all(bytes, 1).unwrap()
    }

    fn decoding(coding: &'static str) -> Result<Decoding, EncodingError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        Decoding::of(&headers)
    }

    fn decode(coding: &'static str, body: &[u8], size: usize) -> Result<Vec<u8>, EncodingError> {
        let mut decoding = decoding(coding)?;
        let mut out = Vec::new();
        for piece in body.chunks(size.max(1)) {
            out.extend_from_slice(&decoding.push(Bytes::copy_from_slice(piece))?);
        }
        out.extend_from_slice(&decoding.finish()?);
        Ok(out)
    }

    proptest! {
        #[test]
        fn every_coding_gives_back_what_was_put_in_however_it_is_cut(
            text in prop::collection::vec(any::<u8>(), 0..2_000),
            size in 1_usize..700,
        ) {
            prop_assert_eq!(&decode("gzip", &gzip(&text), size).unwrap(), &text);
            prop_assert_eq!(&decode("deflate", &deflate(&text), size).unwrap(), &text);
            prop_assert_eq!(&decode("br", &brotli(&text), size).unwrap(), &text);
            prop_assert_eq!(&decode("zstd", &zstd(&text), size).unwrap(), &text);
            prop_assert_eq!(&decode("gzip, br", &brotli(&gzip(&text)), size).unwrap(), &text);
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 1..500)) {
            for coding in ["gzip", "deflate", "br", "zstd"] {
                let _ = decode(coding, &bytes, 100);
            }
        }
    }

    #[test]
    fn a_piece_comes_out_as_soon_as_it_can_be_read() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"data: first\n\n").unwrap();
        encoder.flush().unwrap();
        let first = std::mem::take(encoder.get_mut());
        let mut decoding = decoding("gzip").unwrap();
        assert_eq!(decoding.push(first.into()).unwrap(), "data: first\n\n");
    }

    #[test]
    fn a_body_that_grows_beyond_measure_is_given_up() {
        let bomb = vec![0_u8; MOST_FROM_ONE_PIECE + 1];
        for (coding, body) in [("gzip", gzip(&bomb)), ("br", brotli(&bomb)), ("zstd", zstd(&bomb))] {
            let error = decode(coding, &body, body.len()).unwrap_err();
            assert!(matches!(error, EncodingError::Broken { .. }), "{coding}: {error}");
        }
    }

    #[test]
    fn a_cut_body_is_broken_in_every_coding() {
        let text = b"some text that is long enough";
        for (coding, body) in
            [("gzip", gzip(text)), ("deflate", deflate(text)), ("br", brotli(text)), ("zstd", zstd(text))]
        {
            assert_eq!(decode(coding, &body, 8).unwrap(), text, "{coding}");
            for end in 1..body.len() {
                assert!(decode(coding, &body[..end], 8).is_err(), "{coding} cut at {end}");
            }
            assert!(decode(coding, b"", 8).unwrap().is_empty(), "an answer without a body");
        }
    }

    #[test]
    fn a_coding_that_nobody_knows_is_named() {
        assert_eq!(decoding("lzma").unwrap_err().to_string(), "the content coding `lzma` is not known");
        assert!(decoding("identity").unwrap().is_plain());
        assert!(decoding("gzip, gzip, gzip, gzip, gzip").is_err());
    }
}

//! Reads a call's body: under a cap, and not for ever. It must not know what the body says.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout;

use crate::failure::{Failure, Source, code};

/// The longest pause within a body.
const PAUSE: Duration = Duration::from_secs(30);
/// The longest time for a whole body.
const WHOLE: Duration = Duration::from_secs(300);
/// What is set aside for a body at once, however long it claims to be.
const FIRST_ROOM: usize = 256 << 10;

/// The whole body, when it is at most `max` bytes long and arrives in time.
pub(super) async fn read<B>(body: B, headers: &HeaderMap, max: usize) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Source>,
{
    let declared = declared_length(headers);
    if declared.is_some_and(|length| length > max) {
        return Err(too_large(max));
    }
    match timeout(WHOLE, collect(body, declared.unwrap_or(0), max)).await {
        Ok(read) => read,
        Err(_elapsed) => Err(too_slow()),
    }
}

async fn collect<B>(mut body: B, declared: usize, max: usize) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Source>,
{
    let mut first = Bytes::new();
    let mut grown: Option<BytesMut> = None;
    loop {
        let Ok(frame) = timeout(PAUSE, body.frame()).await else { return Err(too_slow()) };
        let Some(frame) = frame else { return Ok(grown.map_or(first, BytesMut::freeze)) };
        let frame = frame.map_err(|error| {
            let message = "the body could not be read to its end";
            Failure::caller(code::INVALID_REQUEST, 400, message).with_source(error)
        })?;
        // Trailers carry nothing that we know.
        let Ok(chunk) = frame.into_data() else { continue };
        let so_far = grown.as_ref().map_or(first.len(), BytesMut::len);
        if so_far.saturating_add(chunk.len()) > max {
            return Err(too_large(max));
        }
        if so_far == 0 {
            // The rule: one chunk is the whole body, and is not copied.
            first = chunk;
            continue;
        }
        let whole = grown.get_or_insert_with(|| {
            let mut whole = BytesMut::with_capacity(declared.min(FIRST_ROOM).max(first.len() + chunk.len()));
            whole.extend_from_slice(&first);
            whole
        });
        whole.extend_from_slice(&chunk);
    }
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    // The protocol layer has checked that it is a number; one that is too big for us is too large.
    let text = headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    Some(text.parse().unwrap_or(usize::MAX))
}

fn too_large(max: usize) -> Failure {
    Failure::caller(code::REQUEST_TOO_LARGE, 413, format!("the body is larger than {max} bytes"))
}

fn too_slow() -> Failure {
    Failure::caller(code::REQUEST_TIMEOUT, 408, "the body did not arrive in time")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt, stream};
    use http::HeaderValue;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn chunks(chunks: &'static [&'static [u8]]) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        StreamBody::new(stream::iter(chunks).map(|chunk| Ok(Frame::data(Bytes::from_static(chunk)))))
    }

    #[tokio::test]
    async fn a_body_comes_out_whole_however_it_was_cut() {
        let headers = HeaderMap::new();
        assert_eq!(read(chunks(&[b"abc"]), &headers, 3).await.unwrap(), "abc");
        assert_eq!(read(chunks(&[b"a", b"", b"b", b"c"]), &headers, 3).await.unwrap(), "abc");
        assert_eq!(read(chunks(&[]), &headers, 3).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_body_over_the_cap_is_refused_as_soon_as_that_is_known() {
        let mut headers = HeaderMap::new();
        let cut = read(chunks(&[b"ab", b"cd", b"never read"]), &headers, 3).await.unwrap_err();
        assert_eq!((cut.code, cut.status), (code::REQUEST_TOO_LARGE, 413));

        for declared in ["4", "99999999999999999999999999"] {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_str(declared).unwrap());
            let unread = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
            let refused = read(unread, &headers, 3).await.unwrap_err();
            assert_eq!(refused.code, code::REQUEST_TOO_LARGE);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_given_up() {
        let stalling = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a")))])
            .chain(stream::pending());
        let failure = read(StreamBody::new(stalling), &HeaderMap::new(), 10).await.unwrap_err();
        assert_eq!((failure.code, failure.status), (code::REQUEST_TIMEOUT, 408));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_given_up_as_well() {
        let trickling = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(29)).await;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a"))), ()))
        });
        let failure = read(StreamBody::new(Box::pin(trickling)), &HeaderMap::new(), 1_000).await.unwrap_err();
        assert_eq!(failure.code, code::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn one_chunk_is_not_copied() {
        let chunk = Bytes::from_static(b"the body");
        let address = chunk.as_ptr();
        let read = read(Full::new(chunk), &HeaderMap::new(), 100).await.unwrap();
        assert_eq!(read.as_ptr(), address);
    }
}

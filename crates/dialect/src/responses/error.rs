//! Errors inside a stream or a whole answer: the `error` event, `response.failed`, and a response that failed.

use serde_json::value::RawValue;

use crate::{
    ErrorShape, Fault,
    fault::decode_in_band,
    json::{Object, object},
    openai,
};

/// The fault that a record or a whole body reports, wherever the error stands in it.
pub(crate) fn read(data: &[u8]) -> Fault {
    inner(data).map_or_else(|| decode_in_band(data), |error| decode_in_band(error.get().as_bytes()))
}

/// The error of the response inside an event.
fn inner(data: &[u8]) -> Option<&RawValue> {
    let mut event = Object::parse(data).ok()?;
    let mut response = event.take_object("response").ok()??;
    response.take("error")
}

/// The data of an `error` event. Its own fields are those of the event, and the SDKs raise on the `error` inside it.
pub(crate) fn event(error: &ErrorShape<'_>, sequence: u64) -> Vec<u8> {
    object(|w| {
        w.string("type", "error");
        w.number("sequence_number", sequence);
        w.string("code", error.code);
        w.string("message", error.message);
        w.opt_string("param", error.param);
        openai::error::write(error, w);
    })
}

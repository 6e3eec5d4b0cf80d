//! Calls within a batch: each is run as if it had come alone. It must not know which dialect's batch it is.

use bytes::Bytes;
use http::Request;

use crate::answer::{Arrived, Content, Facts, Refusal};
use crate::behaviour::{Behaviour, split_model};
use crate::ledger::Billed;
use crate::routes;

/// Runs one call to `path`; a stream is no answer in a batch.
pub(crate) fn run(
    path: &str,
    headers: &[(&str, &str)],
    body: &Bytes,
    facts: &Facts<'_>,
) -> Result<(Bytes, Billed), Refusal> {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(()).map_err(|error| Refusal::new(400, error.to_string()))?;
    let (parts, ()) = request.into_parts();
    let unknown = || Refusal::invalid("url", format!("The URL {path} is not supported in batches."));
    let found = routes::find(&parts).map_err(|_surface| unknown())?;
    let question = (found.route.read)(&Arrived { parts: &parts, body, name: &found.name })?;
    let (model, suffix) = split_model(question.model());
    let behaviour =
        Behaviour::parse(suffix.unwrap_or_default()).map_err(|error| Refusal::new(400, error.to_string()))?;
    if let Some(status) = behaviour.status {
        return Err(Refusal::scripted(status, &behaviour));
    }
    let made = question.answer(&Facts { model, behaviour: &behaviour, ..*facts })?;
    match made.content {
        Content::Whole(bytes, _) => Ok((bytes, made.billed)),
        Content::Page(..) => Err(unknown()),
        Content::Stream(..) => Err(Refusal::invalid("stream", "Streaming is not supported in batches.")),
    }
}

/// Two bills in one.
pub(crate) fn sum(one: Billed, other: Billed) -> Billed {
    Billed {
        input: one.input + other.input,
        cached: one.cached + other.cached,
        cache_write: one.cache_write + other.cache_write,
        output: one.output + other.output,
        reasoning: one.reasoning + other.reasoning,
    }
}

//! The life of a call, top to bottom. Each room gets what the last one returned and knows no other room.

mod door;

use std::sync::Arc;

use bytes::Bytes;
use dialect::ModelEntry;
use http::{HeaderMap, Request, Response};
use hyper::body::Body;
use lifecycle::Clock;

use crate::affinity::Lesson;
use crate::exchange::{Exchange, RecordSink, Trace};
use crate::failure::{Failure, Origin, Source};
use crate::frontend::{self, Common, Inbound, ResponseBody, Surface};
use crate::identity::Permitted;
use crate::limits::Admitted;
use crate::runtime::{Current, Runtime};
use crate::telemetry::InFlight;
use crate::upstream::Answer;
use crate::{cache, guard, identity, limits, routing, settle, upstream};

pub use door::Door;

/// What every call of one data thread is served with.
#[derive(Clone)]
pub struct Room {
    /// The runtime in force.
    pub current: Current,
    /// The time.
    pub clock: Clock,
    /// Takes the records.
    pub sink: Arc<dyn RecordSink>,
    /// Counts calls under way.
    pub in_flight: InFlight,
    /// The largest body of a call, in bytes.
    pub max_body: usize,
    /// Which data thread this is.
    pub lane: usize,
}

/// A call on its way in, its body unread.
struct Arrived<B> {
    surface: Surface,
    headers: HeaderMap,
    query_key: Option<String>,
    body: B,
}

impl Room {
    /// Answers one request. Whatever the ending, a call leaves exactly one record.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<ResponseBody>
    where
        B: Body<Data = Bytes, Error: Into<Source>> + Unpin,
    {
        let (head, body) = request.into_parts();
        let (path, query) = (head.uri.path(), head.uri.query());
        let surface = match Surface::find(&head.method, path, query, &head.headers) {
            Ok(surface) => surface,
            Err(misdirected) => return frontend::render_misdirected(Common::bare(&self.clock), &misdirected),
        };
        let dialect = surface.dialect();
        let mut exchange = self.begin(&surface, &head.headers);
        let query_key = surface.key_in(query);
        let arrived = Arrived { surface, headers: head.headers, query_key, body };
        match self.serve(arrived, &mut exchange).await {
            Ok(Served::Call { admitted, answer, inbound, lesson, cache }) => {
                let common = Common::of(dialect, &mut exchange);
                let answered = settle::attach(admitted, answer, &inbound, lesson, exchange);
                frontend::render_answer(common, dialect, cache.as_str(), answered)
            }
            Ok(Served::Models(list)) => {
                exchange.answered();
                frontend::render_bytes(Common::of(dialect, &mut exchange), list)
            }
            Err(failure) => {
                report(&failure, exchange.request_id());
                exchange.refused(&failure);
                frontend::render_failure(Common::of(dialect, &mut exchange), dialect, &failure)
            }
        }
    }

    fn begin(&self, surface: &Surface, headers: &HeaderMap) -> Exchange {
        let mut exchange = Exchange::begin(&self.clock, self.lane, Arc::clone(&self.sink));
        exchange.count_in(self.in_flight.begin(self.lane));
        let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        exchange.note(|record| {
            record.operation = surface.operation();
            record.dialect = surface.dialect().as_str();
            record.trace = traceparent.and_then(Trace::parse).unwrap_or_default();
        });
        exchange
    }

    /// Finds out who calls, before a byte of the body is read, and for what.
    async fn serve<B>(&self, arrived: Arrived<B>, exchange: &mut Exchange) -> Result<Served, Failure>
    where
        B: Body<Data = Bytes, Error: Into<Source>> + Unpin,
    {
        let Arrived { surface, headers, query_key, body } = arrived;
        let Some(runtime) = self.current.load() else {
            return Err(identity::not_ready("the proxy has not yet received a policy"));
        };
        let policy = &runtime.policy;
        exchange.decided_by(policy);
        let now_ms = self.clock.unix_ms();
        let caller = identity::identify(policy, &runtime.pepper, &headers, query_key.as_deref(), now_ms)?;
        exchange.identified(caller.key(), caller.tags().as_map());
        match surface {
            Surface::Call(asked) => {
                let call = frontend::read_call(asked, &headers, body, self.max_body, now_ms).await?;
                exchange.asked(&call.envelope);
                let permitted = identity::permit(policy, caller, &call)?;
                let inbound = Inbound::new(call, headers, permitted.caller().tags().clone());
                walk(&runtime, permitted, inbound, exchange).await
            }
            Surface::Passage(passage) => {
                let call = frontend::read_passage(&passage, &headers, body, self.max_body).await?;
                exchange.asked(&call.envelope);
                let consumer = caller.key().consumer.name.as_str();
                let holder = runtime.affinity.holder_for(&passage, &call.body, consumer)?;
                let model = &call.envelope.model;
                let permitted = identity::permit_passage(policy, caller, &passage, holder.as_ref(), model)?;
                let inbound = Inbound::new(call, headers, permitted.caller().tags().clone());
                let inbound = inbound.passing(passage, permitted.dialect());
                walk(&runtime, permitted, inbound, exchange).await
            }
            Surface::Models(dialect) => {
                let visible = policy.visible_models(caller.key());
                let entries: Vec<_> = visible.into_iter().map(|model| entry(&model.name)).collect();
                Ok(Served::Models(dialect::encode_models(dialect, &entries)))
            }
            Surface::Model(dialect, name) => {
                identity::resolve(policy, &caller, &name)?;
                Ok(Served::Models(dialect::encode_model(dialect, &entry(&name))))
            }
        }
    }
}

/// What a call came to.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the rule, and boxing it would cost each call an allocation"
)]
enum Served {
    Call {
        admitted: Admitted,
        answer: Answer,
        inbound: guard::Inspected,
        lesson: Option<Lesson>,
        cache: cache::Lookup,
    },
    Models(Bytes),
}

/// The whole life of a call to a model, in order.
async fn walk(
    runtime: &Runtime,
    permitted: Permitted,
    mut inbound: Inbound,
    exchange: &mut Exchange,
) -> Result<Served, Failure> {
    let admitted = limits::admit(&runtime.policy, &runtime.limits, permitted, &inbound, exchange)?;
    let consumer = admitted.caller().key().consumer.name.as_str();
    inbound.holder = runtime.affinity.holder_mentioned(&inbound.call, consumer)?;
    let inbound = guard::inspect_call(inbound);
    let cache = cache::look_up(&inbound);
    let plan = routing::plan(runtime, &admitted, inbound.inbound(), exchange)?;
    let answer = upstream::dispatch(&runtime.upstreams, &plan, inbound.inbound(), exchange).await?;
    let answer = guard::inspect_answer(answer);
    let lesson = runtime.affinity.lesson(inbound.inbound());
    Ok(Served::Call { admitted, answer, inbound, lesson, cache })
}

fn entry(name: &str) -> ModelEntry {
    ModelEntry { name: name.to_owned(), created: 0 }
}

/// Our own faults are logged, once and here. Everyone else's are in the record.
fn report(failure: &Failure, request_id: &str) {
    if failure.origin == Origin::Internal {
        tracing::error!(request.id = request_id, code = failure.code, source = ?failure.source, "{}", failure.message);
    }
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").field("lane", &self.lane).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! Which calls are made, how often, and what has to come of each kind. It must not know how they are sent.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use super::world::World;
use crate::load::Call;
use crate::load::connection::Leave;

/// What one call in a hundred is worth: shares add up to this.
const WHOLE: usize = 100;

/// Coprime to [`WHOLE`]: spreads the kinds evenly over time.
const STRIDE: usize = 37;

/// All kinds of calls.
pub(super) struct Mix {
    kinds: Vec<Kind>,
    /// By number of call modulo [`WHOLE`], the kind's place in `kinds`.
    order: Vec<usize>,
}

/// One kind of call.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) request: Vec<u8>,
    pub(super) ending: Ending,
    share: usize,
}

/// What has to come of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// A whole answer with one of these statuses.
    Status(&'static [u16]),
    /// An OpenAI stream up to its `[DONE]`.
    Stream,
    /// The caller hangs up.
    HangsUp(Leave),
}

impl Mix {
    pub(super) fn new(world: &World) -> Self {
        Self::of(world.addr(), world.key(), world.narrow_key())
    }

    fn of(addr: SocketAddr, key: &str, narrow_key: &str) -> Self {
        let kind = |name, share, ending, call: &Call| Kind { name, share, ending, request: call.bytes(addr) };
        let ok = Ending::Status(&[200]);
        let whole = |model: &str| Call::chat(model, key, false);
        let stream = |model: &str| Call::chat(model, key, true);
        let other = |path: &str, body: String| Call {
            path: path.to_owned(),
            key: key.to_owned(),
            body,
            is_streamed: false,
        };
        let message = json!({"model": "plain-translated", "max_tokens": 64, "messages": [{"role": "user", "content": "good day"}]});
        let vectors = json!({"model": "vectors", "input": "good day"});
        let in_stream = Ending::HangsUp(Leave::AtFirstByte);
        let before_answer = Ending::HangsUp(Leave::After(Duration::from_millis(100)));
        let kinds = vec![
            kind("whole", 38, ok, &whole("plain")),
            kind("streamed", 14, Ending::Stream, &stream("paced")),
            kind("translated, whole", 8, ok, &whole("plain-translated")),
            kind("translated, streamed", 8, Ending::Stream, &stream("paced-translated")),
            kind("Anthropic's messages", 6, ok, &other("/v1/messages", message.to_string())),
            kind("embeddings", 4, ok, &other("/v1/embeddings", vectors.to_string())),
            kind("failed over", 4, ok, &whole("failing-over")),
            kind("above a limit", 4, Ending::Status(&[200, 429]), &whole("limited")),
            kind("no valid key", 2, Ending::Status(&[401]), &Call::chat("plain", "fd_nobody", false)),
            kind("not permitted", 2, Ending::Status(&[403]), &Call::chat("paced", narrow_key, false)),
            kind("no such model", 2, Ending::Status(&[404]), &whole("nothing")),
            kind("no JSON", 2, Ending::Status(&[400]), &other("/v1/chat/completions", "{".to_owned())),
            kind("hangs up in a stream", 4, in_stream, &stream("paced")),
            kind("hangs up before an answer", 2, before_answer, &whole("slow")),
        ];
        let laid_out: Vec<usize> = kinds
            .iter()
            .enumerate()
            .flat_map(|(place, kind)| std::iter::repeat_n(place, kind.share))
            .collect();
        let order = (0..WHOLE).filter_map(|number| laid_out.get(number * STRIDE % WHOLE).copied()).collect();
        Self { kinds, order }
    }

    pub(super) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// The kind of call `number`, with its place among the kinds.
    pub(super) fn kind(&self, number: usize) -> Option<(usize, &Kind)> {
        let place = *self.order.get(number % WHOLE)?;
        Some((place, self.kinds.get(place)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_calls_hold_each_kind_as_often_as_its_share_says() {
        let mix = Mix::of(SocketAddr::from(([127, 0, 0, 1], 8080)), "fd_a", "fd_b");
        let mut seen = vec![0; mix.kinds().len()];
        for number in 0..WHOLE {
            seen[mix.kind(number).unwrap().0] += 1;
        }
        let shares: Vec<_> = mix.kinds().iter().map(|kind| kind.share).collect();
        assert_eq!(seen, shares);
        assert_eq!(shares.iter().sum::<usize>(), WHOLE);
    }
}

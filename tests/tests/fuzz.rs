//! The decoders under mutated bytes: never a panic, whatever comes in. Runs briefly as an ordinary test, and for as long as
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test where it stands"
)]
//! `FRONTDOOR_FUZZ_SECONDS` says under `make fuzz`. Seeded, so that a failing input can be made again.
#![expect(clippy::disallowed_methods, reason = "a fuzzer runs for as long as it is told, by the wall clock")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use dialect::{Call, Dialect, Operation, Relay};

/// Inputs that get far; mutations of them get to the interesting places.
const SEEDS: [&str; 6] = [
    r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}"#,
    r#"{"model":"m","max_tokens":5,"system":"s","messages":[{"role":"user","content":[{"type":"text","text":"é"}]}]}"#,
    "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n",
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":1}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n",
    "kind: Model\nname: m\nspec: {targets: [{provider: p}]}\n",
];

/// xorshift64: enough to vary, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(below.max(1)).unwrap()).unwrap()
    }

    fn mutate(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.next(6) {
            let at = self.next(bytes.len());
            match self.next(5) {
                0 if !bytes.is_empty() => bytes[at] = u8::try_from(self.next(256)).unwrap(),
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"{}[]\",:\\\n\r\xff0e-"[self.next(14)]),
                3 => bytes.truncate(at),
                _ => {
                    let other = SEEDS[self.next(SEEDS.len())].as_bytes();
                    bytes.splice(at..at, other[..self.next(other.len())].iter().copied());
                }
            }
        }
        bytes
    }
}

fn try_everything(bytes: &[u8], random: &mut Random) {
    let body = Bytes::copy_from_slice(bytes);
    for caller in [Dialect::OpenAi, Dialect::Anthropic] {
        if let Ok(call) = Call::decode((caller, Operation::Chat), body.clone()) {
            let _whatever = call.request();
        }
        let _whatever = Call::decode((caller, Operation::Embeddings), body.clone());
        let call = Call::decode((caller, Operation::Chat), Bytes::from_static(SEEDS[0].as_bytes())).unwrap();
        for upstream in [Dialect::OpenAi, Dialect::Anthropic] {
            let _whatever = dialect::relay_answer(&call, upstream, body.clone());
            let mut relay = Relay::new(&call, upstream);
            let mut out = Vec::new();
            let cut = random.next(bytes.len());
            let _whatever = relay
                .push(body.slice(..cut), &mut out)
                .and_then(|()| relay.push(body.slice(cut..), &mut out));
            let _whatever = relay.finish(&mut out);
            let _whatever = dialect::decode_fault(upstream, 500, &|_| None, bytes);
        }
    }
    let _whatever = policy::parse_resource(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _whatever = policy::parse_documents("fuzz.yaml", text);
    }
}

#[test]
fn no_bytes_make_a_decoder_panic() {
    let seconds =
        std::env::var("FRONTDOOR_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut random = Random(0x5eed_f00d_cafe_0001);
    let mut tried = 0_u64;
    while Instant::now() < end {
        let state = random.0;
        let seed = SEEDS[random.next(SEEDS.len())].as_bytes();
        let bytes = random.mutate(seed);
        let outcome =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| try_everything(&bytes, &mut random)));
        assert!(outcome.is_ok(), "random state {state:#x}: {}", String::from_utf8_lossy(&bytes));
        tried += 1;
    }
    println!("{tried} inputs");
    assert!(tried > 0);
}

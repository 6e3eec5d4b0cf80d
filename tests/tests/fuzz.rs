//! The readers of policy under mutated bytes: never a panic, whatever comes in. Runs briefly as an ordinary test, and for as
//! long as `FRONTDOOR_FUZZ_SECONDS` says under `make fuzz`. Seeded, so that a failing input can be made again. The dialects have their
//! own, in `crates/dialect/tests/fuzz`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test where it stands"
)]
#![expect(clippy::disallowed_methods, reason = "a fuzzer runs for as long as it is told, by the wall clock")]

use std::time::{Duration, Instant};

/// Inputs that get far; mutations of them get to the interesting places.
const SEEDS: [&str; 4] = [
    "kind: Model\nname: m\nspec: {targets: [{provider: p, prices: {input: 0.25}}], max_output_tokens: 5}\n",
    "kind: Provider\nname: p\nspec:\n  preset: mistral\n  credential: env:KEY\n  quirks: {only: {n: [1]}}\n---\nkind: Group\nname: g\nspec: {}\n",
    "kind: Route\nname: r\nspec: {rules: [{when: 'call.model == \"a\"', models: [a, \"b/*\"]}]}\n",
    r#"{"kind":"Quota","name":"q","spec":{"limits":[{"tokens":{"per_minute":100}}]}}"#,
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

fn try_everything(bytes: &[u8]) {
    let _whatever = policy::parse_resource(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _whatever = policy::parse_documents("fuzz.yaml", text);
    }
}

#[test]
fn no_bytes_make_a_reader_of_policy_panic() {
    let seconds =
        std::env::var("FRONTDOOR_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut random = Random(0x5eed_f00d_cafe_0001);
    let mut tried = 0_u64;
    while Instant::now() < end {
        let state = random.0;
        let seed = SEEDS[random.next(SEEDS.len())].as_bytes();
        let bytes = random.mutate(seed);
        let outcome = std::panic::catch_unwind(|| try_everything(&bytes));
        assert!(outcome.is_ok(), "random state {state:#x}: {}", String::from_utf8_lossy(&bytes));
        tried += 1;
    }
    println!("{tried} inputs");
    assert!(tried > 0);
}

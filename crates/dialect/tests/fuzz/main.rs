//! The decoders under inputs near the recorded ones: never a panic, never a broken law, whatever comes in. Each law runs
//! briefly as an ordinary test, and for as long as `FRONTDOOR_FUZZ_SECONDS` says. Seeded, so that what is found can be made again;
//! the same laws run under libFuzzer in `fuzz/`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test tells by panicking"
)]
#![expect(clippy::disallowed_methods, reason = "a fuzzer runs for as long as it is told, by the wall clock")]
#![expect(clippy::print_stderr, reason = "tells what breaks a law, and how much was tried")]

mod corpus;
mod laws;
mod mutate;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

use corpus::Seed;
use mutate::Random;

fn holds(law: laws::Law, input: &[u8], state: u64) -> bool {
    let outcome = catch_unwind(AssertUnwindSafe(|| law(input)));
    if outcome.is_err() {
        let (choices, body) = input.split_at(laws::CHOICES.min(input.len()));
        eprintln!(
            "random state {state:#x}, choices {choices:?}: {}",
            String::from_utf8_lossy(&body[..body.len().min(1_500)])
        );
    }
    outcome.is_ok()
}

/// The law holds for each recorded input, and for as many near them as time allows.
fn hold(name: &str) {
    let (_, law) = laws::LAWS.into_iter().find(|(known, _)| *known == name).unwrap();
    let seeds = corpus::seeds();
    let seeds: Vec<&Seed> = seeds.iter().filter(|seed| seed.law == name).collect();
    assert!(!seeds.is_empty(), "no recording is an input of `{name}`");
    let mut broken = 0;
    for seed in &seeds {
        broken += usize::from(!holds(law, &seed.input, 0));
    }
    let seconds = std::env::var("FRONTDOOR_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(1));
    let start = std::env::var("FRONTDOOR_FUZZ_SEED").ok().and_then(|text| text.parse().ok());
    let mut random = Random(start.unwrap_or(0x5eed_f00d_cafe_0001));
    let mut tried = seeds.len();
    while Instant::now() < end && broken < 20 {
        let state = random.0;
        let input = random.mutate(&seeds);
        broken += usize::from(!holds(law, &input, state));
        tried += 1;
    }
    eprintln!("{name}: {tried} inputs");
    assert_eq!(broken, 0, "the law `{name}` is broken");
}

#[test]
fn a_call_is_written_for_each_target_or_refused_in_words() {
    hold("call");
}

#[test]
fn a_form_keeps_every_byte_but_the_models_name() {
    hold("form");
}

#[test]
fn a_whole_answer_reaches_each_caller_with_its_usage_and_end() {
    hold("answer");
}

#[test]
fn a_stream_is_the_same_however_it_is_cut_and_whole_for_each_caller() {
    hold("stream");
}

#[test]
fn binary_frames_and_metered_answers_are_the_same_however_they_are_cut() {
    hold("frames");
}

#[test]
fn whatever_a_provider_reports_is_a_fault_in_words() {
    hold("fault");
}

#[test]
fn what_a_provider_does_not_take_is_not_sent() {
    hold("quirks");
}

/// Writes the seeds where libFuzzer looks for them, when it is told where.
#[test]
fn the_recorded_inputs_can_be_given_to_another_fuzzer() {
    let Some(directory) = std::env::var_os("FRONTDOOR_FUZZ_CORPUS").map(PathBuf::from) else { return };
    for (number, seed) in corpus::seeds().into_iter().enumerate() {
        let directory = directory.join(seed.law);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("recorded-{number}")), seed.input).unwrap();
    }
}

//! What it costs to translate between each caller and each provider, to pass bytes through, and to read an envelope, in processor
//! time of one thread. `make bench` writes what this measures into bench/README.md.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement tells by panicking"
)]

mod cpu;
mod fixtures;

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use dialect::{Call, Dialect, Meter, Relay, TargetShape, Wire, encode_call, relay_answer};

use cpu::{CpuTime, pieces};
use fixtures::{Exchange, WIRES, Whole, asked, exchange};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn shape(wire: Wire) -> TargetShape<'static> {
    TargetShape { max_output_tokens: Some(4_096), ..TargetShape::new(wire.dialect, "the-model") }
}

/// A call goes to the provider and its answer comes back.
fn serve(dialect: Dialect, wire: Wire, call: &Bytes, answer: &Bytes) -> (Bytes, Bytes) {
    let call = Call::decode(asked(dialect, false), call.clone()).unwrap();
    let outbound = encode_call(&call, &shape(wire)).unwrap();
    let (answer, _) = relay_answer(&call, wire, answer.clone()).unwrap();
    (outbound.body, answer)
}

fn call_and_answer(criterion: &mut Criterion<CpuTime>) {
    type Part = fn(&Exchange) -> &Whole;
    let kinds: [(&str, Part); 2] =
        [("call and answer", |exchange| &exchange.chat), ("with tools", |exchange| &exchange.tools)];
    let providers = WIRES.map(|(name, wire)| (name, wire, exchange(wire)));
    for (kind, of) in kinds {
        let mut group = criterion.benchmark_group(kind);
        for dialect in Dialect::ALL {
            let caller = exchange(dialect.into());
            let call = &of(&caller).call;
            for (name, wire, provider) in &providers {
                let (wire, answer) = (*wire, &of(provider).answer);
                group.bench_function(BenchmarkId::new(dialect.as_str(), name), |bencher| {
                    bencher.iter(|| serve(dialect, wire, black_box(call), black_box(answer)));
                });
            }
        }
        group.finish();
    }
}

/// A stream that has begun.
fn begun(call: &Call, wire: Wire, provider: &Exchange) -> Relay {
    let mut relay = Relay::new(call, wire);
    let mut out = Vec::new();
    for record in &provider.start {
        relay.push(record.clone(), &mut out).unwrap();
    }
    relay
}

fn chunk(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("chunk");
    let providers = WIRES.map(|(name, wire)| (name, wire, exchange(wire)));
    for dialect in Dialect::ALL {
        let body = exchange(dialect.into()).chat.call;
        let call = Call::decode(asked(dialect, true), body).unwrap();
        for (name, wire, provider) in &providers {
            let (name, wire) = (*name, *wire);
            group.throughput(pieces(provider.chunks.len()));
            group.bench_function(BenchmarkId::new(dialect.as_str(), name), |bencher| {
                let setup = || (begun(&call, wire, provider), Vec::with_capacity(provider.chunks.len()));
                let run = |(mut relay, mut out): (Relay, Vec<Bytes>)| {
                    let mut push = |chunk: &Bytes| relay.push(black_box(chunk.clone()), &mut out).unwrap();
                    provider.chunks.iter().for_each(&mut push);
                    (relay, out)
                };
                bencher.iter_batched(setup, run, BatchSize::SmallInput);
            });
        }
    }
    group.finish();
}

/// The envelope of a call, by the kilobyte.
fn envelope(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("envelope");
    for dialect in Dialect::ALL {
        let caller = exchange(dialect.into());
        let calls = [
            ("1 KB", &caller.chat.call),
            ("1 KB with tools", &caller.tools.call),
            ("70 KB with tools", &caller.long_call),
        ];
        for (name, body) in calls {
            group.throughput(pieces((body.len() + 512) / 1_024));
            group.bench_function(BenchmarkId::new(dialect.as_str(), name), |bencher| {
                bencher.iter(|| Call::decode(asked(dialect, false), black_box(body).clone()).unwrap());
            });
        }
    }
    group.finish();
}

/// What an answer says of its use, read in passing: by the record or frame.
fn meter(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("meter");
    let kinds = [
        ("event-stream frame", WIRES[5].1, "application/vnd.amazon.eventstream"),
        ("server-sent event", WIRES[0].1, "text/event-stream"),
    ];
    for (name, wire, kind) in kinds {
        let chunks = exchange(wire).chunks;
        group.throughput(pieces(chunks.len()));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || Meter::new(wire.dialect, Some(kind)),
                |mut meter| {
                    chunks.iter().for_each(|chunk| meter.push(black_box(chunk)));
                    meter
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// The measure of things: call and answer as trees of JSON and back, which translates nothing.
fn tree(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("tree");
    let openai = exchange(Dialect::OpenAi.into());
    let through = |body: &Bytes| serde_json::from_slice::<serde_json::Value>(body).unwrap().to_string();
    for (kind, whole) in [("call and answer", &openai.chat), ("with tools", &openai.tools)] {
        group.bench_function(kind, |bencher| {
            bencher.iter(|| (through(black_box(&whole.call)), through(black_box(&whole.answer))));
        });
    }
    group.bench_function("chunk", |bencher| {
        let data = openai.chunks[0].strip_prefix(b"data: ").unwrap().trim_ascii_end();
        let data = Bytes::copy_from_slice(data);
        bencher.iter(|| through(black_box(&data)));
    });
    group.finish();
}

fn measured() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .without_plots()
}

criterion_group! {
    name = dialects;
    config = measured();
    targets = tree, envelope, meter, call_and_answer, chunk
}
criterion_main!(dialects);

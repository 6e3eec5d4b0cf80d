//! What holds for every stream of responses, written or read.

use bytes::Bytes;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use serde_json::Value;

use super::{Run, call, laws::openai_stream, read, run};
use crate::{Call, Dialect, Operation};

/// A stream of OpenAI chat as a caller of responses gets it.
fn translated(stream: &str, size: usize) -> Run {
    run(&call(Dialect::Responses, false), Dialect::OpenAi, stream.as_bytes(), size)
}

/// Follows the grammar: what is open is told of, and each thing opens and closes once. Gives the last record.
fn follow(stream: &str) -> Value {
    let records = read(stream);
    let mut items: Vec<(bool, bool)> = Vec::new();
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record["sequence_number"], number, "{record}");
        let kind = record["type"].as_str().unwrap().strip_prefix("response.").unwrap();
        let is_edge = matches!(kind, "created" | "in_progress" | "completed" | "incomplete");
        assert_eq!(is_edge, number < 2 || number + 1 == records.len(), "{record}");
        let Some(at) = record["output_index"].as_u64() else { continue };
        let at = usize::try_from(at).unwrap();
        match kind {
            "output_item.added" => {
                assert_eq!(at, items.len());
                items.push((true, false));
            }
            "output_item.done" => {
                assert_eq!(items[at], (true, false), "{record}");
                items[at] = (false, false);
            }
            "content_part.added" | "reasoning_summary_part.added" => {
                assert_eq!(items[at], (true, false), "{record}");
                items[at].1 = true;
            }
            "content_part.done" | "reasoning_summary_part.done" => {
                assert_eq!(items[at], (true, true), "{record}");
                items[at].1 = false;
            }
            _ => assert!(items[at].0, "{record}"),
        }
    }
    assert!(items.iter().all(|item| !item.0));
    let last = records.last().unwrap().clone();
    assert_eq!(last["response"]["output"].as_array().unwrap().len(), items.len());
    last
}

/// The pieces of a kind, joined.
fn pieces(stream: &str, kind: &str) -> String {
    let records = read(stream);
    records
        .iter()
        .filter(|record| record["type"] == kind)
        .map(|record| record["delta"].as_str().unwrap())
        .collect()
}

/// A field of all deltas of OpenAI chat, joined.
fn deltas(stream: &str, name: &str) -> String {
    let text = |record: &Value| record["choices"][0]["delta"][name].as_str().map(str::to_owned);
    read(stream).iter().filter_map(text).collect()
}

proptest! {
    #[test]
    fn every_written_stream_keeps_the_grammar_and_says_the_same(stream in openai_stream(), size in 1..200_usize) {
        let there = translated(&stream, size);
        prop_assert!(there.ending.is_ok());
        let last = follow(&there.out);
        prop_assert_eq!(&translated(&stream, usize::MAX).out, &there.out);
        prop_assert_eq!(pieces(&there.out, "response.output_text.delta"), deltas(&stream, "content"));
        prop_assert_eq!(
            pieces(&there.out, "response.reasoning_summary_text.delta"),
            deltas(&stream, "reasoning_content")
        );
        prop_assert_eq!(there.out.matches("\"usage\":{").count(), 1);
        let output = last["response"]["output"].as_array().unwrap();
        for item in output.iter().filter(|item| item["type"] == "function_call") {
            prop_assert!(serde_json::from_str::<Value>(item["arguments"].as_str().unwrap()).unwrap().is_object());
        }
    }

    #[test]
    fn every_stream_comes_back_as_it_went(stream in openai_stream(), size in 1..200_usize) {
        let there = translated(&stream, usize::MAX);
        let back = run(&call(Dialect::OpenAi, true), Dialect::Responses, there.out.as_bytes(), size);
        prop_assert!(back.ending.is_ok());
        prop_assert_eq!(back.summary.usage, there.summary.usage);
        prop_assert_eq!(back.summary.stop, there.summary.stop);
        for name in ["content", "reasoning_content"] {
            prop_assert_eq!(deltas(&back.out, name), deltas(&stream, name));
        }
        let passed = run(&call(Dialect::Responses, false), Dialect::Responses, there.out.as_bytes(), size);
        prop_assert!(passed.ending.is_ok());
        prop_assert_eq!(&passed.out, &there.out);
        prop_assert_eq!(passed.summary.usage, there.summary.usage);
        prop_assert_eq!(passed.summary.stop, there.summary.stop);
        prop_assert_eq!(passed.summary.unknown, 0);
    }

    #[test]
    fn a_stream_cut_anywhere_before_its_end_is_recognised(stream in openai_stream(), place in any::<prop::sample::Index>()) {
        let whole = translated(&stream, usize::MAX).out;
        // Without the blank lines after it the last record is whole.
        let cut = whole.as_bytes().get(..place.index(whole.len() - 2)).unwrap();
        // Anthropic's blocks cannot interleave as these items may.
        for caller in [Dialect::Responses, Dialect::OpenAi] {
            let run = run(&call(caller, true), Dialect::Responses, cut, usize::MAX);
            prop_assert_eq!(run.ending.unwrap_err().code, "stream_cut");
        }
    }

    #[test]
    fn arbitrary_and_mangled_bytes_never_panic(
        stream in openai_stream(),
        noise in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        size in 1..60_usize,
    ) {
        let mut mangled = translated(&stream, usize::MAX).out.into_bytes();
        for (place, byte) in cuts {
            let place = place.index(mangled.len());
            mangled[place] = byte;
        }
        for bytes in [noise, mangled] {
            for caller in [Dialect::Responses, Dialect::OpenAi, Dialect::Anthropic] {
                run(&call(caller, true), Dialect::Responses, &bytes, size);
                let _ = crate::relay_answer(&call(caller, true), Dialect::Responses, Bytes::from(bytes.clone()));
            }
            run(&call(Dialect::Responses, true), Dialect::Anthropic, &bytes, size);
            if let Ok(call) = Call::decode((Dialect::Responses, Operation::Chat), Bytes::from(bytes)) {
                let _ = call.request();
            }
        }
    }
}

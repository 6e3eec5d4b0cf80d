//! What holds for every stream, however its bytes are cut and whatever they are.

use bytes::Bytes;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy;
use serde_json::{Value, json};

use super::{DIALECTS, blocks, call, delta, finish, openai, read, run, tool, usage};
use crate::{Call, Dialect, Operation};

/// What a model may do, as OpenAI writes it.
pub(super) fn openai_stream() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z é\"\\\\]{0,6}".prop_map(|text| delta(json!({"content": text}))),
        "[a-z]{1,4}".prop_map(|text| delta(json!({"reasoning_content": text}))),
        (0..3_u64, any::<bool>()).prop_map(|(index, more)| {
            let id = format!("id{index}");
            if more { tool(index, Some(&id), "{\"k\":\"v}\"}") } else { tool(index, Some(&id), "") }
        }),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| {
        let mut seen = Vec::new();
        let mut records = vec![delta(json!({"role": "assistant", "content": ""}))];
        for piece in pieces {
            let id = piece["choices"][0]["delta"]["tool_calls"][0]["id"].clone();
            if id.is_null() || !seen.contains(&id) {
                seen.push(id);
                records.push(piece);
            }
        }
        records.extend([finish("stop"), usage()]);
        openai(&records)
    })
}

proptest! {
    #[test]
    fn every_translated_stream_keeps_the_grammar(stream in openai_stream(), size in 1..200_usize) {
        let there = run(&call(Dialect::Anthropic, false), Dialect::OpenAi, stream.as_bytes(), size);
        prop_assert!(there.ending.is_ok());
        let blocks = blocks(&there.out);
        prop_assert!(blocks.iter().all(|(block, text)| block["type"] != "tool_use"
            || serde_json::from_str::<Value>(text).unwrap().is_object()));
        prop_assert_eq!(there.out.matches("\"usage\":").count(), 2);
        let whole = run(&call(Dialect::Anthropic, false), Dialect::OpenAi, stream.as_bytes(), usize::MAX);
        prop_assert_eq!(&whole.out, &there.out);
        // And back again: the same words, the same usage.
        let back = run(&call(Dialect::OpenAi, true), Dialect::Anthropic, there.out.as_bytes(), size);
        prop_assert!(back.ending.is_ok());
        prop_assert_eq!(back.summary.usage, there.summary.usage);
        let said = |stream: &str| -> String {
            read(stream).iter().filter_map(|r| r["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
        };
        prop_assert_eq!(said(&back.out), said(&stream));
        prop_assert_eq!(back.out.matches("\"usage\":{").count(), 1);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1..50_usize) {
        for caller in DIALECTS {
            for upstream in DIALECTS {
                run(&call(caller, true), upstream, &bytes, size);
                let _ = crate::relay_answer(&call(caller, true), upstream, Bytes::from(bytes.clone()));
                let _ = crate::decode_fault(upstream, 500, &|_| None, &bytes);
            }
            let _ = Call::decode((caller, Operation::Chat), Bytes::from(bytes.clone()));
        }
    }

    #[test]
    fn mangled_streams_never_panic(stream in openai_stream(), cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = stream.into_bytes();
        for (place, byte) in cuts {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        for caller in DIALECTS {
            run(&call(caller, true), Dialect::OpenAi, &bytes, 40);
        }
        let there = run(&call(Dialect::Anthropic, false), Dialect::OpenAi, &bytes, 40);
        run(&call(Dialect::OpenAi, true), Dialect::Anthropic, there.out.as_bytes(), 33);
    }
}

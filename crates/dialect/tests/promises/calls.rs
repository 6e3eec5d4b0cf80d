//! Options, marks, schemas and pictures, as each provider must get them.

use frontdoor_dialect::{
    Dialect::{self, Anthropic, Bedrock, Cohere, Gemini, OpenAi, Responses},
    FaultClass, OnUnsupported, TargetShape, encode_call,
};
use serde_json::{Value, json};

use crate::{bent, call, model, others, outbound, refused, sent};

fn asking(fields: &Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": "q"}]});
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[test]
fn a_json_object_is_promised_or_refused_and_never_forgotten() {
    let body = asking(&json!({"response_format": {"type": "json_object"}}));
    for to in others(OpenAi) {
        for on in [OnUnsupported::Refuse, OnUnsupported::Drop] {
            match outbound(&call(OpenAi, false, &body), to, on) {
                Ok(written) => {
                    let written = String::from_utf8(written.body.to_vec()).unwrap();
                    assert!(written.contains("json_object") || written.contains("application/json"), "{to}");
                }
                Err(fault) => {
                    assert_eq!(fault.param.as_deref(), Some("response_format"), "{to}");
                    assert!(matches!(to, Anthropic | Bedrock), "{to}: {fault}");
                }
            }
        }
    }
}

#[test]
fn every_cache_mark_is_translated_or_told() {
    let mark = json!({"type": "ephemeral", "ttl": "1h"});
    let body = json!({"max_tokens": 9,
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}, "cache_control": mark}],
        "system": [{"type": "text", "text": "s", "cache_control": mark}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "q", "cache_control": mark}]}]});
    let bedrock = sent(Anthropic, &body, Bedrock);
    let point = json!({"cachePoint": {"type": "default", "ttl": "1h"}});
    assert_eq!(bedrock["toolConfig"]["tools"][1], point, "{bedrock}");
    assert_eq!(bedrock["system"][1], point);
    assert_eq!(bedrock["messages"][0]["content"][1], point);
    // And back.
    let home = sent(Bedrock, &bedrock, Anthropic);
    assert_eq!(home["tools"][0]["cache_control"], mark, "{home}");
    assert_eq!(home["system"][0]["cache_control"], mark);
    assert_eq!(home["messages"][0]["content"][0]["cache_control"], mark);
    for to in [OpenAi, Responses, Gemini, Cohere] {
        let written = outbound(&call(Anthropic, false, &body), to, OnUnsupported::Refuse).unwrap();
        assert!(!String::from_utf8(written.body.to_vec()).unwrap().contains("ephemeral"), "{to}");
        let told = |what: &str| written.dropped.iter().any(|place| place.starts_with(what));
        assert!(
            told("tools[].cache_control") && told("messages[].content[].cache_control"),
            "{to}: {written:?}"
        );
    }
}

#[test]
fn a_temperature_beyond_the_range_is_refused_helpfully_or_clamped_where_policy_says_so() {
    for to in [Anthropic, Bedrock] {
        let body = asking(&json!({"temperature": 1.5}));
        let fault = refused(OpenAi, &body, to);
        assert_eq!(fault.param.as_deref(), Some("temperature"));
        assert!(fault.message.contains('1'), "{}", fault.message);
        let (written, told) = bent(OpenAi, &body, to);
        let sent = written.get("temperature").unwrap_or(&written["inferenceConfig"]["temperature"]);
        assert_eq!(sent.as_f64(), Some(1.0), "{to}: {written}");
        let named = |name: &String| name == "temperature";
        assert!(
            told.defaulted.iter().any(|(name, _)| named(name)) || told.dropped.iter().any(named),
            "{told:?}"
        );
    }
}

#[test]
fn a_cap_that_the_caller_did_not_choose_comes_from_the_model_and_is_told() {
    let written =
        outbound(&call(OpenAi, false, &asking(&json!({}))), Anthropic, OnUnsupported::Refuse).unwrap();
    assert_eq!(written.defaulted, [("max_tokens".to_owned(), "900".to_owned())]);
}

#[test]
fn an_effort_reaches_every_model_that_reasons_and_no_other() {
    let body = asking(&json!({"reasoning_effort": "high", "max_completion_tokens": 20_000}));
    let sent = |to: Dialect, model: &str| -> Value {
        let shape = TargetShape { max_output_tokens: Some(32_000), ..TargetShape::new(to, model) };
        serde_json::from_slice(&encode_call(&call(OpenAi, false, &body), &shape).unwrap().body).unwrap()
    };
    assert_eq!(
        sent(Anthropic, "claude-sonnet-4-5")["thinking"],
        json!({"type": "enabled", "budget_tokens": 4_096})
    );
    assert_eq!(sent(Gemini, "gemini-3-pro")["generationConfig"]["thinkingConfig"]["thinkingLevel"], "HIGH");
    assert!(sent(Gemini, "gemini-2.5-pro")["generationConfig"]["thinkingConfig"]["thinkingBudget"].is_u64());
    assert_eq!(sent(Responses, "gpt-5")["reasoning"]["effort"], "high");
    for to in others(OpenAi) {
        let shape = TargetShape {
            reasoning: Some(false),
            max_output_tokens: Some(32_000),
            ..TargetShape::new(to, model(to))
        };
        let written = encode_call(&call(OpenAi, false, &body), &shape).unwrap();
        let text = String::from_utf8(written.body.to_vec()).unwrap();
        assert!(!text.contains("thinking") && !text.contains("effort"), "{to}: {text}");
        if to != Responses {
            assert!(written.dropped.contains(&"reasoning_effort".to_owned()), "{to}: {written:?}");
        }
    }
}

#[test]
fn thinking_never_forces_a_tool_at_any_host_of_claude() {
    let body = |choice: Value| {
        json!({"max_tokens": 9_000, "thinking": {"type": "enabled", "budget_tokens": 2_048},
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}], "tool_choice": choice,
        "messages": [{"role": "user", "content": "q"}]})
    };
    let mut unset = body(json!({"type": "auto"}));
    unset.as_object_mut().unwrap().remove("tool_choice");
    for body in [body(json!({"type": "auto"})), unset] {
        let written = sent(Anthropic, &body, Bedrock);
        assert_eq!(written["toolConfig"]["toolChoice"].get("any"), None, "{written}");
        assert_eq!(written["additionalModelRequestFields"]["thinking"]["type"], "enabled");
    }
    let (written, _) = bent(Anthropic, &body(json!({"type": "none"})), Bedrock);
    assert_eq!(written.get("toolConfig"), None, "{written}");
    let forced = json!({"messages": [{"role": "user", "content": "q"}], "reasoning_effort": "high",
        "max_completion_tokens": 9_000, "tool_choice": "required",
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]});
    for to in [Anthropic, Bedrock] {
        assert_eq!(refused(OpenAi, &forced, to).class, FaultClass::Unsupported, "{to}");
    }
}

#[test]
fn stop_sequences_reach_everybody_who_has_a_word_and_are_refused_by_name_elsewhere() {
    for stop in [json!("END"), json!(["END", "\n\n"])] {
        let body = asking(&json!({"stop": stop}));
        let wanted = if stop.is_string() { json!([stop]) } else { stop };
        let found = |to: Dialect, body: Value| match to {
            Anthropic | Cohere => body["stop_sequences"].clone(),
            Gemini => body["generationConfig"]["stopSequences"].clone(),
            _ => body["inferenceConfig"]["stopSequences"].clone(),
        };
        let is_blank = wanted.as_array().unwrap().len() > 1;
        for to in [Gemini, Cohere] {
            assert_eq!(found(to, sent(OpenAi, &body, to)), wanted, "{to}");
        }
        for to in [Anthropic, Bedrock] {
            // White space alone is refused there.
            let taken = outbound(&call(OpenAi, false, &body), to, OnUnsupported::Refuse);
            assert_eq!(taken.is_err(), is_blank, "{to}");
            let (written, told) = bent(OpenAi, &body, to);
            assert_eq!(found(to, written), json!(["END"]), "{to}: {told:?}");
        }
        assert_eq!(refused(OpenAi, &body, Responses).param.as_deref(), Some("stop"));
    }
}

#[test]
fn several_answers_are_asked_of_who_gives_them_streamed_or_not_and_refused_elsewhere() {
    let body = asking(&json!({"n": 2}));
    for stream in [false, true] {
        for to in others(OpenAi) {
            let shape = TargetShape { max_output_tokens: Some(9), ..TargetShape::new(to, model(to)) };
            match encode_call(&call(OpenAi, stream, &body), &shape) {
                Ok(written) => {
                    let written: Value = serde_json::from_slice(&written.body).unwrap();
                    assert_eq!((to, &written["generationConfig"]["candidateCount"]), (Gemini, &json!(2)));
                }
                Err(fault) => assert_eq!(fault.param.as_deref(), Some("n"), "{to}"),
            }
        }
    }
}

#[test]
fn a_duty_is_refused_even_where_dropping_is_allowed() {
    let body =
        json!({"max_tokens": 9, "inference_geo": "eu", "messages": [{"role": "user", "content": "q"}]});
    for to in others(Anthropic) {
        let fault = outbound(&call(Anthropic, false, &body), to, OnUnsupported::Drop).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("inference_geo"), "{to}");
    }
}

#[test]
fn pictures_by_address_go_only_to_who_fetches_them() {
    let body = json!({"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, {"type": "text", "text": "q"}]}]});
    for to in [Anthropic, Responses, Cohere] {
        assert!(sent(OpenAi, &body, to).to_string().contains("https://example.com/a.png"), "{to}");
    }
    for to in [Gemini, Bedrock] {
        let fault = refused(OpenAi, &body, to);
        assert_eq!(fault.param.as_deref(), Some("messages[0].content[0]"), "{to}: {fault}");
    }
    let stored = json!({"contents": [{"role": "user", "parts": [
        {"fileData": {"fileUri": "gs://b/c.pdf", "mimeType": "application/pdf"}}]}]});
    for to in others(Gemini) {
        assert_eq!(refused(Gemini, &stored, to).class, FaultClass::Unsupported, "{to}");
    }
}

#[test]
fn the_schema_of_an_answer_reaches_every_provider() {
    let schema = json!({"type": "object", "properties": {"zeta": {"type": "string"}, "alpha": {"type": ["integer", "null"]}},
        "required": ["zeta", "alpha"], "additionalProperties": false});
    let body = asking(&json!({"response_format": {"type": "json_schema",
        "json_schema": {"name": "out", "strict": true, "schema": schema}}}));
    for to in others(OpenAi) {
        let text = sent(OpenAi, &body, to).to_string();
        let text = text.replace('\\', "");
        assert!(text.contains("zeta") && text.contains("alpha"), "{to}: {text}");
    }
}

#[test]
fn what_no_dialect_knows_goes_through_untouched_to_its_own() {
    let body = json!({"messages": [{"role": "user", "content": "q"}], "input": "q", "max_tokens": 9,
        "contents": [], "conversation": {"id": "c"}, "moderation": {"x": 1}, "brand_new": [1.50, {"b": null, "a": 1e3}]});
    for dialect in [OpenAi, Responses, Anthropic] {
        let call = call(dialect, false, &body);
        let written = encode_call(&call, &TargetShape::new(dialect, "m")).unwrap();
        assert_eq!(written.body, call.body, "{dialect}");
    }
}

#[test]
fn a_system_prompt_is_one_for_models_that_no_table_knows() {
    let body = json!({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "q"}]});
    for to in others(OpenAi) {
        let shape =
            TargetShape { max_output_tokens: Some(9), ..TargetShape::new(to, "a-model-nobody-has-heard-of") };
        let written = encode_call(&call(OpenAi, false, &body), &shape).unwrap();
        let written: Value = serde_json::from_slice(&written.body).unwrap();
        let system = match to {
            Responses => &written["instructions"],
            Gemini => &written["systemInstruction"]["parts"][0]["text"],
            Bedrock => &written["system"][0]["text"],
            Cohere => {
                assert_eq!(written["messages"][0]["role"], "system");
                &written["messages"][0]["content"]
            }
            _ => &written["system"],
        };
        assert!(system.to_string().contains("\"S\""), "{to}: {written}");
    }
}

#[test]
fn functions_of_the_older_kind_are_understood_or_refused_by_name() {
    let body = json!({"functions": [{"name": "f", "parameters": {"type": "object"}}], "function_call": "auto",
        "messages": [{"role": "user", "content": "q"},
            {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "r"}]});
    for to in others(OpenAi) {
        if let Err(fault) = outbound(&call(OpenAi, false, &body), to, OnUnsupported::Refuse) {
            assert!(fault.param.is_some(), "{to}: {fault}");
        } else {
            let written = sent(OpenAi, &body, to).to_string();
            assert!(written.contains("\"f\"") && written.contains("\"r\""), "{to}: {written}");
        }
    }
}

#[test]
fn labels_reach_converse_in_the_number_it_takes() {
    let labels: serde_json::Map<String, Value> =
        (0..20).map(|number| (format!("key{number}"), json!("value"))).collect();
    let (written, told) = bent(OpenAi, &asking(&json!({"metadata": labels})), Bedrock);
    let count = written["requestMetadata"].as_object().map_or(0, serde_json::Map::len);
    assert!(count <= 16, "{written}");
    assert!(count == 20 || told.dropped.iter().any(|name| name.starts_with("metadata")), "{told:?}");
}

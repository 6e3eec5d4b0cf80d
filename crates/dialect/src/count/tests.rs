use bytes::Bytes;
use serde_json::{Value, json};

use crate::{Asked, Call, Dialect, Operation, Platform, TargetShape, encode_call, relay_answer};

fn question(dialect: Dialect) -> Call {
    let body = match dialect {
        Dialect::Responses => json!({"model":"m","instructions":"Be brief.","input":"Hello",
            "tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":false}],
            "tool_choice":"required"}),
        _ => json!({"model":"m","system":"Be brief.","messages":[{"role":"user","content":"Hello"}],
            "tools":[{"name":"f","input_schema":{"type":"object"}}],"tool_choice":{"type":"any"}}),
    };
    Call::decode((dialect, Operation::CountTokens), body.to_string().into()).unwrap()
}

fn asked(call: &Call, target: &TargetShape<'_>) -> Value {
    serde_json::from_slice(&encode_call(call, target).unwrap().body).unwrap()
}

#[test]
fn a_question_has_nothing_that_only_shapes_the_answer() {
    let asked_of_openai = asked(&question(Dialect::Anthropic), &TargetShape::new(Dialect::Responses, "gpt"));
    assert_eq!(
        asked_of_openai,
        json!({"model":"gpt","instructions":"Be brief.","input":[{"role":"user","content":"Hello"}],
            "tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":false}],
            "tool_choice":"required"})
    );
    let asked_of_anthropic =
        asked(&question(Dialect::Responses), &TargetShape::new(Dialect::Anthropic, "claude"));
    assert_eq!(
        asked_of_anthropic,
        json!({"model":"claude","system":"Be brief.","messages":[{"role":"user","content":"Hello"}],
            "tools":[{"name":"f","input_schema":{"type":"object"}}],"tool_choice":{"type":"any"}})
    );
}

#[test]
fn openai_counts_in_its_responses_whichever_dialect_it_is_known_by() {
    let call = question(Dialect::Anthropic);
    let chat = asked(&call, &TargetShape::new(Dialect::OpenAi, "gpt"));
    assert_eq!(chat, asked(&call, &TargetShape::new(Dialect::Responses, "gpt")));
}

#[test]
fn what_cannot_count_says_so() {
    let cohere = encode_call(&question(Dialect::Anthropic), &TargetShape::new(Dialect::Cohere, "c"));
    assert!(cohere.unwrap_err().message.contains("cannot count tokens"));
    let platform = Platform::Azure { api_version: "2024-10-21" };
    let azure = TargetShape { platform, ..TargetShape::new(Dialect::Responses, "gpt") };
    assert!(encode_call(&question(Dialect::Anthropic), &azure).unwrap_err().message.contains("2024-10-21"));
}

#[test]
fn bedrock_counts_what_the_model_would_get() {
    use base64::Engine;
    let target =
        TargetShape { platform: Platform::Bedrock, ..TargetShape::new(Dialect::Anthropic, "claude") };
    let body = asked(&question(Dialect::Anthropic), &target);
    let inner = body["input"]["invokeModel"]["body"].as_str().unwrap();
    let inner = base64::engine::general_purpose::STANDARD.decode(inner).unwrap();
    let inner: Value = serde_json::from_slice(&inner).unwrap();
    assert_eq!(inner["anthropic_version"], "bedrock-2023-05-31");
    assert_eq!(inner["max_tokens"], 1);
    assert!(inner.get("model").is_none());
    let (answer, _) =
        relay_answer(&question(Dialect::Anthropic), target.wire(), r#"{"inputTokens":7}"#.into()).unwrap();
    assert_eq!(&answer[..], br#"{"input_tokens":7}"#);
}

#[test]
fn the_count_is_told_in_the_words_of_the_caller() {
    let told = |caller, upstream: Dialect, body: &'static str| {
        let (answer, summary) = relay_answer(&question(caller), upstream, Bytes::from(body)).unwrap();
        assert!(summary.complete);
        String::from_utf8(answer.to_vec()).unwrap()
    };
    let openai = r#"{"object":"response.input_tokens","input_tokens":12}"#;
    assert_eq!(told(Dialect::Anthropic, Dialect::Responses, openai), r#"{"input_tokens":12}"#);
    assert_eq!(told(Dialect::Responses, Dialect::Anthropic, r#"{"input_tokens":12}"#), openai);
    assert_eq!(told(Dialect::Responses, Dialect::Gemini, r#"{"totalTokens":12}"#), openai);
    assert_eq!(told(Dialect::Responses, Dialect::Bedrock, r#"{"inputTokens":12}"#), openai);
    // In the caller's own dialect not a byte changes.
    let spaced = r#"{ "input_tokens": 12, "new": 1 }"#;
    assert_eq!(told(Dialect::Anthropic, Dialect::Anthropic, spaced), spaced);
}

#[test]
fn an_answer_without_a_count_is_a_fault() {
    let refused = |body: &'static str| {
        relay_answer(&question(Dialect::Anthropic), Dialect::Gemini, Bytes::from(body)).unwrap_err()
    };
    assert_eq!(refused("{}").code, "invalid_answer");
    assert_eq!(refused("<html>").code, "invalid_answer");
    assert_eq!(refused(r#"{"totalTokens":"many"}"#).code, "invalid_answer");
    assert_eq!(
        refused(r#"{"error":{"type":"overloaded_error","message":"later"}}"#).code,
        "overloaded_error"
    );
}

#[test]
fn each_target_is_asked_in_the_object_it_wants_around_the_call() {
    let call = question(Dialect::Responses);
    let gemini = asked(&call, &TargetShape::new(Dialect::Gemini, "gemini-x"));
    let inner = &gemini["generateContentRequest"];
    assert_eq!(inner["model"], "models/gemini-x");
    assert_eq!(inner["contents"][0]["parts"][0]["text"], "Hello");
    assert_eq!(inner["systemInstruction"]["parts"][0]["text"], "Be brief.");
    let platform = Platform::Vertex { project: "p", location: "l" };
    let vertex = asked(&call, &TargetShape { platform, ..TargetShape::new(Dialect::Gemini, "gemini-x") });
    assert_eq!(vertex["contents"], inner["contents"]);
    assert!(vertex.get("toolConfig").is_none());
    let bedrock = asked(&call, &TargetShape::new(Dialect::Bedrock, "b"));
    let inner = &bedrock["input"]["converse"];
    assert_eq!(inner["messages"][0]["content"][0]["text"], "Hello");
    assert!(inner.get("inferenceConfig").is_none() && inner["toolConfig"].is_object());
}

fn plain_question() -> Value {
    json!({"contents":[{"role":"user","parts":[{"text":"Hello"}]}]})
}

#[test]
fn a_wrapped_question_is_understood() {
    let body = json!({"generateContentRequest":{"model":"models/g","contents":[{"role":"user","parts":[{"text":"Hello"}]}]}});
    for body in [body, plain_question()] {
        let question =
            Asked { model: Some("g".to_owned()), ..(Dialect::Gemini, Operation::CountTokens).into() };
        let call = Call::decode(question, body.to_string().into()).unwrap();
        let of_openai = asked(&call, &TargetShape::new(Dialect::Responses, "gpt"));
        assert_eq!(of_openai, json!({"model":"gpt","input":[{"role":"user","content":"Hello"}]}));
        let platform = Platform::Vertex { project: "p", location: "l" };
        let of_vertex = asked(&call, &TargetShape { platform, ..TargetShape::new(Dialect::Gemini, "g") });
        assert_eq!(of_vertex, plain_question());
        let (answer, _) =
            relay_answer(&call, Dialect::Anthropic, Bytes::from(r#"{"input_tokens":3}"#)).unwrap();
        assert_eq!(&answer[..], br#"{"totalTokens":3}"#);
    }
}

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    Asked, Call, Dialect, Fault, FaultClass, Json, Message, OutputFormat, Part, PartBody, Request, Role,
    Signature, Source, ToolBody, ToolChoice,
};

fn read(body: &Value) -> Result<Request, Fault> {
    let asked = Asked {
        model: Some("gemini-2.5-pro".to_owned()),
        stream: true,
        ..Asked::from((Dialect::Gemini, crate::Operation::Chat))
    };
    Call::decode(asked, Bytes::from(body.to_string()))?.request()
}

fn parts(message: &Message) -> Vec<&PartBody> {
    message.parts.iter().map(|part| &part.body).collect()
}

#[test]
fn both_cases_of_names_say_the_same() {
    let camel = json!({
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA-_"}}]}],
        "generationConfig": {"maxOutputTokens": 5, "stopSequences": ["x"], "topK": 40.0, "candidateCount": 2,
            "thinkingConfig": {"thinkingBudget": 2048, "includeThoughts": true}},
        "toolConfig": {"functionCallingConfig": {"mode": "any", "allowedFunctionNames": ["f"]}},
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}]});
    let snake = json!({
        "system_instruction": {"parts": {"text": "s"}},
        "contents": {"role": "USER", "parts": {"inline_data": {"mime_type": "image/png", "data": "AA+/"}}},
        "generation_config": {"max_output_tokens": 5, "stop_sequences": ["x"], "top_k": 40, "candidate_count": 2,
            "thinking_config": {"thinking_budget": 2048, "include_thoughts": true}},
        "tool_config": {"function_calling_config": {"mode": "any", "allowed_function_names": ["f"]}},
        "tools": {"function_declarations": {"name": "f", "parameters_json_schema": {"type": "object"}}}});
    let (mut one, mut other) = (read(&camel).unwrap(), read(&snake).unwrap());
    // Only what is kept as it was written differs.
    one.extra.retain(|(name, _)| name != "toolConfig");
    other.extra.retain(|(name, _)| name != "toolConfig");
    assert_eq!(one, other);
    assert_eq!((one.max_output_tokens, one.top_k, one.n, one.stream), (Some(5), Some(40), Some(2), true));
    assert_eq!(one.tool_choice, Some(ToolChoice::Named("f".to_owned())));
    assert_eq!(one.reasoning.unwrap().effort.as_deref(), Some("medium"));
    let twice = json!({"contents": [{"parts": [{"inlineData": {"mimeType": "a/b", "mime_type": "c/d", "data": ""}}]}]});
    assert_eq!(read(&twice).unwrap_err().class, FaultClass::Invalid);
}

#[test]
fn what_is_shown_is_told_apart_by_its_type() {
    let file = |uri: &str, kind: &str| json!({"fileData": {"fileUri": uri, "mimeType": kind}});
    let body = json!({"contents": [{"role": "user", "parts": [
        {"inlineData": {"mimeType": "application/pdf", "data": "AA==", "displayName": "a.pdf"}},
        file("https://x/y.png", "image/png"), file("gs://b/c.mp3", "audio/mpeg"),
        {"fileData": {"fileUri": "https://youtu.be/x"}},
    ]}]});
    let request = read(&body).unwrap();
    let shown = parts(&request.messages[0]);
    let pdf = Source::Base64 { media_type: "application/pdf".to_owned(), data: "AA==".to_owned() };
    assert_eq!(*shown[0], PartBody::Document { source: pdf, name: Some("a.pdf".to_owned()) });
    let image = PartBody::Image { source: Source::Url("https://x/y.png".to_owned()), detail: None };
    assert_eq!(*shown[1], image);
    assert_eq!(*shown[2], PartBody::Audio { source: Source::File("gs://b/c.mp3".to_owned()) });
    assert!(matches!(shown[3], PartBody::Video { source: Source::Url(_) }));
}

#[test]
fn calls_and_results_without_ids_belong_together_by_place_and_name() {
    let called = |name: &str| json!({"functionCall": {"name": name, "args": {}}});
    let result =
        |name: &str, text: &str| json!({"functionResponse": {"name": name, "response": {"output": text}}});
    let body = json!({"contents": [
        {"role": "user", "parts": [{"text": "q"}]},
        {"role": "model", "parts": [called("f"), called("g"), called("f")]},
        {"role": "user", "parts": [result("g", "2"), result("f", "1"), result("f", "3")]},
    ]});
    let request = read(&body).unwrap();
    let results: Vec<(&str, &PartBody)> = request.messages[2]
        .parts
        .iter()
        .map(|part| match &part.body {
            PartBody::ToolResult { id, content, .. } => (id.as_str(), &content[0].body),
            other => panic!("{other:?}"),
        })
        .collect();
    let text = |text: &str| PartBody::Text(text.to_owned());
    assert_eq!(results, [("call_1", &text("2")), ("call_0", &text("1")), ("call_2", &text("3"))]);
}

#[test]
fn results_say_what_they_are() {
    let body = json!({"contents": [
        {"role": "model", "parts": [{"functionCall": {"id": "a", "name": "f"}, "thoughtSignature": "c2ln"}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "a", "name": "f", "response": {"error": "no"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"n": 1.50}}}]},
    ]});
    let request = read(&body).unwrap();
    assert_eq!(request.messages[0].parts[0].signature, Some(Signature::new(Dialect::Gemini, "c2ln")));
    let result = |index: usize| match &request.messages[index].parts[0].body {
        PartBody::ToolResult { content, is_error, .. } => (content[0].body.clone(), *is_error),
        other => panic!("{other:?}"),
    };
    assert_eq!(result(1), (PartBody::Text("no".to_owned()), true));
    assert_eq!(result(2), (PartBody::Text(r#"{"n":1.5}"#.to_owned()), false));
}

#[test]
fn reasoning_in_pieces_is_one_and_keeps_its_seal() {
    let seal = |by: &Signature| crate::gemini::parts::carry_seal(by);
    let anthropic = Signature::new(Dialect::Anthropic, "c2ln");
    let body = json!({"contents": [{"role": "model", "parts": [
        {"text": "a", "thought": true}, {"text": "b", "thought": true},
        {"text": "", "thought": true, "thoughtSignature": seal(&anthropic)}, {"text": "said"}]}]});
    let request = read(&body).unwrap();
    let thinking = PartBody::Thinking { text: "ab".to_owned(), signature: Some(anthropic) };
    assert_eq!(parts(&request.messages[0]), [&thinking, &PartBody::Text("said".to_owned())]);
}

#[test]
fn a_seal_of_another_dialect_survives_either_alphabet_of_base64() {
    let seal = Signature::new(Dialect::Anthropic, "E?>~ÿ+/=");
    let carried = crate::gemini::parts::carry_seal(&seal);
    assert!(carried.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'=')));
    assert_eq!(crate::gemini::parts::read_seal(&carried), seal);
    assert_eq!(crate::gemini::parts::read_seal(&carried.replace('-', "+").replace('_', "/")), seal);
    let own = Signature::new(Dialect::Gemini, "EsggCsUgAb4+9vtoc9c7/A==");
    assert_eq!(crate::gemini::parts::read_seal(&own.data), own);
}

#[test]
fn tools_formats_and_choices_are_read() {
    let body = json!({"contents": [{"parts": [{"text": "q"}]}],
        "tools": [{"googleSearch": {}}, {"functionDeclarations": [
            {"name": "f", "description": "d", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": true}}}},
            {"name": "g"}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["g", "f"]}},
        "generationConfig": {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}}},
        "safetySettings": [{"category": "HARM", "threshold": "BLOCK_NONE"}]});
    let request = read(&body).unwrap();
    assert!(matches!(&request.tools[0].body, ToolBody::Opaque { kind, .. } if kind == "googleSearch"));
    let ToolBody::Function { parameters: Some(parameters), .. } = &request.tools[1].body else { panic!() };
    assert_eq!(
        *parameters,
        Json::parse(r#"{"type":"object","properties":{"a":{"type":["string","null"]}}}"#).unwrap()
    );
    assert_eq!(request.tool_choice, Some(ToolChoice::Required));
    let Some(OutputFormat::JsonSchema { schema, strict, .. }) = &request.format else { panic!() };
    assert_eq!(*schema, Json::parse(r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#).unwrap());
    assert_eq!(*strict, Some(true));
    let json = json!({"contents": [], "generationConfig": {"responseMimeType": "application/json"}});
    assert_eq!(read(&json).unwrap().format, Some(OutputFormat::JsonObject));
}

#[test]
fn a_wrong_shape_is_named() {
    for (body, param) in [
        (json!({"contents": [{"role": "alien", "parts": []}]}), "contents[0].role"),
        (json!({"contents": [{"parts": [{}]}]}), "contents[0].parts[0]"),
        (json!({"contents": [{"parts": [{"text": 5}]}]}), "contents[0].parts[0].text"),
        (
            json!({"contents": [{"parts": [{"functionCall": {"args": {}}}]}]}),
            "contents[0].parts[0].functionCall.name",
        ),
        (json!({"contents": [], "generationConfig": {"temperature": "hot"}}), "generationConfig.temperature"),
        (json!({"contents": 5}), "contents"),
    ] {
        assert_eq!(read(&body).unwrap_err().param.as_deref(), Some(param), "{body}");
    }
    assert_eq!(read(&json!({})).unwrap_err().param.as_deref(), Some("contents"));
}

#[test]
fn what_decides_and_has_no_word_is_known_to_be_lost() {
    use super::loss;
    use crate::losses::Loss;
    for (name, value, expected) in [
        ("cachedContent", r#""cachedContents/x""#, Loss::Meaning),
        ("safetySettings", r#"[{"threshold":"BLOCK_LOW_AND_ABOVE"}]"#, Loss::Meaning),
        ("safetySettings", r#"[{"threshold":"OFF"},{"threshold":"BLOCK_NONE"}]"#, Loss::Hint),
        ("modelArmorConfig", "{}", Loss::Duty),
        ("generationConfig.responseModalities", r#"["TEXT"]"#, Loss::Nothing),
        ("generationConfig.responseModalities", r#"["IMAGE"]"#, Loss::Meaning),
        ("generationConfig.speechConfig", "{}", Loss::Meaning),
    ] {
        assert_eq!(loss(name, value), expected, "{name} {value}");
    }
}

#[test]
fn an_empty_text_with_a_seal_is_kept() {
    let request =
        read(&json!({"contents": [{"role": "model", "parts": [{"thoughtSignature": "c2ln"}]}]})).unwrap();
    let [Part { body: PartBody::Text(text), signature: Some(_), .. }] = request.messages[0].parts.as_slice()
    else {
        panic!()
    };
    assert_eq!((text.as_str(), request.messages[0].role), ("", Role::Assistant));
}

#[test]
fn a_caller_that_wants_to_see_thoughts_has_claude_think_unless_the_call_excludes_it() {
    let thinks = |config: Value, dialect: Dialect| {
        let body =
            json!({"contents": [{"role": "user", "parts": [{"text": "q"}]}], "generationConfig": config});
        let asked =
            Asked { model: Some("m".to_owned()), ..Asked::from((Dialect::Gemini, crate::Operation::Chat)) };
        let call = Call::decode(asked, Bytes::from(body.to_string())).unwrap();
        let target = crate::TargetShape::new(dialect, "claude-sonnet-4-5");
        let sent: Value = serde_json::from_slice(&crate::encode_call(&call, &target).unwrap().body).unwrap();
        !sent["thinking"].is_null() || sent.get("reasoning_effort").is_some()
    };
    let shown = json!({"thinkingConfig": {"includeThoughts": true}, "maxOutputTokens": 9000});
    assert!(thinks(shown.clone(), Dialect::Anthropic));
    assert!(!thinks(shown.clone(), Dialect::OpenAi));
    let mut cool = shown;
    cool["temperature"] = json!(0.2);
    assert!(!thinks(cool, Dialect::Anthropic));
    assert!(!thinks(json!({"maxOutputTokens": 9000}), Dialect::Anthropic));
}

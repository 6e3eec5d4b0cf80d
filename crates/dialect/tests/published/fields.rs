//! What becomes of a field on its way to each target: each is sent, and what the crate did with it is looked at.

use frontdoor_dialect::{Dialect, OnUnsupported, TargetShape};
use serde_json::{Value, json};

use crate::{send, table};

/// Whose fields are looked at.
pub(crate) const CALLERS: [Dialect; 6] = Dialect::ALL;

/// A model of each dialect that can as much as any.
const TARGETS: [(Dialect, &str); 6] = [
    (Dialect::OpenAi, "gpt-5.1"),
    (Dialect::Responses, "gpt-5.1"),
    (Dialect::Anthropic, "claude-sonnet-4-5"),
    (Dialect::Gemini, "gemini-2.5-flash"),
    (Dialect::Bedrock, "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    (Dialect::Cohere, "command-a-03-2025"),
];

const PNG: &str = "iVBORw0KGgo=";

/// A call with nothing special.
fn plain(caller: Dialect) -> Value {
    match caller {
        Dialect::Responses => json!({"model": "m", "input": [{"role": "user", "content": "hi"}]}),
        Dialect::Anthropic => {
            json!({"model": "m", "max_tokens": 9_000, "messages": [{"role": "user", "content": "hi"}]})
        }
        Dialect::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
        Dialect::Bedrock => json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}),
        Dialect::OpenAi | Dialect::Cohere => {
            json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
        }
    }
}

/// The fields of a dialect: what to call them, and what a call with them has besides.
fn fields(caller: Dialect) -> Vec<(&'static str, Value)> {
    // Beside a text, so that something is left when the part is not.
    let text = if caller == Dialect::Bedrock {
        json!({"text": "see"})
    } else {
        json!({"type": "text", "text": "see"})
    };
    let user = |part: Value| json!({"messages": [{"role": "user", "content": [text, part]}]});
    match caller {
        Dialect::OpenAi => openai(&user),
        Dialect::Responses => responses(),
        Dialect::Anthropic => anthropic(&user),
        Dialect::Gemini => gemini(),
        Dialect::Bedrock => bedrock(&user),
        Dialect::Cohere => cohere(),
    }
}

fn openai(user: &dyn Fn(Value) -> Value) -> Vec<(&'static str, Value)> {
    let tool = json!({"type": "function", "function": {"name": "f", "description": "d",
        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}});
    let tools = |more: Value| {
        let mut call = json!({"tools": [tool]});
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call
    };
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
    vec![
        ("`temperature: 0.5`", json!({"temperature": 0.5})),
        ("`temperature: 1.5`", json!({"temperature": 1.5})),
        ("`top_p`", json!({"top_p": 0.5})),
        ("`stop`, one", json!({"stop": ["x"]})),
        ("`seed`", json!({"seed": 7})),
        ("`n: 2`", json!({"n": 2})),
        ("`logprobs`", json!({"logprobs": true})),
        ("`frequency_penalty`", json!({"frequency_penalty": 0.5})),
        ("`logit_bias`", json!({"logit_bias": {"1": 5}})),
        ("`tools`", tools(json!({}))),
        ("`tool_choice: required`", tools(json!({"tool_choice": "required"}))),
        (
            "`tool_choice`, a name",
            tools(json!({"tool_choice": {"type": "function", "function": {"name": "f"}}})),
        ),
        ("`tool_choice: none`", tools(json!({"tool_choice": "none"}))),
        ("`parallel_tool_calls: false`", tools(json!({"parallel_tool_calls": false}))),
        ("`response_format: json_object`", json!({"response_format": {"type": "json_object"}})),
        (
            "`response_format: json_schema`",
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": true}}}),
        ),
        ("`reasoning_effort: low`", json!({"reasoning_effort": "low"})),
        (
            "image, bytes",
            user(json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}})),
        ),
        ("image, URL", user(json!({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}))),
        (
            "PDF, bytes",
            user(
                json!({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}),
            ),
        ),
        ("uploaded file", user(json!({"type": "file", "file": {"file_id": "file-1"}}))),
        ("sound", user(json!({"type": "input_audio", "input_audio": {"format": "wav", "data": "UklGRg=="}}))),
        ("`user`", json!({"user": "u"})),
        ("`metadata`", json!({"metadata": {"a": "b"}})),
        ("`service_tier`", json!({"service_tier": "flex"})),
        ("`store: true`", json!({"store": true})),
        ("`prompt_cache_key`", json!({"prompt_cache_key": "k"})),
        ("`web_search_options`", json!({"web_search_options": {}})),
        ("`modalities: [audio]`", json!({"modalities": ["text", "audio"]})),
        ("a field nobody knows", json!({"brand_new": 1})),
    ]
}

fn responses() -> Vec<(&'static str, Value)> {
    vec![
        ("`instructions`", json!({"instructions": "be brief"})),
        ("`previous_response_id`", json!({"previous_response_id": "resp_1"})),
        ("`conversation`", json!({"conversation": "conv_1"})),
        ("`background: true`", json!({"background": true})),
        ("`store: false`", json!({"store": false})),
        ("`store: true`", json!({"store": true})),
        ("`truncation: auto`", json!({"truncation": "auto"})),
        ("`reasoning.effort`", json!({"reasoning": {"effort": "low"}})),
        ("`reasoning.summary`", json!({"reasoning": {"effort": "low", "summary": "auto"}})),
        ("`text.verbosity`", json!({"text": {"verbosity": "low"}})),
        ("a tool of OpenAI's (`web_search`)", json!({"tools": [{"type": "web_search"}]})),
        ("`prompt`, a stored one", json!({"prompt": {"id": "p"}})),
    ]
}

fn anthropic(user: &dyn Fn(Value) -> Value) -> Vec<(&'static str, Value)> {
    vec![
        ("`system`", json!({"system": "be brief"})),
        ("`top_k`", json!({"top_k": 5})),
        ("`stop_sequences`, one", json!({"stop_sequences": ["x"]})),
        ("`thinking: enabled`", json!({"thinking": {"type": "enabled", "budget_tokens": 2_048}})),
        (
            "`cache_control`",
            user(json!({"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}})),
        ),
        (
            "`citations: enabled`",
            user(
                json!({"type": "document", "citations": {"enabled": true}, "source": {"type": "text", "media_type": "text/plain", "data": "x"}}),
            ),
        ),
        (
            "document, text",
            user(
                json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}),
            ),
        ),
        (
            "document, URL",
            user(json!({"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}})),
        ),
        ("uploaded file", user(json!({"type": "document", "source": {"type": "file", "file_id": "f"}}))),
        (
            "a tool of Anthropic's (`web_search`)",
            json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        ),
        (
            "`mcp_servers`",
            json!({"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "x"}]}),
        ),
        ("`metadata.user_id`", json!({"metadata": {"user_id": "u"}})),
        ("`service_tier`", json!({"service_tier": "standard_only"})),
        ("`inference_geo`", json!({"inference_geo": "eu"})),
    ]
}

fn gemini() -> Vec<(&'static str, Value)> {
    let config = |field: &str, value: Value| json!({"generationConfig": {field: value}});
    let part = |part: Value| json!({"contents": [{"role": "user", "parts": [{"text": "see"}, part]}]});
    vec![
        ("`systemInstruction`", json!({"systemInstruction": {"parts": [{"text": "be brief"}]}})),
        ("`topK`", config("topK", json!(5))),
        ("`candidateCount: 2`", config("candidateCount", json!(2))),
        ("`responseLogprobs`", config("responseLogprobs", json!(true))),
        ("`thinkingConfig.thinkingBudget`", config("thinkingConfig", json!({"thinkingBudget": 2_048}))),
        ("`responseModalities: [IMAGE]`", config("responseModalities", json!(["IMAGE"]))),
        (
            "`safetySettings` that hold back",
            json!({"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_LOW_AND_ABOVE"}]}),
        ),
        ("`cachedContent`", json!({"cachedContent": "cachedContents/1"})),
        ("`tools.googleSearch`", json!({"tools": [{"googleSearch": {}}]})),
        (
            "video, URL",
            part(json!({"fileData": {"mimeType": "video/mp4", "fileUri": "https://example.com/a.mp4"}})),
        ),
        ("image, bytes", part(json!({"inlineData": {"mimeType": "image/png", "data": PNG}}))),
        ("`modelArmorConfig`", json!({"modelArmorConfig": {"promptTemplateName": "p"}})),
    ]
}

fn bedrock(user: &dyn Fn(Value) -> Value) -> Vec<(&'static str, Value)> {
    vec![
        ("`system`", json!({"system": [{"text": "be brief"}]})),
        ("`inferenceConfig.stopSequences`", json!({"inferenceConfig": {"stopSequences": ["x"]}})),
        (
            "`cachePoint`",
            json!({"messages": [{"role": "user", "content": [{"text": "hi"}, {"cachePoint": {"type": "default"}}]}]}),
        ),
        (
            "document, bytes",
            user(json!({"document": {"format": "pdf", "name": "a", "source": {"bytes": "JVBERi0="}}})),
        ),
        (
            "image at S3",
            user(json!({"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k"}}}})),
        ),
        ("`requestMetadata`", json!({"requestMetadata": {"a": "b"}})),
        ("`performanceConfig`", json!({"performanceConfig": {"latency": "optimized"}})),
        (
            "`guardrailConfig`",
            json!({"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}}),
        ),
        ("`additionalModelRequestFields`, unknown", json!({"additionalModelRequestFields": {"x": 1}})),
    ]
}

fn cohere() -> Vec<(&'static str, Value)> {
    vec![
        ("`k`", json!({"k": 5})),
        ("`p`", json!({"p": 0.5})),
        ("`seed`", json!({"seed": 7})),
        ("`stop_sequences`, one", json!({"stop_sequences": ["x"]})),
        ("`response_format: json_object`", json!({"response_format": {"type": "json_object"}})),
        ("`thinking: enabled`", json!({"thinking": {"type": "enabled", "token_budget": 2_048}})),
        ("`documents`", json!({"documents": ["x"]})),
        ("`citation_options`", json!({"citation_options": {"mode": "fast"}})),
        ("`safety_mode: STRICT`", json!({"safety_mode": "STRICT"})),
        ("`priority`", json!({"priority": 1})),
    ]
}

/// The name of a dialect, and the table of its fields.
pub(crate) fn table_of(caller: Dialect) -> (&'static str, String) {
    let others: Vec<(Dialect, &str)> =
        TARGETS.into_iter().filter(|(dialect, _)| *dialect != caller).collect();
    let head: Vec<&str> =
        ["field"].into_iter().chain(others.iter().map(|(dialect, _)| dialect.as_str())).collect();
    let row = |(name, more): (&str, Value)| {
        let cells = others.iter().map(|target| outcome(caller, &more, *target));
        [name.to_owned()].into_iter().chain(cells).collect()
    };
    let rows: Vec<Vec<String>> = fields(caller).into_iter().map(row).collect();
    (caller.as_str(), table(&head, &rows))
}

/// What becomes of a field. What a plain call is told already does not count.
fn outcome(caller: Dialect, more: &Value, (dialect, model): (Dialect, &str)) -> String {
    let shape = TargetShape { max_output_tokens: Some(9_000), ..TargetShape::new(dialect, model) };
    let usual = send(caller, &plain(caller), &shape).unwrap();
    let mut call = plain(caller);
    call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    match send(caller, &call, &shape) {
        Err(_) => {
            let shape = TargetShape { on_unsupported: OnUnsupported::Drop, ..shape };
            if send(caller, &call, &shape).is_ok() { "refused" } else { "never" }.to_owned()
        }
        Ok(sent) if sent.dropped.iter().any(|field| !usual.dropped.contains(field)) => "left out".to_owned(),
        Ok(sent) if sent.defaulted.iter().any(|field| !usual.defaulted.contains(field)) => {
            "changed".to_owned()
        }
        Ok(sent) if sent.body == usual.body => "usual there".to_owned(),
        Ok(_) => "yes".to_owned(),
    }
}

//! The OpenAI surface.

use base64::Engine;

use super::*;

fn weather_tools() -> Value {
    json!([{"type": "function", "function": {"name": "get_weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}])
}

#[tokio::test]
async fn a_chat_answer_echoes_and_reports_its_usage() {
    let world = World::new().await;
    let answer = world.chat(&json!({"model": "sim-gpt", "messages": user("good day")})).await;
    let json = answer.json();
    assert_eq!(json["object"], "chat.completion");
    assert_eq!(json["model"], "sim-gpt");
    assert_eq!(json["created"], START_MS / 1_000);
    assert_eq!(json["choices"][0]["message"]["content"], "You said: good day");
    assert_eq!(json["choices"][0]["finish_reason"], "stop");
    assert_eq!(json["usage"]["prompt_tokens"], 6);
    assert_eq!(json["usage"]["completion_tokens"], 4);
    assert_eq!(json["usage"]["total_tokens"], 10);
    assert!(answer.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn a_stream_gives_the_role_then_the_words_then_the_reason_then_usage_then_done() {
    let world = World::new().await;
    let body = json!({"model": "sim-gpt", "messages": user("good day"), "stream": true, "stream_options": {"include_usage": true}});
    let answer = world.chat(&body).await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let events = answer.events();
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(events[0]["usage"], Value::Null);
    let text: String =
        events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "You said: good day");
    let [.., finish, usage, done] = events.as_slice() else { panic!("too short: {events:?}") };
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 4);
    assert_eq!(done, "[DONE]");
    assert_eq!(world.running.ledger()[0].output_tokens, 4);
}

#[tokio::test]
async fn usage_is_streamed_only_when_asked_for() {
    let world = World::new().await;
    let answer = world.chat(&json!({"model": "sim-gpt", "messages": user("hi"), "stream": true})).await;
    assert!(!answer.text.contains("usage"));
}

#[tokio::test]
async fn a_tool_call_streams_id_and_name_once_and_its_arguments_in_fragments() {
    let world = World::new().await;
    let body = json!({"model": "sim-gpt", "messages": user("What is the weather?"), "tools": weather_tools(), "stream": true});
    let events = world.chat(&body).await.events();
    let deltas: Vec<&Value> = events
        .iter()
        .map(|event| &event["choices"][0]["delta"]["tool_calls"][0])
        .filter(|delta| !delta.is_null())
        .collect();
    assert_eq!(deltas[0]["function"]["name"], "get_weather");
    assert!(deltas[0]["id"].as_str().unwrap().starts_with("call_"));
    assert!(deltas.iter().all(|delta| delta["index"] == 0));
    assert!(deltas.len() > 2);
    assert!(deltas.iter().skip(1).all(|delta| delta["id"].is_null() && delta["function"]["name"].is_null()));
    let arguments: String =
        deltas.iter().filter_map(|delta| delta["function"]["arguments"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), json!({"city": "city"}));
    assert!(events.iter().any(|event| event["choices"][0]["finish_reason"] == "tool_calls"));
}

#[tokio::test]
async fn a_tool_result_is_quoted_and_a_missing_one_refused() {
    let world = World::new().await;
    let call = json!({"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]});
    let question = json!({"role": "user", "content": "weather?"});
    let result = json!({"role": "tool", "tool_call_id": "call_1", "content": "12 degrees"});
    let answered =
        json!({"model": "sim-gpt", "messages": [question, call, result], "tools": weather_tools()});
    let content = world.chat(&answered).await.json()["choices"][0]["message"]["content"].clone();
    assert_eq!(content, "The tool answered: 12 degrees");

    for messages in [json!([question, call]), json!([question, result]), json!([question, call, question])] {
        let refused = world.chat(&json!({"model": "sim-gpt", "messages": messages})).await;
        assert_eq!(refused.status, 400, "{messages}");
        assert_eq!(refused.json()["error"]["type"], "invalid_request_error");
    }
}

#[tokio::test]
async fn several_choices_are_all_written_and_billed() {
    let world = World::new().await;
    let json = world.chat(&json!({"model": "sim-gpt", "messages": user("good day"), "n": 3})).await.json();
    assert_eq!(json["choices"].as_array().unwrap().len(), 3);
    assert_eq!(json["usage"]["completion_tokens"], 12);
}

#[tokio::test]
async fn a_stop_sequence_and_a_limit_end_the_answer() {
    let world = World::new().await;
    let stopped =
        world.chat(&json!({"model": "sim-gpt", "messages": user("good day"), "stop": "day"})).await.json();
    assert_eq!(stopped["choices"][0]["message"]["content"], "You said: good ");
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    let limited = world
        .chat(&json!({"model": "sim-gpt", "messages": user("good day"), "max_completion_tokens": 2}))
        .await
        .json();
    assert_eq!(limited["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn a_json_schema_is_answered_with_json() {
    let world = World::new().await;
    let schema = json!({"type": "object", "properties": {"age": {"type": "integer", "minimum": 18}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "person", "schema": schema}});
    let json = world
        .chat(&json!({"model": "sim-gpt", "messages": user("who?"), "response_format": format}))
        .await
        .json();
    assert_eq!(json["choices"][0]["message"]["content"], r#"{"age":18}"#);
}

#[tokio::test]
async fn embeddings_are_unit_vectors_that_agree_in_both_encodings() {
    let world = World::new().await;
    let embed = |format: &str| json!({"model": "sim-embed", "input": ["a", "b"], "dimensions": 8, "encoding_format": format});
    let floats = world.call("POST", "/v1/embeddings", &[], &embed("float")).await.json();
    let base64 = world.call("POST", "/embeddings", &[], &embed("base64")).await.json();
    let vector: Vec<f32> = serde_json::from_value(floats["data"][1]["embedding"].clone()).unwrap();
    assert!((vector.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5);
    let text = base64["data"][1]["embedding"].as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let decoded: Vec<f32> =
        bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    assert_eq!(decoded, vector);
    assert_ne!(floats["data"][0]["embedding"], floats["data"][1]["embedding"]);
    assert_eq!(floats["usage"], json!({"prompt_tokens": 2, "total_tokens": 2}));
}

#[tokio::test]
async fn models_are_listed_and_an_unknown_one_is_not_found() {
    let world = World::new().await;
    let list = world.call("GET", "/v1/models", &[], &Value::Null).await.json();
    assert_eq!(list["data"][0]["id"], "sim-gpt");
    let page = world.call("GET", "/v1/models/sim-gpt", &[], &Value::Null).await;
    assert_eq!(page.json()["object"], "model");
    let missing = world.call("GET", "/v1/models/none", &[], &Value::Null).await;
    assert_eq!(
        (missing.status.as_u16(), missing.json()["error"]["code"].clone()),
        (404, json!("model_not_found"))
    );
}

#[tokio::test]
async fn what_openai_refuses_is_refused() {
    let world = World::new().await;
    for body in [
        json!({"messages": user("hi")}),
        json!({"model": "m", "messages": []}),
        json!({"model": "m", "messages": user("hi"), "temperature": 3}),
        json!({"model": "m", "messages": user("hi"), "stream_options": {"include_usage": true}}),
        json!({"model": "m", "messages": [{"role": "robot", "content": "hi"}]}),
        json!({"model": "m", "messages": user("hi"), "tools": []}),
        json!({"model": "m", "messages": user("hi"), "tools": [{"type": "function", "function": {"name": "a.b"}}]}),
        json!({"model": "m", "messages": user("hi"), "tools": [{"type": "function", "function": {"name": "a", "strict": true, "parameters": {"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": false}}}]}),
        json!({"model": "m", "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "tool_calls": [{"id": "x".repeat(41), "type": "function", "function": {"name": "a", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "x".repeat(41), "content": "12"}]}),
        json!("not an object"),
    ] {
        assert_eq!(world.chat(&body).await.status, 400, "{body}");
    }
}

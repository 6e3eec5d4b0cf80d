//! The Anthropic surface.

use super::*;

fn tools() -> Value {
    json!([{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}])
}

fn ask(more: &Value) -> Value {
    let mut body =
        json!({"model": "sim-claude", "max_tokens": 4096, "messages": user("What is the weather?")});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The stream's grammar, as the official client reads it.
fn check_grammar(events: &[Value]) {
    let mut open: Option<u64> = None;
    let mut next = 0;
    assert_eq!(events[0]["type"], "message_start");
    assert_eq!(events.last().unwrap()["type"], "message_stop");
    for event in &events[1..] {
        match event["type"].as_str().unwrap() {
            "ping" => {}
            "content_block_start" => {
                assert_eq!((open, event["index"].as_u64()), (None, Some(next)));
                open = Some(next);
            }
            "content_block_delta" => assert_eq!(event["index"].as_u64(), open),
            "content_block_stop" => {
                assert_eq!(event["index"].as_u64(), open.take());
                next += 1;
            }
            "message_delta" | "message_stop" => assert_eq!(open, None),
            other => panic!("unexpected {other}"),
        }
    }
}

#[tokio::test]
async fn a_message_echoes_and_keeps_cached_tokens_out_of_the_input() {
    let world = World::new().await;
    let body = json!({"model": "sim-claude@cached_tokens=30,cache_write_tokens=5,input_tokens=40", "max_tokens": 100, "messages": user("good day")});
    let answer = world.messages(&body).await;
    let json = answer.json();
    assert_eq!(json["content"], json!([{"type": "text", "text": "You said: good day"}]));
    assert_eq!(
        (json["stop_reason"].clone(), json["stop_sequence"].clone()),
        (json!("end_turn"), Value::Null)
    );
    assert_eq!(json["usage"]["input_tokens"], 5);
    assert_eq!(json["usage"]["cache_read_input_tokens"], 30);
    assert_eq!(json["usage"]["cache_creation_input_tokens"], 5);
    assert_eq!(json["usage"]["output_tokens"], 4);
    assert!(answer.headers.contains_key("request-id"));
    assert_eq!(world.running.ledger()[0].input_tokens, 40);
}

#[tokio::test]
async fn a_stream_follows_the_grammar_with_thinking_and_tools() {
    let world = World::new().await;
    let thinking = json!({"type": "enabled", "budget_tokens": 2048});
    let events =
        world.messages(&ask(&json!({"stream": true, "tools": tools(), "thinking": thinking}))).await.events();
    check_grammar(&events);
    let starts: Vec<&Value> =
        events.iter().map(|event| &event["content_block"]).filter(|block| !block.is_null()).collect();
    assert_eq!(starts[0]["type"], "thinking");
    assert_eq!((starts[1]["type"].clone(), starts[1]["input"].clone()), (json!("tool_use"), json!({})));
    let input: String = events.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&input).unwrap(), json!({"city": "city"}));
    let delta = events.iter().find(|event| event["type"] == "message_delta").unwrap();
    assert_eq!(delta["delta"]["stop_reason"], "tool_use");
    assert_eq!(delta["usage"]["output_tokens"], world.running.ledger()[0].output_tokens);
    assert!(events.iter().any(|event| event["delta"]["type"] == "signature_delta"));
}

#[tokio::test]
async fn a_text_stream_follows_the_grammar_and_names_the_stop_sequence() {
    let world = World::new().await;
    let events = world.messages(&ask(&json!({"stream": true, "stop_sequences": ["weather"]}))).await.events();
    check_grammar(&events);
    let text: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!(text, "You said: What is the ");
    let delta = events.iter().find(|event| event["type"] == "message_delta").unwrap();
    assert_eq!(delta["delta"], json!({"stop_reason": "stop_sequence", "stop_sequence": "weather"}));
}

#[tokio::test]
async fn a_tool_choice_is_obeyed() {
    let world = World::new().await;
    let forced = ask(&json!({"messages": user("Hello"), "tools": tools(), "tool_choice": {"type": "any"}}));
    assert_eq!(world.messages(&forced).await.json()["content"][0]["type"], "tool_use");
    let forbidden = ask(&json!({"tools": tools(), "tool_choice": {"type": "none"}}));
    assert_eq!(world.messages(&forbidden).await.json()["content"][0]["type"], "text");
}

#[tokio::test]
async fn a_tool_result_is_quoted() {
    let world = World::new().await;
    let messages = json!([
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "12 degrees"}]}]},
    ]);
    let json = world.messages(&ask(&json!({"messages": messages, "tools": tools()}))).await.json();
    assert_eq!(json["content"][0]["text"], "The tool answered: 12 degrees");
}

#[tokio::test]
async fn tokens_are_counted_without_a_bill() {
    let world = World::new().await;
    let body = json!({"model": "sim-claude", "messages": user("12345678")});
    let answer =
        world.call("POST", "/v1/messages/count_tokens", &[("anthropic-version", "2023-06-01")], &body).await;
    assert_eq!(answer.json(), json!({"input_tokens": 6}));
    assert_eq!(world.running.ledger()[0].input_tokens, 0);
}

#[tokio::test]
async fn what_anthropic_refuses_is_refused_in_its_shape() {
    let world = World::new().await;
    let unanswered = json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {}}]}, {"role": "user", "content": "y"}]);
    for (body, expected) in [
        (json!({"model": "m", "messages": user("hi")}), "max_tokens: Field required"),
        (ask(&json!({"messages": []})), "at least one message"),
        (ask(&json!({"temperature": 1.5})), "temperature: range"),
        (ask(&json!({"messages": [{"role": "system", "content": "x"}]})), "top-level 'system'"),
        (ask(&json!({"messages": unanswered})), "without `tool_result` blocks immediately after: t"),
        (ask(&json!({"thinking": {"type": "enabled", "budget_tokens": 10}})), "budget_tokens"),
        (ask(&json!({"tool_choice": {"type": "any"}})), "while providing tools"),
    ] {
        let answer = world.messages(&body).await;
        let json = answer.json();
        assert_eq!(
            (answer.status.as_u16(), json["error"]["type"].clone()),
            (400, json!("invalid_request_error")),
            "{body}"
        );
        assert!(json["error"]["message"].as_str().unwrap().contains(expected), "{json}");
        assert_eq!(json["type"], "error");
    }
    let unversioned = world.call("POST", "/v1/messages", &[], &ask(&json!({}))).await;
    assert!(unversioned.text.contains("anthropic-version: header is required"));
}

#[tokio::test]
async fn models_come_in_the_callers_shape() {
    let world = World::new().await;
    let list =
        world.call("GET", "/v1/models", &[("anthropic-version", "2023-06-01")], &Value::Null).await.json();
    assert_eq!((list["data"][0]["type"].clone(), list["has_more"].clone()), (json!("model"), json!(false)));
}

#[tokio::test]
async fn marked_blocks_are_written_to_the_cache_and_five_marks_are_too_many() {
    let world = World::new().await;
    let mark = json!({"type": "ephemeral"});
    let block = json!({"type": "text", "text": "sixteen letters.", "cache_control": mark});
    let body = ask(&json!({"system": [block], "messages": user("hi")}));
    let usage = world.messages(&body).await.json()["usage"].clone();
    assert_eq!((&usage["cache_creation_input_tokens"], &usage["input_tokens"]), (&json!(4), &json!(5)));
    let many = ask(&json!({"system": [block, block, block, block, block]}));
    assert_eq!(world.messages(&many).await.status, 400);
}

#[tokio::test]
async fn a_document_that_may_be_cited_is() {
    let world = World::new().await;
    let document = json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}, "citations": {"enabled": true}});
    let content = json!([document, {"type": "text", "text": "good day"}]);
    let body = ask(&json!({"messages": [{"role": "user", "content": content}]}));
    let block = world.messages(&body).await.json()["content"][0].clone();
    assert_eq!(block["citations"][0]["type"], "char_location");
    let events = world
        .messages(&ask(&json!({"messages": [{"role": "user", "content": content}], "stream": true})))
        .await
        .events();
    check_grammar(&events);
    assert!(events.iter().any(|event| event["delta"]["type"] == "citations_delta"));
}

#[tokio::test]
async fn a_format_is_answered_with_json() {
    let world = World::new().await;
    let schema = json!({"type": "object", "properties": {"age": {"type": "integer", "minimum": 18}}, "additionalProperties": false});
    let body = ask(&json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}}));
    assert_eq!(world.messages(&body).await.json()["content"][0]["text"], r#"{"age":18}"#);
}

#[tokio::test]
async fn a_thought_comes_back_as_it_was_or_is_refused() {
    let world = World::new().await;
    let thinking = |signature: &str| {
        json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": signature}, {"type": "text", "text": "yes"}]},
            {"role": "user", "content": "and?"},
        ])
    };
    let made =
        world.messages(&ask(&json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}))).await.json();
    let ours = made["content"][0]["signature"].as_str().unwrap().to_owned();
    assert_eq!(world.messages(&ask(&json!({"messages": thinking(&ours)}))).await.status, 200);
    assert_eq!(world.messages(&ask(&json!({"messages": thinking("bm90IG91cnM=")}))).await.status, 400);
}

#[tokio::test]
async fn ids_names_texts_and_schemas_are_looked_at() {
    let world = World::new().await;
    let call = |id: &str| {
        json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "get_weather", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "12"}]},
        ])
    };
    let mut late = call("a");
    late[2]["content"].as_array_mut().unwrap().insert(0, json!({"type": "text", "text": "first"}));
    let open = json!({"type": "object", "properties": {}});
    assert_eq!(world.messages(&ask(&json!({"messages": call("a"), "tools": tools()}))).await.status, 200);
    for more in [
        json!({"messages": call("a.b"), "tools": tools()}),
        json!({"messages": late, "tools": tools()}),
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}),
        json!({"tools": [{"name": "a.b", "input_schema": {"type": "object"}}]}),
        json!({"output_config": {"format": {"type": "json_schema", "schema": open}}}),
    ] {
        assert_eq!(world.messages(&ask(&more)).await.status, 400, "{more}");
    }
}

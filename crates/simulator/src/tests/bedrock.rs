//! The Bedrock surface. Its streams are read by a decoder that these tests have for themselves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

const MODEL: &str = "us.sim-claude-v1%3A0";

/// One message of a binary stream.
#[derive(Debug)]
struct Message {
    headers: Vec<(String, String)>,
    payload: Value,
}

impl Message {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }
}

/// Bit by bit, so as to share nothing with the encoder.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 },
        )
    };
    !bytes.iter().fold(u32::MAX, step)
}

fn decode(bytes: &[u8]) -> Result<Vec<Message>, String> {
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut messages = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let (total, head) = (number(start), number(start + 4));
        if number(start + 8) != crc32(&bytes[start..start + 8]) as usize {
            return Err(format!("prelude of message {}", messages.len()));
        }
        if number(start + total - 4) != crc32(&bytes[start..start + total - 4]) as usize {
            return Err(format!("message {}", messages.len()));
        }
        let mut headers = Vec::new();
        let mut rest = &bytes[start + 12..start + 12 + head];
        while !rest.is_empty() {
            let (name, after) = rest[1..].split_at(usize::from(rest[0]));
            assert_eq!(after[0], 7);
            let length = usize::from(u16::from_be_bytes([after[1], after[2]]));
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            headers.push((text(name), text(&after[3..3 + length])));
            rest = &after[3 + length..];
        }
        let payload = &bytes[start + 12 + head..start + total - 4];
        messages.push(Message { headers, payload: serde_json::from_slice(payload).unwrap_or(Value::Null) });
        start += total;
    }
    Ok(messages)
}

impl World {
    async fn bedrock(&self, verb: &str, script: &str, body: &Value) -> Answer {
        let path = format!("/model/{MODEL}/{verb}");
        self.call("POST", &path, &[("x-simulate", script)], body).await
    }

    async fn stream(&self, verb: &str, script: &str, body: &Value) -> Result<Vec<Message>, String> {
        let path = format!("/model/{MODEL}/{verb}");
        let response = self.send("POST", &path, &[("x-simulate", script)], body).await;
        assert_eq!(response.headers()["content-type"], "application/vnd.amazon.eventstream");
        decode(&response.into_body().collect().await.unwrap().to_bytes())
    }
}

fn turn(text: &str) -> Value {
    json!([{"role": "user", "content": [{"text": text}]}])
}

fn tools() -> Value {
    json!({"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": {
        "type": "object", "properties": {"city": {"type": "string"}}}}}}]})
}

#[tokio::test]
async fn converse_echoes_and_keeps_cached_tokens_out_of_the_input() {
    let world = World::new().await;
    let body = json!({"messages": turn("good day")});
    let json = world.bedrock("converse", "cached_tokens=10,input_tokens=30", &body).await.json();
    assert_eq!(
        json["output"]["message"],
        json!({"role": "assistant", "content": [{"text": "You said: good day"}]})
    );
    assert_eq!(json["stopReason"], "end_turn");
    let expected = json!({"inputTokens": 20, "outputTokens": 4, "totalTokens": 34, "cacheReadInputTokens": 10, "cacheWriteInputTokens": 0});
    assert_eq!(json["usage"], expected);
    let row = &world.running.ledger()[0];
    assert_eq!((row.path.as_str(), row.model.as_str()), ("/model/{model}/converse", "us.sim-claude-v1:0"));
    assert_eq!((row.input_tokens, row.output_tokens), (30, 4));
}

#[tokio::test]
async fn the_binary_stream_has_right_checksums_and_ends_with_the_usage() {
    let world = World::new().await;
    let messages = world.stream("converse-stream", "", &json!({"messages": turn("good day")})).await.unwrap();
    let kinds: Vec<&str> = messages.iter().map(|message| message.header(":event-type")).collect();
    let delta = "contentBlockDelta";
    assert_eq!(
        kinds,
        ["messageStart", delta, delta, delta, delta, "contentBlockStop", "messageStop", "metadata"]
    );
    let text: String =
        messages.iter().filter_map(|message| message.payload["delta"]["text"].as_str()).collect();
    assert_eq!(text, "You said: good day");
    assert_eq!(messages[7].payload["usage"]["outputTokens"], 4);
    assert_eq!(world.running.ledger()[0].output_tokens, 4);
}

#[tokio::test]
async fn a_tool_use_is_announced_and_its_input_comes_in_fragments() {
    let world = World::new().await;
    let body = json!({"messages": turn("weather?"), "toolConfig": tools()});
    let messages = world.stream("converse-stream", "", &body).await.unwrap();
    assert_eq!(messages[1].payload["start"]["toolUse"]["name"], "get_weather");
    let input: String =
        messages.iter().filter_map(|message| message.payload["delta"]["toolUse"]["input"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&input).unwrap(), json!({"city": "city"}));
    let stop = messages.iter().find(|message| message.header(":event-type") == "messageStop").unwrap();
    assert_eq!(stop.payload["stopReason"], "tool_use");
}

#[tokio::test]
async fn thinking_comes_first_with_a_signature_that_has_to_come_back() {
    let world = World::new().await;
    let thinking = json!({"thinking": {"type": "enabled", "budget_tokens": 1024}});
    let body = json!({"messages": turn("good day"), "additionalModelRequestFields": thinking});
    let json = world.bedrock("converse", "", &body).await.json();
    let content = json["output"]["message"]["content"].clone();
    assert!(content[0]["reasoningContent"]["reasoningText"]["signature"].is_string());
    let messages = world.stream("converse-stream", "", &body).await.unwrap();
    assert!(messages[1].payload["delta"]["reasoningContent"]["text"].is_string());
    assert_eq!(messages.last().unwrap().payload["usage"]["outputTokens"], 14);
    let mut again = json!([turn("good day")[0], {"role": "assistant", "content": content}, turn("and?")[0]]);
    assert_eq!(world.bedrock("converse", "", &json!({"messages": again})).await.status, 200);
    again[1]["content"][0]["reasoningContent"]["reasoningText"]["signature"] = json!("bm90IG91cnM=");
    assert_eq!(world.bedrock("converse", "", &json!({"messages": again})).await.status, 400);
}

#[tokio::test]
async fn a_wrong_checksum_is_seen_by_whoever_looks() {
    let world = World::new().await;
    let error = world.stream("converse-stream", "bad_checksum", &json!({"messages": turn("good day")})).await;
    assert_eq!(error.unwrap_err(), "message 4");
}

#[tokio::test]
async fn an_exception_comes_inside_a_200() {
    let world = World::new().await;
    let body = json!({"messages": turn("good day")});
    let messages = world.stream("converse-stream", "error_after=2", &body).await.unwrap();
    assert_eq!(messages.len(), 3);
    assert_eq!(messages[2].header(":message-type"), "exception");
    assert_eq!(messages[2].header(":exception-type"), "serviceUnavailableException");
    let script = "error_in_200;error_type=ThrottlingException";
    let messages = world.stream("converse-stream", script, &body).await.unwrap();
    assert_eq!((messages.len(), messages[0].header(":exception-type")), (1, "throttlingException"));
}

#[tokio::test]
async fn an_error_names_its_type_in_a_header() {
    let world = World::new().await;
    let body = json!({"messages": turn("good day")});
    for (script, status, kind) in [
        ("status=429", 429, "ThrottlingException"),
        ("status=424", 424, "ModelErrorException"),
        ("status=400;error_type=ServiceQuotaExceededException", 400, "ServiceQuotaExceededException"),
    ] {
        let answer = world.bedrock("converse", script, &body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.headers["x-amzn-errortype"].to_str().unwrap()),
            (status, kind)
        );
        assert!(answer.json()["message"].is_string());
    }
}

#[tokio::test]
async fn an_answer_without_output_is_a_200_all_the_same() {
    let world = World::new().await;
    let answer = world.bedrock("converse", "empty_choices", &json!({"messages": turn("hi")})).await;
    assert_eq!((answer.status.as_u16(), answer.json()["output"].clone()), (200, Value::Null));
}

#[tokio::test]
async fn anthropics_models_are_invoked_with_their_own_format() {
    let world = World::new().await;
    let body =
        json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": user("good day")});
    let json = world.bedrock("invoke", "", &body).await.json();
    assert_eq!(json["content"][0]["text"], "You said: good day");
    assert_eq!(json["model"], "us.sim-claude-v1:0");
    let messages = world.stream("invoke-with-response-stream", "", &body).await.unwrap();
    assert!(messages.iter().all(|message| message.header(":event-type") == "chunk"));
    let events: Vec<Value> = messages
        .iter()
        .map(|message| STANDARD.decode(message.payload["bytes"].as_str().unwrap()).unwrap())
        .map(|bytes| serde_json::from_slice(&bytes).unwrap())
        .collect();
    assert_eq!(events[0]["type"], "message_start");
    assert_eq!(events.last().unwrap()["type"], "message_stop");
    for wrong in [
        json!({"max_tokens": 100, "messages": user("hi")}),
        json!({"anthropic_version": "2023-06-01", "max_tokens": 100, "messages": user("hi")}),
        json!({"anthropic_version": "bedrock-2023-05-31", "model": "m", "max_tokens": 100, "messages": user("hi")}),
    ] {
        assert_eq!(world.bedrock("invoke", "", &wrong).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn tokens_are_counted_for_both_ways_to_call() {
    let world = World::new().await;
    let converse = json!({"input": {"converse": {"messages": turn("four letters")}}});
    let by_converse = world.bedrock("count-tokens", "", &converse).await.json();
    let body =
        json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": user("four letters")});
    let invoke = json!({"input": {"invokeModel": {"body": STANDARD.encode(body.to_string())}}});
    assert_eq!(by_converse, json!({"inputTokens": 7}));
    assert_eq!(world.bedrock("count-tokens", "", &invoke).await.json(), by_converse);
}

#[tokio::test]
async fn vertex_serves_anthropics_models_under_its_own_paths() {
    let world = World::new().await;
    let path = |model: &str, verb: &str| {
        format!("/v1/projects/p/locations/l/publishers/anthropic/models/{model}:{verb}")
    };
    let body =
        json!({"anthropic_version": "vertex-2023-10-16", "max_tokens": 100, "messages": user("good day")});
    let whole = world.call("POST", &path("sim-claude", "rawPredict"), &[], &body).await.json();
    assert_eq!(whole["content"][0]["text"], "You said: good day");
    let stream = world.call("POST", &path("sim-claude", "streamRawPredict"), &[], &body).await;
    assert_eq!(stream.events()[0]["type"], "message_start");
    let counted = world.call("POST", &path("count-tokens", "rawPredict"), &[], &body).await.json();
    assert_eq!(counted, json!({"input_tokens": 6}));
    let wrong = json!({"max_tokens": 100, "messages": user("hi")});
    let refused = world.call("POST", &path("sim-claude", "rawPredict"), &[], &wrong).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["error"]["type"].clone()),
        (400, json!("invalid_request_error"))
    );
}

#[tokio::test]
async fn what_bedrock_refuses_is_refused() {
    let world = World::new().await;
    let call = |id: &str, input: Value| json!({"role": "assistant", "content": [{"toolUse": {"toolUseId": id, "name": "get_weather", "input": input}}]});
    let result = |id: &str| json!({"role": "user", "content": [{"toolResult": {"toolUseId": id, "content": [{"text": "12"}]}}]});
    let ask = turn("hi")[0].clone();
    let named = |name: &str| json!({"tools": [{"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}}]});
    let fine = json!({"messages": [ask, call("a", json!({})), result("a")], "toolConfig": tools()});
    assert_eq!(world.bedrock("converse", "", &fine).await.status, 200);
    for body in [
        json!({"messages": []}),
        json!({"messages": [ask, ask]}),
        json!({"messages": [{"role": "assistant", "content": [{"text": "hi"}]}]}),
        json!({"messages": [{"role": "user", "content": []}]}),
        json!({"messages": turn(" ")}),
        json!({"messages": [{"role": "user", "content": [{}]}]}),
        json!({"messages": [ask, call("a", json!({})), result("a")]}),
        json!({"messages": [ask, call("a", json!("{}")), result("a")], "toolConfig": tools()}),
        json!({"messages": [ask, call("a b", json!({})), result("a b")], "toolConfig": tools()}),
        json!({"messages": [ask, call("a", json!({})), ask], "toolConfig": tools()}),
        json!({"messages": [ask, call("a", json!({})), result("b")], "toolConfig": tools()}),
        json!({"messages": turn("hi"), "toolConfig": {"tools": []}}),
        json!({"messages": turn("hi"), "toolConfig": named("a.b")}),
        json!({"messages": turn("hi"), "toolConfig": named(&"x".repeat(65))}),
        json!({"messages": turn("hi"), "inferenceConfig": {"temperature": 1.5}}),
        json!({"messages": [{"role": "user", "content": [{"document": {"format": "pdf", "name": "a.pdf", "source": {"bytes": "YQ=="}}}]}]}),
        json!({"messages": [{"role": "user", "content": [{"image": {"format": "bmp", "source": {"bytes": "YQ=="}}}]}]}),
        json!({"messages": turn("hi"), "toolConfig": {"tools": tools()["tools"], "toolChoice": {"none": {}}}}),
    ] {
        let answer = world.bedrock("converse", "", &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.headers["x-amzn-errortype"], "ValidationException");
    }
}

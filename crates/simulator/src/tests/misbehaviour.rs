//! What goes wrong on request.

use std::pin::pin;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::*;

fn streamed(model: &str) -> Value {
    json!({"model": model, "messages": user("one two three"), "stream": true, "max_tokens": 100})
}

fn whole(model: &str) -> Value {
    json!({"model": model, "messages": user("one two three"), "max_tokens": 100})
}

/// What arrives on a bare connection until it ends.
async fn raw(world: &World, body: &Value) -> String {
    let body = body.to_string();
    let mut stream = TcpStream::connect(world.running.addr).await.unwrap();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    // A reset instead of an end is as good.
    let _reset = stream.read_to_end(&mut received).await.is_err();
    String::from_utf8(received).unwrap()
}

#[tokio::test]
async fn an_error_status_has_the_dialects_own_shape_and_retry_headers() {
    let world = World::new().await;
    let answer = world.chat(&whole("sim-gpt@status=429,retry_after=3")).await;
    assert_eq!((answer.status.as_u16(), answer.headers["retry-after"].to_str().unwrap()), (429, "3"));
    assert_eq!(answer.json()["error"]["code"], "rate_limit_exceeded");
    let answer = world.chat(&whole("sim-gpt@status=429,error_code=insufficient_quota")).await;
    assert_eq!(answer.json()["error"]["type"], "insufficient_quota");
    let answer = world.messages(&whole("sim-claude@status=529,retry_after_ms=1500")).await;
    assert_eq!(answer.json()["error"]["type"], "overloaded_error");
    assert_eq!(
        (answer.headers["retry-after-ms"].to_str().unwrap(), answer.headers["retry-after"].to_str().unwrap()),
        ("1500", "2")
    );
}

#[tokio::test]
async fn the_header_overrides_the_model_which_overrides_the_script() {
    let world = World::new().await;
    let status = async |model: &str, header: &str| {
        world
            .call("POST", "/v1/chat/completions", &[("x-simulate", header)], &whole(model))
            .await
            .status
            .as_u16()
    };
    let script = json!({"rules": [{"model": "sim-gpt", "behaviour": {"status": 500}}]});
    assert_eq!(world.call("POST", "/__simulator/script", &[], &script).await.status, 200);
    assert_eq!(status("sim-gpt", "").await, 500);
    assert_eq!(status("sim-gpt@status=502", "").await, 502);
    assert_eq!(status("sim-gpt@status=502", "status=503").await, 503);
    world.call("DELETE", "/__simulator/script", &[], &Value::Null).await;
    assert_eq!(status("sim-gpt", "").await, 200);
    assert_eq!(status("sim-gpt", "colour=red").await, 400);
}

#[tokio::test]
async fn a_scripted_key_fails_while_another_works() {
    let world = World::new().await;
    let behaviour = Behaviour { status: Some(401), ..Behaviour::default() };
    world.running.script(vec![Rule {
        api_key: Some("sk-secret-1234".into()),
        times: Some(1),
        behaviour,
        ..Rule::default()
    }]);
    let other =
        world.call("POST", "/v1/chat/completions", &[("authorization", "Bearer other")], &whole("m")).await;
    assert_eq!(other.status, 200);
    assert_eq!(world.chat(&whole("m")).await.status, 401);
    assert_eq!(world.chat(&whole("m")).await.status, 200);
}

#[tokio::test]
async fn a_script_that_is_not_understood_changes_nothing() {
    let world = World::new().await;
    let answer = world.call("POST", "/__simulator/script", &[], &json!({"rules": [{"behavior": {}}]})).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("behavior"), "{}", answer.text);
}

#[tokio::test]
async fn an_error_hides_in_a_200() {
    let world = World::new().await;
    let answer = world.chat(&whole("sim-gpt@error_in_200")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["error"]["type"].clone()),
        (200, json!("server_error"))
    );
    let events = world.chat(&streamed("sim-gpt@error_in_200")).await.events();
    assert_eq!((events.len(), events[0]["error"]["type"].clone()), (1, json!("server_error")));
    let answer = world.messages(&streamed("sim-claude@error_in_200")).await;
    assert!(answer.text.starts_with("event: error\n"), "{}", answer.text);
    assert_eq!(answer.events()[0]["error"]["type"], "overloaded_error");
}

#[tokio::test]
async fn an_error_comes_in_the_middle_of_a_stream() {
    let world = World::new().await;
    let events = world.messages(&streamed("sim-claude@error_after=4")).await.events();
    assert_eq!((events.len(), events[4]["type"].clone()), (5, json!("error")));
}

#[tokio::test]
async fn a_cut_stream_ends_without_its_last_chunk() {
    let world = World::new().await;
    let received = raw(&world, &streamed("sim-gpt@cut_after=3")).await;
    assert_eq!(received.matches("data: ").count(), 3);
    assert!(!received.ends_with("0\r\n\r\n"));
    assert_eq!(world.running.ledger()[0].output_tokens, 2);
}

#[tokio::test]
async fn a_cut_answer_is_shorter_than_promised() {
    let world = World::new().await;
    let response = world.send("POST", "/v1/chat/completions", &[], &whole("sim-gpt@cut_after=1")).await;
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_closed_connection_carries_no_byte() {
    let world = World::new().await;
    assert_eq!(raw(&world, &whole("sim-gpt@close")).await, "");
    assert_eq!(world.running.ledger()[0].refused, 1);
}

#[tokio::test]
async fn malformed_answers_do_not_parse() {
    let world = World::new().await;
    let answer = world.chat(&whole("sim-gpt@malformed")).await;
    assert!(serde_json::from_str::<Value>(&answer.text).is_err());
    let broken = |answer: &Answer| {
        answer.events().iter().filter(|event| event.is_string() && *event != "[DONE]").count()
    };
    assert_eq!(broken(&world.chat(&streamed("sim-gpt@malformed")).await), 1);
    assert_eq!(broken(&world.messages(&streamed("sim-claude@malformed")).await), 1);
}

#[tokio::test]
async fn rechunked_bytes_are_the_same_bytes() {
    let plain = World::new().await.chat(&streamed("sim-gpt")).await.text;
    let world = World::new().await;
    let headers = [("x-simulate", "chunk_bytes=1")];
    let response = world.send("POST", "/v1/chat/completions", &headers, &streamed("sim-gpt")).await;
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        text.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    assert_eq!(String::from_utf8(text).unwrap(), plain);
    assert_eq!(world.running.ledger()[0].output_tokens, 5);
}

#[tokio::test]
async fn usage_can_be_left_out() {
    let world = World::new().await;
    assert!(world.chat(&whole("sim-gpt@no_usage")).await.json().get("usage").is_none());
    assert!(!world.messages(&streamed("sim-claude@no_usage")).await.text.contains("usage"));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_stream_says_nothing_more() {
    let world = World::new().await;
    let response = world.send("POST", "/v1/chat/completions", &[], &streamed("sim-gpt@stall_after=2")).await;
    let mut body = pin!(response.into_body());
    let mut received = Vec::new();
    while let Ok(Some(frame)) = timeout(Duration::from_secs(3_600), body.frame()).await {
        received.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    assert_eq!(String::from_utf8(received).unwrap().matches("data: ").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn latency_comes_before_the_head_and_first_byte_after_it() {
    let world = World::new().await;
    let start = Instant::now();
    let response = world
        .send("POST", "/v1/chat/completions", &[], &streamed("sim-gpt@latency_ms=700,first_byte_ms=300"))
        .await;
    assert!(start.elapsed() >= Duration::from_millis(700) && start.elapsed() < Duration::from_millis(800));
    response.into_body().frame().await.unwrap().unwrap();
    assert!(
        start.elapsed() >= Duration::from_millis(1_000) && start.elapsed() < Duration::from_millis(1_100)
    );
}

#[tokio::test(start_paused = true)]
async fn the_pace_of_streams_and_answers_is_in_tokens_per_second() {
    let world = World::new().await;
    for body in
        [streamed("sim-gpt@tokens=20,tokens_per_second=10"), whole("sim-gpt@tokens=20,tokens_per_second=10")]
    {
        let start = Instant::now();
        world.chat(&body).await;
        assert!(
            start.elapsed() >= Duration::from_secs(2) && start.elapsed() < Duration::from_millis(2_200),
            "{:?}",
            start.elapsed()
        );
    }
}

/// The path, the headers and the body.
type Call = (String, Vec<(&'static str, &'static str)>, Value);

/// Every way to ask for the same words.
fn everywhere(streams: bool) -> Vec<Call> {
    let text = json!([{"role": "user", "parts": [{"text": "one two three"}]}]);
    let blocks = json!([{"role": "user", "content": [{"text": "one two three"}]}]);
    let verb = if streams { "streamGenerateContent?alt=sse" } else { "generateContent" };
    let converse = if streams { "converse-stream" } else { "converse" };
    let with = |body: Value| {
        let mut body = body;
        body["model"] = json!("sim");
        body["stream"] = json!(streams);
        body
    };
    vec![
        ("/v1/chat/completions".into(), vec![], with(json!({"messages": user("one two three")}))),
        ("/v1/responses".into(), vec![], with(json!({"input": "one two three"}))),
        (
            "/v1/messages".into(),
            vec![("anthropic-version", "2023-06-01")],
            with(json!({"messages": user("one two three"), "max_tokens": 100})),
        ),
        (format!("/v1beta/models/sim:{verb}"), vec![], json!({"contents": text})),
        (format!("/model/sim/{converse}"), vec![], json!({"messages": blocks})),
        ("/v2/chat".into(), vec![], with(json!({"messages": user("one two three")}))),
    ]
}

impl World {
    /// The bytes of an answer under a script, whatever they are.
    async fn scripted(&self, script: &str, (path, headers, body): &Call) -> (HeaderMap, StatusCode, Vec<u8>) {
        let mut headers = headers.clone();
        headers.push(("x-simulate", script));
        let (parts, body) = self.send("POST", path, &headers, body).await.into_parts();
        (parts.headers, parts.status, body.collect().await.unwrap().to_bytes().to_vec())
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn the_same_script_works_on_every_format() {
    let world = World::new().await;
    for streams in [false, true] {
        for call in everywhere(streams) {
            let (_, status, bytes) = world.scripted("text=scripted", &call).await;
            assert!(status == 200 && contains(&bytes, "scripted"), "{call:?}");
            let (headers, status, _) = world.scripted("status=429;retry_after=7", &call).await;
            assert_eq!((status.as_u16(), headers["retry-after"].to_str().unwrap()), (429, "7"), "{call:?}");
            let (_, status, bytes) = world.scripted("unknown_blocks", &call).await;
            assert!(status == 200 && contains(&bytes, "nknown"), "{call:?}");
            let (_, status, _) = world.scripted("empty_choices", &call).await;
            assert_eq!(status, 200, "{call:?}");
        }
    }
    for row in world.running.ledger() {
        assert_eq!(
            (row.calls, row.refused),
            if row.path.contains("{model}") { (4, 1) } else { (8, 2) },
            "{row:?}"
        );
    }
}

#[tokio::test]
async fn a_stream_is_billed_what_the_whole_answer_is() {
    for script in [
        "",
        "thinking",
        "reasoning_tokens=7",
        "thinking;reasoning_tokens=3",
        "thinking;reasoning_tokens=30",
        "tokens=9",
        "refusal;stop_reason=X",
    ] {
        for (whole, stream) in everywhere(false).into_iter().zip(everywhere(true)) {
            let world = World::new().await;
            world.scripted(script, &whole).await;
            let one = world.running.ledger()[0].output_tokens;
            world.running.reset();
            world.scripted(script, &stream).await;
            assert_eq!(world.running.ledger()[0].output_tokens, one, "{script} {}", whole.0);
        }
    }
}

#[tokio::test]
async fn a_record_can_break_off_come_too_early_or_be_huge() {
    let world = World::new().await;
    for call in everywhere(true) {
        let plain = world.scripted("", &call).await.2;
        let truncated = world.scripted("truncate_record", &call).await.2;
        assert!(truncated.len() < plain.len() && !truncated.ends_with(b"\n\n"), "{}", call.0);
        let reordered = world.scripted("reorder", &call).await.2;
        assert!(reordered != plain, "{}", call.0);
        let huge = world.scripted("huge_chunk=200000", &call).await.2;
        assert!(contains(&huge, &"x".repeat(200_000)), "{}", call.0);
        let unknown = world.scripted("unknown_events", &call).await.2;
        assert!(unknown.len() > plain.len() && contains(&unknown, "nknown"), "{}", call.0);
    }
}

#[tokio::test]
async fn an_html_page_stands_in_for_an_answer() {
    let world = World::new().await;
    for call in everywhere(false) {
        for (script, expected) in [("html=1", 502), ("html;status=403", 403), ("html;status=200", 200)] {
            let (headers, status, bytes) = world.scripted(script, &call).await;
            assert_eq!(
                (status.as_u16(), headers["content-type"].to_str().unwrap()),
                (expected, "text/html; charset=utf-8")
            );
            assert!(contains(&bytes, "<html>"));
        }
    }
    let call = &everywhere(false)[0];
    assert_eq!(world.scripted("content_type=text/plain", call).await.0["content-type"], "text/plain");
}

#[tokio::test]
async fn encoded_bodies_say_so_and_hold_the_same_bytes() {
    let world = World::new().await;
    for call in everywhere(true).iter().chain(&everywhere(false)) {
        for encoding in ["gzip", "br", "zstd"] {
            let (headers, status, bytes) = world.scripted(&format!("encoding={encoding}"), call).await;
            assert_eq!((status.as_u16(), headers["content-encoding"].to_str().unwrap()), (200, encoding));
            if let Some(length) = headers.get("content-length") {
                assert_eq!(length.to_str().unwrap(), bytes.len().to_string());
            }
        }
    }
}

#[tokio::test]
async fn several_tools_are_called_at_once_and_arguments_can_be_bad() {
    let world = World::new().await;
    let tools = json!([
        {"type": "function", "function": {"name": "one", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "two", "parameters": {"type": "object"}}},
    ]);
    let body =
        json!({"model": "sim-gpt@parallel_tools=3,bad_arguments", "messages": user("hi"), "tools": tools});
    let calls = world.chat(&body).await.json()["choices"][0]["message"]["tool_calls"].clone();
    let names: Vec<_> =
        calls.as_array().unwrap().iter().map(|call| call["function"]["name"].clone()).collect();
    assert_eq!(names, ["one", "two", "one"]);
    let arguments = calls[0]["function"]["arguments"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(arguments).is_err());
}

#[tokio::test]
async fn chat_shows_thoughts_refusals_citations_and_log_probabilities() {
    let world = World::new().await;
    let message = async |script: &str| {
        let body = json!({"model": format!("sim-gpt@{script}"), "messages": user("good day")});
        world.chat(&body).await.json()["choices"][0].clone()
    };
    assert!(message("thinking").await["message"]["reasoning_content"].is_string());
    let refused = message("refusal").await;
    assert!(refused["message"]["content"].is_null() && refused["message"]["refusal"].is_string());
    assert_eq!(message("citations").await["message"]["annotations"][0]["type"], "url_citation");
    assert_eq!(message("logprobs").await["logprobs"]["content"].as_array().unwrap().len(), 4);
    let body = json!({"model": "m", "messages": user("good day"), "logprobs": true, "top_logprobs": 3, "stream": true});
    let events = world.chat(&body).await.events();
    assert_eq!(
        events[1]["choices"][0]["logprobs"]["content"][0]["top_logprobs"].as_array().unwrap().len(),
        3
    );
    let wrong = json!({"model": "m", "messages": user("good day"), "top_logprobs": 3});
    assert_eq!(world.chat(&wrong).await.status, 400);
}

#[tokio::test]
async fn a_key_in_the_query_is_hidden_and_matches_a_rule() {
    let world = World::new().await;
    let behaviour = Behaviour { status: Some(401), ..Behaviour::default() };
    world.running.script(vec![Rule {
        api_key: Some("secret-key-1234".into()),
        behaviour,
        ..Rule::default()
    }]);
    let body = json!({"contents": [{"parts": [{"text": "hi"}]}]});
    let path = "/v1beta/models/sim:generateContent?key=secret-key-1234";
    assert_eq!(world.call("POST", path, &[], &body).await.status, 401);
    let seen = &world.running.requests()[0];
    assert_eq!((seen.path.contains("secret"), seen.auth[0].last4.as_str()), (false, "1234"));
}

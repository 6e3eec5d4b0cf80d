//! OpenAI's Responses API.

use super::*;

impl World {
    async fn respond(&self, body: &Value) -> Answer {
        self.call("POST", "/v1/responses", &[("authorization", "Bearer sk-secret-1234")], body).await
    }

    async fn events_of(&self, body: &Value) -> Vec<Value> {
        let answer = self.respond(body).await;
        assert!(
            answer.headers["content-type"].to_str().unwrap().starts_with("text/event-stream"),
            "{}",
            answer.text
        );
        let names: Vec<&str> = answer.text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
        let events = answer.events();
        assert_eq!(names, events.iter().map(|event| event["type"].as_str().unwrap()).collect::<Vec<_>>());
        events
    }
}

fn weather() -> Value {
    json!([{"type": "function", "name": "get_weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}])
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap().trim_start_matches("response.")).collect()
}

#[tokio::test]
async fn a_whole_response_echoes_and_reports_usage() {
    let world = World::new().await;
    let json = world.respond(&json!({"model": "sim-gpt", "input": "good day"})).await.json();
    assert_eq!((&json["object"], &json["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(json["output"][0]["content"][0]["text"], "You said: good day");
    assert_eq!(json["usage"]["output_tokens"], 4);
    let row = &world.running.ledger()[0];
    assert_eq!((row.path.as_str(), row.output_tokens), ("/v1/responses", 4));
}

#[tokio::test]
async fn a_stream_is_numbered_and_every_part_opens_and_closes() {
    let world = World::new().await;
    let events = world.events_of(&json!({"model": "sim-gpt", "input": "good day", "stream": true})).await;
    let delta = "output_text.delta";
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        delta,
        delta,
        delta,
        delta,
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(kinds(&events), expected);
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"].as_u64(), Some(number as u64));
    }
    let whole = &events[11]["response"];
    assert_eq!(whole["output"][0], events[10]["item"]);
    assert_eq!(whole["usage"]["output_tokens"], 4);
    assert_eq!(world.running.ledger()[0].output_tokens, 4);
}

#[tokio::test]
async fn a_function_call_streams_its_arguments_and_its_output_is_quoted() {
    let world = World::new().await;
    let ask = json!({"model": "sim-gpt", "input": "weather?", "tools": weather(), "stream": true});
    let events = world.events_of(&ask).await;
    let arguments: String = events
        .iter()
        .filter(|event| event["type"] == "response.function_call_arguments.delta")
        .map(|event| event["delta"].as_str().unwrap())
        .collect();
    assert_eq!(arguments, r#"{"city":"city"}"#);
    let call = events.last().unwrap()["response"]["output"][0].clone();
    assert_eq!((&call["type"], &call["arguments"]), (&json!("function_call"), &json!(arguments)));

    let output = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "12 degrees"});
    let input = json!([{"role": "user", "content": "weather?"}, call, output]);
    let json = world.respond(&json!({"model": "sim-gpt", "input": input, "tools": weather()})).await.json();
    assert_eq!(json["output"][0]["content"][0]["text"], "The tool answered: 12 degrees");
}

#[tokio::test]
async fn reasoning_is_an_item_of_its_own_with_a_summary_and_encrypted_content_when_asked_for() {
    let world = World::new().await;
    let ask = json!({"model": "sim-gpt", "input": "good day", "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"], "stream": true, "store": false});
    let events = world.events_of(&ask).await;
    let kinds = kinds(&events);
    for kind in [
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
    ] {
        assert!(kinds.contains(&kind), "{kind}");
    }
    let whole = &events.last().unwrap()["response"];
    assert_eq!(whole["usage"]["output_tokens_details"]["reasoning_tokens"], 10);
    assert_eq!(whole["usage"]["output_tokens"], 14);
    assert_eq!(world.running.ledger()[0].output_tokens, 14);

    let mut input = vec![json!({"role": "user", "content": "good day"})];
    input.extend(whole["output"].as_array().unwrap().clone());
    input.push(json!({"role": "user", "content": "and?"}));
    let again = async |input: &[Value]| world.respond(&json!({"model": "sim-gpt", "input": input})).await;
    assert_eq!(again(&input).await.status, 200);
    let refused = again(&[input[0].clone(), input[1].clone(), input[3].clone()]).await;
    assert!(refused.text.contains("without its required following item"), "{}", refused.text);
    input[1]["encrypted_content"] = json!("gAAAA of somebody else");
    assert_eq!(again(&input).await.json()["error"]["code"], "invalid_encrypted_content");
}

#[tokio::test]
async fn a_stored_response_is_continued_shown_and_forgotten() {
    let world = World::new().await;
    let first =
        world.respond(&json!({"model": "sim-gpt", "input": "weather?", "tools": weather()})).await.json();
    let id = first["id"].as_str().unwrap();
    let path = format!("/v1/responses/{id}");
    let output =
        json!([{"type": "function_call_output", "call_id": first["output"][0]["call_id"], "output": "12"}]);
    let next =
        world.respond(&json!({"model": "sim-gpt", "previous_response_id": id, "input": output})).await.json();
    assert_eq!(next["output"][0]["content"][0]["text"], "The tool answered: 12");
    assert_eq!(next["previous_response_id"], id);

    assert_eq!(world.call("GET", &path, &[], &Value::Null).await.json(), first);
    let items = world.call("GET", &format!("{path}/input_items"), &[], &Value::Null).await.json();
    assert_eq!(items["data"][0]["content"], json!([{"type": "input_text", "text": "weather?"}]));
    assert_eq!(world.call("DELETE", &path, &[], &Value::Null).await.json()["deleted"], true);
    assert_eq!(world.call("GET", &path, &[], &Value::Null).await.status, 404);
    let lost = world.respond(&json!({"model": "sim-gpt", "previous_response_id": id, "input": "and?"})).await;
    assert_eq!(
        (lost.status.as_u16(), lost.json()["error"]["code"].clone()),
        (400, json!("previous_response_not_found"))
    );
}

#[tokio::test]
async fn what_is_not_to_be_stored_is_not() {
    let world = World::new().await;
    let json = world.respond(&json!({"model": "sim-gpt", "input": "hi", "store": false})).await.json();
    let path = format!("/v1/responses/{}", json["id"].as_str().unwrap());
    assert_eq!(world.call("GET", &path, &[], &Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_background_response_is_queued_and_later_complete_or_cancelled() {
    let world = World::new().await;
    let body = json!({"model": "sim-gpt", "input": "good day", "background": true});
    let queued = world.respond(&body).await.json();
    assert_eq!((&queued["status"], &queued["output"]), (&json!("queued"), &json!([])));
    let path = format!("/v1/responses/{}", queued["id"].as_str().unwrap());
    assert_eq!(world.call("GET", &path, &[], &Value::Null).await.json()["status"], "completed");
    let other = world.respond(&body).await.json();
    let path = format!("/v1/responses/{}", other["id"].as_str().unwrap());
    let cancelled = world.call("POST", &format!("{path}/cancel"), &[], &Value::Null).await.json();
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(world.call("GET", &path, &[], &Value::Null).await.json()["status"], "cancelled");
    let plain = world.respond(&json!({"model": "sim-gpt", "input": "hi"})).await.json();
    let path = format!("/v1/responses/{}/cancel", plain["id"].as_str().unwrap());
    assert_eq!(world.call("POST", &path, &[], &Value::Null).await.status, 400);
}

#[tokio::test]
async fn refusals_and_bad_ends_have_their_own_events() {
    let world = World::new().await;
    let ask = |model: &str| json!({"model": model, "input": "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen", "stream": true, "max_output_tokens": 16});
    let events = world.events_of(&ask("sim-gpt@refusal")).await;
    assert!(kinds(&events).contains(&"refusal.delta") && kinds(&events).contains(&"refusal.done"));
    let events = world.events_of(&ask("sim-gpt")).await;
    assert_eq!(events.last().unwrap()["type"], "response.incomplete");
    assert_eq!(events.last().unwrap()["response"]["incomplete_details"]["reason"], "max_output_tokens");
    let events = world.events_of(&ask("sim-gpt@stop_reason=failed")).await;
    assert_eq!(events.last().unwrap()["type"], "response.failed");
    assert_eq!(events.last().unwrap()["response"]["error"]["code"], "server_error");
    let events = world.events_of(&ask("sim-gpt@error_after=3")).await;
    assert_eq!((events.len(), &events[3]["type"]), (4, &json!("error")));
    assert!(events[3]["message"].is_string());
}

#[tokio::test]
async fn citations_log_probabilities_and_unknown_items_are_scripted() {
    let world = World::new().await;
    let script = "sim-gpt@citations,logprobs,unknown_blocks,unknown_events";
    let events = world.events_of(&json!({"model": script, "input": "good day", "stream": true})).await;
    let whole = &events.iter().find(|event| event["type"] == "response.completed").unwrap()["response"];
    assert_eq!(whole["output"][0]["type"], "simulated_unknown");
    let part = &whole["output"][1]["content"][0];
    assert_eq!(part["annotations"][0]["type"], "url_citation");
    assert_eq!(part["logprobs"].as_array().unwrap().len(), 4);
    assert_eq!(kinds(&events).iter().filter(|kind| **kind == "simulated_unknown").count(), 2);
}

#[tokio::test]
async fn counting_is_free_and_azure_wants_a_version() {
    let world = World::new().await;
    let ask = json!({"model": "sim-gpt", "input": "four letters"});
    let counted = world.call("POST", "/v1/responses/input_tokens", &[], &ask).await.json();
    assert_eq!(counted, json!({"object": "response.input_tokens", "input_tokens": 7}));
    assert_eq!(world.call("POST", "/openai/responses", &[], &ask).await.status, 404);
    assert_eq!(world.call("POST", "/openai/responses?api-version=preview", &[], &ask).await.status, 200);
    assert_eq!(world.call("POST", "/openai/v1/responses", &[], &ask).await.status, 200);
}

#[tokio::test]
async fn what_the_responses_api_refuses_is_refused() {
    let world = World::new().await;
    let call = json!({"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"});
    let output = json!({"type": "function_call_output", "call_id": "call_1", "output": "x"});
    let user = json!({"role": "user", "content": "hi"});
    for body in [
        json!({"input": "hi"}),
        json!({"model": "m"}),
        json!({"model": "m", "messages": user}),
        json!({"model": "m", "input": "hi", "max_tokens": 5}),
        json!({"model": "m", "input": "hi", "max_output_tokens": 5}),
        json!({"model": "m", "input": "hi", "temperature": -1}),
        json!({"model": "m", "input": [user, call]}),
        json!({"model": "m", "input": [user, output]}),
        json!({"model": "m", "input": [{"role": "tool", "content": "hi"}]}),
        json!({"model": "m", "input": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}),
        json!({"model": "m", "input": [{"role": "assistant", "content": [{"type": "input_text", "text": "hi"}]}]}),
        json!({"model": "m", "input": [user, {"type": "function_call", "id": "call_9", "call_id": "call_1", "name": "f", "arguments": "{}"}, output]}),
        json!({"model": "m", "input": "hi", "tools": [{"type": "function", "function": {"name": "f"}}]}),
    ] {
        let answer = world.respond(&body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
}

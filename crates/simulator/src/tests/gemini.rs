//! The Gemini surface, and Vertex AI's paths to it.

use super::*;

impl World {
    async fn gemini(&self, model: &str, verb: &str, body: &Value) -> Answer {
        let path = format!("/v1beta/models/{model}:{verb}");
        self.call("POST", &path, &[("x-goog-api-key", "AIza-9999")], body).await
    }
}

fn turn(text: &str) -> Value {
    json!([{"role": "user", "parts": [{"text": text}]}])
}

fn weather() -> Value {
    json!([{"functionDeclarations": [{"name": "get_weather", "parameters": {
        "type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}}]}])
}

#[tokio::test]
async fn a_whole_answer_echoes_and_reports_usage() {
    let world = World::new().await;
    let json =
        world.gemini("sim-gemini", "generateContent", &json!({"contents": turn("good day")})).await.json();
    let candidate = &json["candidates"][0];
    assert_eq!(candidate["content"], json!({"parts": [{"text": "You said: good day"}], "role": "model"}));
    assert_eq!(candidate["finishReason"], "STOP");
    assert_eq!(json["usageMetadata"]["candidatesTokenCount"], 4);
    assert_eq!(json["modelVersion"], "sim-gemini");
    let row = &world.running.ledger()[0];
    assert_eq!(row.path, "/v1beta/models/{model}:generateContent");
    assert_eq!(row.output_tokens, 4);
}

#[tokio::test]
async fn every_chunk_carries_the_usage_so_far_and_the_last_says_why_it_ended() {
    let world = World::new().await;
    let answer = world
        .gemini("sim-gemini", "streamGenerateContent?alt=sse", &json!({"contents": turn("good day")}))
        .await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    assert!(answer.text.ends_with("\r\n\r\n"));
    let events = answer.events();
    let counts: Vec<_> =
        events.iter().map(|event| event["usageMetadata"]["candidatesTokenCount"].as_u64().unwrap()).collect();
    assert_eq!(counts, [1, 2, 3, 4, 4]);
    let finishes: Vec<_> = events.iter().map(|event| &event["candidates"][0]["finishReason"]).collect();
    assert!(finishes[..4].iter().all(|finish| finish.is_null()));
    assert_eq!(finishes[4], "STOP");
    assert_eq!(world.running.ledger()[0].output_tokens, 4);
}

#[tokio::test]
async fn without_alt_a_stream_is_one_json_array() {
    let world = World::new().await;
    let answer =
        world.gemini("sim-gemini", "streamGenerateContent", &json!({"contents": turn("good day")})).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.json().as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_function_call_comes_in_one_piece_and_its_result_is_quoted() {
    let world = World::new().await;
    let ask = json!({"contents": turn("weather?"), "tools": weather()});
    let events = world.gemini("sim-gemini", "streamGenerateContent?alt=sse", &ask).await.events();
    let call = &events[0]["candidates"][0]["content"]["parts"][0]["functionCall"];
    assert_eq!((call["name"].as_str(), &call["args"]), (Some("get_weather"), &json!({"city": "city"})));
    assert_eq!(events.last().unwrap()["candidates"][0]["finishReason"], "STOP");

    let contents = json!([
        {"role": "user", "parts": [{"text": "weather?"}]},
        {"role": "model", "parts": [{"function_call": {"name": "get_weather", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "get_weather", "response": {"output": "12 degrees"}}}]},
    ]);
    let json = world
        .gemini("sim-gemini", "generateContent", &json!({"contents": contents, "tools": weather()}))
        .await
        .json();
    assert_eq!(json["candidates"][0]["content"]["parts"][0]["text"], "The tool answered: 12 degrees");
}

#[tokio::test]
async fn a_gemini_3_model_wants_the_signature_of_its_calls_back() {
    let world = World::new().await;
    let ask = json!({"contents": turn("weather?"), "tools": weather()});
    let made = world.gemini("gemini-3-pro", "generateContent", &ask).await.json();
    let part = made["candidates"][0]["content"]["parts"][0].clone();
    let signature = part["thoughtSignature"].clone();
    assert!(signature.is_string());
    let again = async |model: &str, signature: Value| {
        let mut part = part.clone();
        if signature.is_null() {
            part.as_object_mut().unwrap().remove("thoughtSignature");
        } else {
            part["thoughtSignature"] = signature;
        }
        let contents = json!([
            {"role": "user", "parts": [{"text": "weather?"}]},
            {"role": "model", "parts": [part]},
            {"role": "user", "parts": [{"functionResponse": {"name": "get_weather", "response": {"output": "12"}}}]},
        ]);
        world.gemini(model, "generateContent", &json!({"contents": contents, "tools": weather()})).await
    };
    assert_eq!(again("gemini-3-pro", signature).await.status, 200);
    let refused = again("gemini-3-pro", Value::Null).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("thought_signature"), "{}", refused.text);
    for exempt in ["skip_thought_signature_validator", "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="] {
        assert_eq!(again("gemini-3-pro", json!(exempt)).await.status, 200);
    }
    assert_eq!(again("gemini-2.5-pro", Value::Null).await.status, 200);
    assert_eq!(again("gemini-2.5-pro", json!("bm90IG91cnM=")).await.status, 400);
}

#[tokio::test]
async fn thoughts_are_parts_of_their_own_and_counted_apart() {
    let world = World::new().await;
    let config = json!({"thinkingConfig": {"includeThoughts": true, "thinkingBudget": 512}});
    let ask = json!({"contents": turn("good day"), "generationConfig": config});
    let json = world.gemini("gemini-2.5-pro", "generateContent", &ask).await.json();
    let parts = &json["candidates"][0]["content"]["parts"];
    assert_eq!(parts[0]["thought"], true);
    assert_eq!(parts[1]["text"], "You said: good day");
    let usage = &json["usageMetadata"];
    assert_eq!((&usage["thoughtsTokenCount"], &usage["candidatesTokenCount"]), (&json!(10), &json!(4)));

    let events = world.gemini("gemini-2.5-pro", "streamGenerateContent?alt=sse", &ask).await.events();
    let last = &events.last().unwrap()["usageMetadata"];
    assert_eq!((&last["thoughtsTokenCount"], &last["candidatesTokenCount"]), (&json!(10), &json!(4)));
    let rows = world.running.ledger();
    assert!(rows.iter().all(|row| row.output_tokens == 14), "{rows:?}");
}

#[tokio::test]
async fn a_blocked_prompt_has_no_candidate() {
    let world = World::new().await;
    let json =
        world.gemini("sim-gemini@refusal", "generateContent", &json!({"contents": turn("hi")})).await.json();
    assert_eq!(json["promptFeedback"]["blockReason"], "SAFETY");
    assert!(json["candidates"].is_null());
    let json = world
        .gemini("sim-gemini@refusal,stop_reason=SAFETY", "generateContent", &json!({"contents": turn("hi")}))
        .await
        .json();
    assert_eq!(json["candidates"][0]["finishReason"], "SAFETY");
}

#[tokio::test]
async fn several_candidates_are_all_written_and_billed() {
    let world = World::new().await;
    let ask = json!({"contents": turn("good day"), "generationConfig": {"candidateCount": 2, "responseLogprobs": true, "logprobs": 2}});
    let json = world.gemini("sim-gemini", "generateContent", &ask).await.json();
    assert_eq!(json["candidates"].as_array().unwrap().len(), 2);
    assert_eq!(json["usageMetadata"]["candidatesTokenCount"], 8);
    let logprobs = &json["candidates"][1]["logprobsResult"];
    assert_eq!(logprobs["chosenCandidates"].as_array().unwrap().len(), 4);
    assert_eq!(logprobs["topCandidates"][0]["candidates"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn vertex_serves_the_same_under_its_own_paths() {
    let world = World::new().await;
    for version in ["v1", "v1beta1"] {
        let path = format!(
            "/{version}/projects/p/locations/global/publishers/google/models/sim-gemini:generateContent"
        );
        let answer = world.call("POST", &path, &[], &json!({"contents": turn("good day")})).await;
        assert_eq!(answer.json()["candidates"][0]["content"]["parts"][0]["text"], "You said: good day");
    }
    assert_eq!(world.running.ledger()[0].calls, 2);
}

#[tokio::test]
async fn counting_costs_nothing_and_embeddings_are_vectors() {
    let world = World::new().await;
    let ask = json!({"contents": turn("four letters")});
    let counted = world.gemini("sim-gemini", "countTokens", &ask).await.json();
    assert_eq!(counted["totalTokens"], 3);
    let inner =
        json!({"generateContentRequest": {"model": "models/sim-gemini", "contents": turn("four letters")}});
    assert_eq!(world.gemini("sim-gemini", "countTokens", &inner).await.json()["totalTokens"], 3);
    let content = json!({"parts": [{"text": "a"}]});
    let one = world
        .gemini("sim-embed", "embedContent", &json!({"content": content, "outputDimensionality": 8}))
        .await
        .json();
    assert_eq!(one["embedding"]["values"].as_array().unwrap().len(), 8);
    let request = json!({"model": "models/sim-embed", "content": content, "outputDimensionality": 8});
    let many = world
        .gemini("sim-embed", "batchEmbedContents", &json!({"requests": [request, request]}))
        .await
        .json();
    assert_eq!(many["embeddings"][1]["values"], one["embedding"]["values"]);
}

#[tokio::test]
async fn errors_have_googles_shape() {
    let world = World::new().await;
    let answer = world
        .gemini("sim-gemini@status=429,retry_after=3", "generateContent", &json!({"contents": turn("hi")}))
        .await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.json()["error"]["status"], "RESOURCE_EXHAUSTED");
    assert_eq!(answer.json()["error"]["code"], 429);
    let events = world
        .gemini("sim-gemini@error_after=1", "streamGenerateContent?alt=sse", &json!({"contents": turn("hi")}))
        .await
        .events();
    assert_eq!(events[1]["error"]["status"], "UNAVAILABLE");
    let missing = world.call("POST", "/v1beta/models/m:sing", &[], &json!({})).await;
    assert_eq!(
        (missing.status.as_u16(), missing.json()["error"]["status"].clone()),
        (404, json!("NOT_FOUND"))
    );
    let models = world.call("GET", "/v1/models", &[("x-goog-api-key", "k")], &Value::Null).await.json();
    assert_eq!(models["models"][0]["name"], "models/sim-gpt");
}

#[tokio::test]
async fn what_google_refuses_is_refused() {
    let world = World::new().await;
    let call = json!({"functionCall": {"name": "get_weather", "args": {}}});
    let result = json!({"functionResponse": {"name": "get_weather", "response": {}}});
    let tool =
        |parameters: Value| json!([{"functionDeclarations": [{"name": "f", "parameters": parameters}]}]);
    for body in [
        json!({}),
        json!({"contents": []}),
        json!({"contents": turn("hi"), "max_tokens": 5}),
        json!({"contents": [{"role": "assistant", "parts": [{"text": "hi"}]}]}),
        json!({"contents": [{"role": "user", "parts": []}]}),
        json!({"contents": [{"role": "user", "parts": [{}]}]}),
        json!({"contents": [{"role": "user", "parts": [{"fileData": {"fileUri": "https://example.com/a.png"}}]}]}),
        json!({"contents": [{"role": "user", "parts": [call]}]}),
        json!({"contents": [{"role": "user", "parts": [result]}]}),
        json!({"contents": [{"role": "user", "parts": [{"text": "x"}]}, {"role": "model", "parts": [call, call]}, {"role": "user", "parts": [result]}]}),
        json!({"contents": turn("hi"), "tools": tool(json!({"type": "OBJECT", "$ref": "#/x"}))}),
        json!({"contents": turn("hi"), "tools": tool(json!({"type": ["STRING", "null"]}))}),
        json!({"contents": turn("hi"), "tools": tool(json!({"type": "OBJECT", "properties": {"a": {"type": "ARRAY"}}}))}),
        json!({"contents": turn("hi"), "tools": tool(json!({"type": "OBJECT", "properties": {"a": {"type": "INTEGER", "enum": ["1"]}}}))}),
        json!({"contents": turn("hi"), "tools": [{"functionDeclarations": [{"name": "1 bad"}]}]}),
        json!({"contents": turn("hi"), "tools": weather(), "toolConfig": {"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["get_weather"]}}}),
        json!({"contents": turn("hi"), "generationConfig": {"temperature": 2.5}}),
        json!({"contents": turn("hi"), "generationConfig": {"responseSchema": {"type": "OBJECT"}}}),
        json!({"contents": turn("hi"), "generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}}),
    ] {
        let answer = world.gemini("sim-gemini", "generateContent", &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["error"]["status"], "INVALID_ARGUMENT");
    }
}

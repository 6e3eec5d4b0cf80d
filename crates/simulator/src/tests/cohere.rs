//! The Cohere surface, and Jina's reranking.

use super::*;

impl World {
    async fn cohere(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[("authorization", "Bearer co-1")], body).await
    }
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "get_weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}}}}])
}

#[tokio::test]
async fn a_chat_echoes_whole_and_streamed() {
    let world = World::new().await;
    let whole =
        world.cohere("/v2/chat", &json!({"model": "sim-command", "messages": user("good day")})).await.json();
    assert_eq!(whole["message"]["content"], json!([{"type": "text", "text": "You said: good day"}]));
    assert_eq!(
        (&whole["finish_reason"], &whole["usage"]["tokens"]["output_tokens"]),
        (&json!("COMPLETE"), &json!(4))
    );
    let ask = json!({"model": "sim-command", "messages": user("good day"), "stream": true});
    let events = world.cohere("/v2/chat", &ask).await.events();
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    let delta = "content-delta";
    assert_eq!(
        kinds,
        ["message-start", "content-start", delta, delta, delta, delta, "content-end", "message-end"]
    );
    let text: String =
        events.iter().filter_map(|event| event["delta"]["message"]["content"]["text"].as_str()).collect();
    assert_eq!(text, "You said: good day");
    assert_eq!(events.last().unwrap(), "[DONE]");
    assert_eq!(world.running.ledger()[0].output_tokens, 8);
}

#[tokio::test]
async fn a_tool_is_planned_called_and_its_result_quoted() {
    let world = World::new().await;
    let ask = json!({"model": "sim-command", "messages": user("weather?"), "tools": tools(), "stream": true});
    let events = world.cohere("/v2/chat", &ask).await.events();
    let arguments: String = events
        .iter()
        .filter_map(|event| event["delta"]["message"]["tool_calls"]["function"]["arguments"].as_str())
        .collect();
    assert_eq!(arguments, r#"{"city":"city"}"#);
    assert!(events.iter().any(|event| event["type"] == "tool-plan-delta"));
    assert!(events.iter().any(|event| event["delta"]["finish_reason"] == "TOOL_CALL"));
    let whole = world
        .cohere("/v2/chat", &json!({"model": "m", "messages": user("weather?"), "tools": tools()}))
        .await;
    let call = whole.json()["message"]["tool_calls"][0].clone();
    let result = json!({"role": "tool", "tool_call_id": call["id"], "content": "12 degrees"});
    let messages = json!([user("weather?")[0], {"role": "assistant", "tool_calls": [call]}, result]);
    let answer =
        world.cohere("/v2/chat", &json!({"model": "m", "messages": messages, "tools": tools()})).await.json();
    assert_eq!(answer["message"]["content"][0]["text"], "The tool answered: 12 degrees");
}

#[tokio::test]
async fn documents_are_cited_and_thoughts_shown() {
    let world = World::new().await;
    let ask = json!({"model": "m", "messages": user("hi"), "documents": ["a text"], "thinking": {"type": "enabled"}});
    let answer = world.cohere("/v2/chat", &ask).await.json();
    assert_eq!(answer["message"]["content"][0]["type"], "thinking");
    assert_eq!(answer["message"]["citations"][0]["text"], "You said: hi");
}

#[tokio::test]
async fn documents_are_ranked_by_the_words_they_share_with_the_query() {
    let world = World::new().await;
    let documents = ["nothing here", "the red fox", "a fox"];
    let ask = |model: &str| json!({"model": model, "query": "red fox", "documents": documents, "top_n": 2});
    let ranked = world.cohere("/v2/rerank", &ask("sim-rerank")).await.json();
    let order: Vec<_> =
        ranked["results"].as_array().unwrap().iter().map(|result| result["index"].clone()).collect();
    assert_eq!(order, [1, 2]);
    assert_eq!(ranked["meta"]["billed_units"]["search_units"], 1);
    let first = world.cohere("/v1/rerank", &ask("sim-rerank")).await.json();
    assert_eq!(first["results"], ranked["results"]);
    let jina = world.cohere("/v1/rerank", &ask("jina-reranker")).await.json();
    assert_eq!(jina["results"][0]["document"]["text"], "the red fox");
    assert!(jina["usage"]["total_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn embeddings_come_in_the_types_asked_for() {
    let world = World::new().await;
    let ask = json!({"model": "sim-embed", "texts": ["a", "b"], "input_type": "search_query", "embedding_types": ["float", "int8", "ubinary"], "output_dimension": 16});
    let json = world.cohere("/v2/embed", &ask).await.json();
    assert_eq!(json["embeddings"]["float"][1].as_array().unwrap().len(), 16);
    assert_eq!(json["embeddings"]["int8"][0].as_array().unwrap().len(), 16);
    assert_eq!(json["embeddings"]["ubinary"][0].as_array().unwrap().len(), 2);
    assert_eq!(json["meta"]["billed_units"]["input_tokens"], 2);
}

#[tokio::test]
async fn what_cohere_refuses_is_refused() {
    let world = World::new().await;
    let user = user("hi");
    for (path, body, status) in [
        ("/v2/chat", json!({"model": "m", "messages": []}), 400),
        ("/v2/chat", json!({"model": "m", "messages": user, "n": 2}), 422),
        ("/v2/chat", json!({"model": "m", "messages": user, "temperature": 1.5}), 400),
        (
            "/v2/chat",
            json!({"model": "m", "messages": user, "tool_choice": "required", "tools": tools()}),
            400,
        ),
        ("/v2/chat", json!({"model": "m", "messages": [{"role": "robot", "content": "hi"}]}), 400),
        (
            "/v2/chat",
            json!({"model": "m", "messages": [{"role": "tool", "tool_call_id": "x", "content": "hi"}]}),
            400,
        ),
        ("/v2/rerank", json!({"model": "m", "query": "q", "documents": []}), 400),
        (
            "/v2/rerank",
            json!({"model": "m", "query": "q", "documents": ["a"], "return_documents": true}),
            422,
        ),
        ("/v2/embed", json!({"model": "m", "texts": ["a"]}), 400),
    ] {
        let answer = world.cohere(path, &body).await;
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.json()["message"].is_string());
    }
}

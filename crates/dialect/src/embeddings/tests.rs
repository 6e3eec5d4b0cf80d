#![expect(clippy::needless_pass_by_value, reason = "calls and answers read best with literals")]

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    Asked, Call, Dialect, Fault, OnUnsupported, Operation, Outbound, Platform, TargetShape, encode_call,
    endpoint, relay_answer,
};

fn call(dialect: Dialect, body: Value) -> Call {
    let mut asked = Asked::from((dialect, Operation::Embeddings));
    if dialect == Dialect::Gemini {
        asked.model = Some("m".to_owned());
    }
    Call::decode(asked, Bytes::from(body.to_string())).unwrap()
}

fn written(outbound: &Outbound) -> Value {
    serde_json::from_slice(&outbound.body).unwrap()
}

fn send(call: &Call, dialect: Dialect) -> Result<Outbound, Fault> {
    encode_call(call, &TargetShape::new(dialect, "up"))
}

fn answer(call: &Call, upstream: Dialect, body: Value) -> Value {
    let (body, summary) = relay_answer(call, upstream, Bytes::from(body.to_string())).unwrap();
    assert!(summary.complete);
    serde_json::from_slice(&body).unwrap()
}

fn openai(extra: &Value) -> Call {
    let mut body = json!({"model": "m", "input": ["a", "b"], "dimensions": 2});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    call(Dialect::OpenAi, body)
}

fn gemini_batch() -> Value {
    json!({"requests": [
        {"model": "models/m", "content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 2},
        {"model": "models/m", "content": {"parts": [{"text": "b"}]}, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 2},
    ]})
}

#[test]
fn a_call_says_the_same_in_each_dialect() {
    let to_gemini = send(&openai(&json!({})), Dialect::Gemini).unwrap();
    let one = |text: &str| json!({"content": {"parts": [{"text": text}]}, "model": "models/up", "outputDimensionality": 2});
    assert_eq!(written(&to_gemini), json!({"requests": [one("a"), one("b")]}));
    let to_cohere = send(&openai(&json!({"user": "u"})), Dialect::Cohere).unwrap();
    assert_eq!(
        written(&to_cohere),
        json!({"model": "up", "texts": ["a", "b"], "input_type": "search_document",
            "embedding_types": ["float"], "output_dimension": 2})
    );
    assert_eq!(to_cohere.defaulted, [("input_type".to_owned(), "search_document".to_owned())]);
    assert_eq!(to_cohere.dropped, ["user"]);
    let gemini = call(Dialect::Gemini, gemini_batch());
    let to_openai = send(&gemini, Dialect::OpenAi).unwrap();
    assert_eq!(
        written(&to_openai),
        json!({"model": "up", "input": ["a", "b"], "encoding_format": "float", "dimensions": 2})
    );
    assert_eq!(to_openai.dropped, ["taskType"]);
    assert_eq!(written(&send(&gemini, Dialect::Cohere).unwrap())["input_type"], "search_query");
    let cohere = call(
        Dialect::Cohere,
        json!({"model": "m", "texts": ["a"], "input_type": "clustering", "embedding_types": ["float"]}),
    );
    assert_eq!(written(&send(&cohere, Dialect::Gemini).unwrap())["requests"][0]["taskType"], "CLUSTERING");
    assert_eq!(written(&send(&cohere, Dialect::OpenAi).unwrap())["input"], json!(["a"]));
}

#[test]
fn a_batch_to_its_own_dialect_changes_nothing_but_the_model() {
    let gemini = call(Dialect::Gemini, gemini_batch());
    let mut expected = gemini_batch();
    for request in expected["requests"].as_array_mut().unwrap() {
        request["model"] = json!("models/up");
    }
    assert_eq!(written(&send(&gemini, Dialect::Gemini).unwrap()), expected);
    assert_eq!(
        String::from_utf8_lossy(&send(&openai(&json!({})), Dialect::OpenAi).unwrap().body),
        r#"{"dimensions":2,"input":["a","b"],"model":"up"}"#
    );
}

#[test]
fn one_content_of_gemini_goes_as_a_batch_and_comes_back_as_one() {
    let one = json!({"content": {"parts": [{"text": "a"}]}, "taskType": "QUESTION_ANSWERING", "title": "t"});
    let one = call(Dialect::Gemini, one);
    let sent = send(&one, Dialect::Gemini).unwrap();
    assert_eq!(
        written(&sent),
        json!({"requests": [{"content": {"parts": [{"text": "a"}]}, "model": "models/up",
            "taskType": "QUESTION_ANSWERING", "title": "t"}]})
    );
    let body = json!({"embeddings": [{"values": [0.5, 1.0]}], "usageMetadata": {"promptTokenCount": 3}});
    let expected = json!({"embedding": {"values": [0.5, 1.0]},
        "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}});
    assert_eq!(answer(&one, Dialect::Gemini, body), expected);
}

#[test]
fn vertex_has_its_own_words_and_an_older_method_for_older_models() {
    let platform = Platform::Vertex { project: "p", location: "l" };
    let newer = TargetShape { platform, ..TargetShape::new(Dialect::Gemini, "gemini-embedding-2") };
    let sent = encode_call(&call(Dialect::Gemini, gemini_batch()), &newer).unwrap();
    assert_eq!(
        written(&sent)["requests"][0],
        json!({"content": {"parts": [{"text": "a"}]},
            "embedContentConfig": {"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 2}})
    );
    assert!(endpoint(&openai(&json!({})), &newer).ends_with("gemini-embedding-2:batchEmbedContents"));
    let older = TargetShape { platform, ..TargetShape::new(Dialect::Gemini, "text-embedding-005") };
    let sent = encode_call(&openai(&json!({})), &older).unwrap();
    assert_eq!(
        written(&sent),
        json!({"instances": [{"content": "a"}, {"content": "b"}], "parameters": {"outputDimensionality": 2}})
    );
    assert!(endpoint(&openai(&json!({})), &older).ends_with("text-embedding-005:predict"));
    let prediction =
        |n: f64| json!({"embeddings": {"values": [n], "statistics": {"token_count": 4, "truncated": false}}});
    let read = answer(
        &openai(&json!({})),
        Dialect::Gemini,
        json!({"predictions": [prediction(0.5), prediction(1.5)]}),
    );
    assert_eq!(read["data"][1], json!({"object": "embedding", "index": 1, "embedding": [1.5]}));
    assert_eq!(read["usage"], json!({"prompt_tokens": 8, "total_tokens": 8}));
}

#[test]
fn an_answer_has_the_form_its_caller_asked_for() {
    let gemini = json!({"embeddings": [{"values": [0.5, -1.25]}, {"values": [1, 2]}]});
    let read = answer(&openai(&json!({})), Dialect::Gemini, gemini.clone());
    assert_eq!(read["data"][0]["embedding"], json!([0.5, -1.25]));
    assert_eq!(read["model"], "m");
    let read = answer(&openai(&json!({"encoding_format": "base64"})), Dialect::Gemini, gemini);
    assert_eq!(read["data"][0]["embedding"], "AAAAPwAAoL8=");
    let cohere = json!({"id": "e1", "embeddings": {"float": [[0.5], [1.5]]}, "texts": ["a", "b"],
        "meta": {"billed_units": {"input_tokens": 7.0}}, "response_type": "embeddings_by_type"});
    let read = answer(&call(Dialect::Gemini, gemini_batch()), Dialect::Cohere, cohere.clone());
    assert_eq!(
        read,
        json!({"embeddings": [{"values": [0.5]}, {"values": [1.5]}],
            "usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 7}})
    );
    let openai = json!({"object": "list", "model": "e", "data": [
            {"object": "embedding", "index": 1, "embedding": [2.0]},
            {"object": "embedding", "index": 0, "embedding": "AAAAPw=="}],
        "usage": {"prompt_tokens": 5, "total_tokens": 5}});
    let asked = json!({"model": "m", "texts": ["a", "b"], "input_type": "search_query", "embedding_types": ["float", "base64"]});
    let own = call(Dialect::Cohere, asked);
    let read = answer(&own, Dialect::OpenAi, openai);
    assert_eq!(read["embeddings"], json!({"float": [[0.5], [2.0]], "base64": ["AAAAPw==", "AAAAQA=="]}));
    assert_eq!(read["meta"]["billed_units"]["input_tokens"], 5);
    assert_eq!(read["texts"], json!(["a", "b"]));
    // Its own answer stays as it is.
    assert_eq!(answer(&own, Dialect::Cohere, cohere.clone()), cohere);
}

#[test]
fn what_a_target_cannot_embed_is_refused_by_name() {
    for (input, param) in [
        (json!([1, 2, 3]), "input"),
        (json!([[1, 2], [3]]), "input"),
        (json!(["a", {"image": "x"}]), "input[1]"),
    ] {
        let tokens = call(Dialect::OpenAi, json!({"model": "m", "input": input}));
        assert_eq!(send(&tokens, Dialect::Gemini).unwrap_err().param.as_deref(), Some(param));
        assert!(send(&tokens, Dialect::OpenAi).is_ok());
    }
    let image = json!({"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}});
    assert!(send(&call(Dialect::Gemini, image), Dialect::OpenAi).is_err());
    let mut mixed = gemini_batch();
    mixed["requests"][1]["taskType"] = json!("CLUSTERING");
    let fault = send(&call(Dialect::Gemini, mixed), Dialect::Cohere).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("requests[1]"));
    let other = openai(&json!({"truncate": "left"}));
    assert_eq!(send(&other, Dialect::Gemini).unwrap_err().param.as_deref(), Some("truncate"));
    let dropped =
        TargetShape { on_unsupported: OnUnsupported::Drop, ..TargetShape::new(Dialect::Gemini, "up") };
    assert_eq!(encode_call(&other, &dropped).unwrap().dropped, ["truncate"]);
    assert!(send(&openai(&json!({})), Dialect::Anthropic).is_err());
}

#[test]
fn an_answer_without_vectors_is_the_providers_fault() {
    for (upstream, body) in [
        (Dialect::Gemini, json!({"embeddings": []})),
        (Dialect::Gemini, json!({})),
        (Dialect::Cohere, json!({"id": "x", "embeddings": {}})),
        (Dialect::Gemini, json!({"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}})),
    ] {
        let body = Bytes::from(body.to_string());
        assert!(relay_answer(&openai(&json!({})), upstream, body).is_err());
    }
}

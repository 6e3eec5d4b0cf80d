use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    Call, Dialect, Fault, OnUnsupported, Operation, Outbound, Summary, TargetShape, encode_call, relay_answer,
};

fn call(dialect: Dialect, body: &Value) -> Call {
    Call::decode((dialect, Operation::Rerank), body.to_string().into()).unwrap()
}

fn cohere() -> Value {
    json!({"model": "m", "query": "q", "documents": ["a", "b", "c"], "top_n": 2})
}

fn send(dialect: Dialect, body: &Value, to: Dialect) -> Result<(Value, Outbound), Fault> {
    let outbound = encode_call(&call(dialect, body), &TargetShape::new(to, "there"))?;
    Ok((serde_json::from_slice(&outbound.body).unwrap(), outbound))
}

fn answer(call: &Call, from: Dialect, body: &Value) -> Result<(Value, Summary), Fault> {
    let (bytes, summary) = relay_answer(call, from, Bytes::from(body.to_string()))?;
    Ok((serde_json::from_slice(&bytes).unwrap(), summary))
}

#[test]
fn a_plain_question_passes_with_the_model_changed() {
    let body = json!({"model": "m", "query": "q", "documents": ["a"], "top_n": 1, "max_tokens_per_doc": 9, "new": 1});
    let mut expected = body.clone();
    expected["model"] = json!("there");
    assert_eq!(send(Dialect::Cohere, &body, Dialect::Cohere).unwrap().0, expected);
    let jina =
        json!({"model": "m", "query": "q", "documents": ["a", {"text": "b"}], "return_documents": true});
    let mut expected = jina.clone();
    expected["model"] = json!("there");
    assert_eq!(send(Dialect::OpenAi, &jina, Dialect::OpenAi).unwrap().0, expected);
}

#[test]
fn each_shape_becomes_the_other() {
    let (sent, _) = send(Dialect::Cohere, &cohere(), Dialect::OpenAi).unwrap();
    let expected = json!({"model": "there", "query": "q", "documents": ["a", "b", "c"], "top_n": 2, "return_documents": false});
    assert_eq!(sent, expected);
    let jina = json!({"model": "m", "query": "q", "documents": [{"text": "a"}, "b"], "return_documents": true, "truncation": true});
    let (sent, outbound) = send(Dialect::OpenAi, &jina, Dialect::Cohere).unwrap();
    assert_eq!(sent, json!({"model": "there", "query": "q", "documents": ["a", "b"]}));
    assert_eq!(outbound.dropped, ["truncation"]);
}

#[test]
fn objects_of_the_first_version_become_texts_of_the_second() {
    let body = json!({"model": "m", "query": "q", "documents": [{"text": "a", "x": "1"}, "b"], "max_chunks_per_doc": 3});
    let (sent, outbound) = send(Dialect::Cohere, &body, Dialect::Cohere).unwrap();
    assert_eq!(sent, json!({"model": "there", "query": "q", "documents": ["a", "b"]}));
    assert_eq!(outbound.dropped, ["max_chunks_per_doc"]);
    let body =
        json!({"model": "m", "query": "q", "documents": [{"t": "a", "x": "1"}], "rank_fields": ["t", "x"]});
    let (sent, _) = send(Dialect::Cohere, &body, Dialect::Cohere).unwrap();
    assert_eq!(sent["documents"], json!(["t: a\nx: 1"]));
}

#[test]
fn what_the_other_shape_has_no_word_for_is_refused_or_reported() {
    let body = json!({"model": "m", "query": "q", "documents": ["a"], "relevant_spans": {"mode": "x"}});
    let fault = send(Dialect::Cohere, &body, Dialect::OpenAi).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("relevant_spans"));
    let target =
        TargetShape { on_unsupported: OnUnsupported::Drop, ..TargetShape::new(Dialect::OpenAi, "there") };
    assert_eq!(encode_call(&call(Dialect::Cohere, &body), &target).unwrap().dropped, ["relevant_spans"]);
    let pictures = json!({"model": "m", "query": "q", "documents": [{"image": "http://x"}]});
    let fault = send(Dialect::OpenAi, &pictures, Dialect::Cohere).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("documents[0]"));
    assert!(send(Dialect::Cohere, &cohere(), Dialect::Anthropic).is_err());
}

#[test]
fn answers_keep_their_order_their_scores_and_their_use() {
    let theirs = json!({"model": "jina", "object": "list", "usage": {"total_tokens": 15}, "results": [
        {"index": 2, "relevance_score": 0.98, "document": {"text": "c"}}, {"index": 0, "relevance_score": 0.1}]});
    let (ours, summary) = answer(&call(Dialect::Cohere, &cohere()), Dialect::OpenAi, &theirs).unwrap();
    assert_eq!(
        ours["results"],
        json!([{"index": 2, "relevance_score": 0.98}, {"index": 0, "relevance_score": 0.1}])
    );
    assert_eq!(ours["meta"]["tokens"]["input_tokens"], 15);
    assert_eq!((summary.usage.unwrap().input, summary.upstream_model.as_deref()), (15, Some("jina")));

    let theirs = json!({"id": "x", "results": [{"index": 1, "relevance_score": 0.5}], "meta": {"billed_units": {"search_units": 1}}});
    let jina =
        json!({"model": "m", "query": "q", "documents": ["a", {"text": "b"}], "return_documents": true});
    let (ours, summary) = answer(&call(Dialect::OpenAi, &jina), Dialect::Cohere, &theirs).unwrap();
    assert_eq!(ours["results"], json!([{"index": 1, "relevance_score": 0.5, "document": {"text": "b"}}]));
    assert_eq!((ours["model"].as_str(), summary.usage), (Some("m"), None));
}

#[test]
fn documents_that_are_wanted_back_are_the_callers_own() {
    let mut body = cohere();
    body["return_documents"] = json!(true);
    let theirs = json!({"id": "x", "results": [{"index": 1, "relevance_score": 0.5}], "meta": {"billed_units": {"search_units": 1}}});
    let (ours, _) = answer(&call(Dialect::Cohere, &body), Dialect::Cohere, &theirs).unwrap();
    assert_eq!(ours["results"][0]["document"], json!({"text": "b"}));
    assert_eq!(ours["meta"], theirs["meta"]);
    let (same, _) = answer(&call(Dialect::Cohere, &cohere()), Dialect::Cohere, &theirs).unwrap();
    assert_eq!(same, theirs);
}

#[test]
fn what_is_no_ranking_is_a_fault() {
    let call = call(Dialect::Cohere, &cohere());
    for body in [
        json!({"results": [{"index": 9, "relevance_score": 1}]}),
        json!({"results": [{"index": 0}]}),
        json!({"results": "x"}),
        json!({"message": "no such model"}),
        json!({}),
    ] {
        assert!(answer(&call, Dialect::Cohere, &body).is_err(), "{body}");
    }
    assert!(
        Call::decode((Dialect::Cohere, Operation::Rerank), Bytes::from_static(br#"{"model":"m"}"#)).is_err()
    );
}

#[test]
fn the_text_of_a_question_is_counted() {
    assert_eq!(call(Dialect::Cohere, &cohere()).envelope.input_chars, 4);
}

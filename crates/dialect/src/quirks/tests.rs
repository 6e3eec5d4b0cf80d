use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Clamp, Quirks, StreamUsage, apply};
use crate::{Fault, OnUnsupported, Outbound};

fn fit(body: &str, quirks: &Quirks, on: OnUnsupported) -> Result<(Value, Outbound), Fault> {
    let call = Outbound { body: body.to_owned().into(), dropped: Vec::new(), defaulted: Vec::new() };
    let out = apply(call, quirks, on)?;
    let value = serde_json::from_slice(&out.body).unwrap_or_else(|error| panic!("{error}: {:?}", out.body));
    Ok((value, out))
}

fn without(fields: &[&str]) -> Quirks {
    Quirks { unsupported: fields.iter().map(|field| (*field).to_owned()).collect(), ..Quirks::default() }
}

#[test]
fn a_field_that_is_not_taken_is_refused_by_name_or_dropped_and_told() {
    let body = r#"{"model":"m","logit_bias":{"5":1},"messages":[]}"#;
    let quirks = without(&["logit_bias"]);
    let fault = fit(body, &quirks, OnUnsupported::Refuse).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("logit_bias"));
    let (value, out) = fit(body, &quirks, OnUnsupported::Drop).unwrap();
    assert_eq!(value, json!({"model":"m","messages":[]}));
    assert_eq!(out.dropped, ["logit_bias"]);
}

#[test]
fn a_field_that_asks_for_nothing_is_left_out_without_a_word() {
    let quirks = without(&["n", "logprobs", "seed"]);
    let (value, out) =
        fit(r#"{"n":1,"logprobs":false,"seed":null,"model":"m"}"#, &quirks, OnUnsupported::Refuse).unwrap();
    assert_eq!(value, json!({"model":"m"}));
    assert!(out.dropped.is_empty());
}

#[test]
fn a_dot_leads_into_every_message() {
    let body =
        r#"{"messages":[{"role":"user","name":"a","content":"x"},{"name":"b","role":"user","content":[]}]}"#;
    let (value, out) = fit(body, &without(&["messages.name"]), OnUnsupported::Drop).unwrap();
    assert_eq!(value, json!({"messages":[{"role":"user","content":"x"},{"role":"user","content":[]}]}));
    assert_eq!(out.dropped, ["messages.name"]);
}

#[test]
fn values_names_and_ranges_are_the_providers() {
    let quirks = Quirks {
        only: BTreeMap::from([("response_format.type".into(), vec![json!("text"), json!("json_object")])]),
        clamp: BTreeMap::from([("temperature".into(), Clamp { min: Some(0.0), max: Some(1.5) })]),
        rename: BTreeMap::from([
            ("seed".into(), "random_seed".into()),
            ("max_completion_tokens".into(), "max_tokens".into()),
        ]),
        ..Quirks::default()
    };
    let body =
        r#"{"temperature":2,"seed":7,"response_format":{"type":"json_object"},"max_completion_tokens":9}"#;
    let (value, out) = fit(body, &quirks, OnUnsupported::Refuse).unwrap();
    assert_eq!(
        value,
        json!({"temperature":1.5,"random_seed":7,"response_format":{"type":"json_object"},"max_tokens":9})
    );
    assert_eq!(out.defaulted, [("temperature".to_owned(), "1.5".to_owned())]);

    let both = r#"{"max_completion_tokens":9,"max_tokens":5}"#;
    assert_eq!(fit(both, &quirks, OnUnsupported::Refuse).unwrap().0, json!({"max_tokens":5}));

    let schema = r#"{"response_format":{"type":"json_schema","json_schema":{}}}"#;
    let fault = fit(schema, &quirks, OnUnsupported::Refuse).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("response_format.type"));
    assert!(fault.message.contains("json_object"), "{}", fault.message);
}

#[test]
fn words_are_the_providers() {
    let quirks = Quirks {
        no_developer_role: true,
        required_tool_choice: Some("any".into()),
        tool_call_id_length: Some(9),
        reasoning_field: Some("reasoning_content".into()),
        stream_usage: StreamUsage::Always,
        ..Quirks::default()
    };
    let body = json!({
        "stream_options": {"include_usage": true},
        "tool_choice": "required",
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "assistant", "reasoning": "hm", "tool_calls": [{"id": "call_1", "type": "function"}, {"id": "abcdef123"}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "developer"}
        ]
    });
    let (value, _) = fit(&body.to_string(), &quirks, OnUnsupported::Refuse).unwrap();
    assert!(value.get("stream_options").is_none());
    assert_eq!(value["tool_choice"], "any");
    assert_eq!(value["messages"][0]["role"], "system");
    assert_eq!(value["messages"][1]["reasoning_content"], "hm");
    let id = value["messages"][1]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric()), "{id}");
    assert_eq!(value["messages"][2]["tool_call_id"], id);
    assert_eq!(value["messages"][1]["tool_calls"][1]["id"], "abcdef123");
    assert_eq!(value["messages"][2]["content"], "developer");
}

#[test]
fn a_single_value_is_sent_as_a_list_where_only_lists_are_taken() {
    let quirks = Quirks { lists: vec!["stop".into()], ..Quirks::default() };
    for (given, sent) in
        [(json!("x"), json!(["x"])), (json!(["x"]), json!(["x"])), (json!(null), json!(null))]
    {
        let (value, out) = fit(&json!({"stop": given}).to_string(), &quirks, OnUnsupported::Refuse).unwrap();
        assert_eq!(value, json!({"stop": sent}));
        assert!(out.dropped.is_empty() && out.defaulted.is_empty());
    }
}

#[test]
fn images_by_url_are_refused_where_only_bytes_are_taken() {
    let quirks = Quirks { no_image_urls: true, ..Quirks::default() };
    let body = |url: &str| {
        json!({"messages":[{"content":[{"type":"image_url","image_url":{"url":url}}]}]}).to_string()
    };
    assert!(fit(&body("data:image/png;base64,AA"), &quirks, OnUnsupported::Refuse).is_ok());
    let fault = fit(&body("https://x/y.png"), &quirks, OnUnsupported::Drop).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("messages.content.image_url.url"));
}

fn flat() -> impl Strategy<Value = Vec<(String, Value)>> {
    let value =
        prop_oneof![Just(json!(2)), Just(json!("x,\"}")), Just(json!([{"a": [1, {}]}])), Just(json!({}))];
    prop::collection::vec(("[a-f]", value), 0..8).prop_map(|mut fields| {
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        fields.dedup_by(|a, b| a.0 == b.0);
        fields
    })
}

proptest! {
    /// Whatever stands beside them and however it is spaced, exactly the named fields go.
    #[test]
    fn exactly_the_named_fields_go(fields in flat(), gone in prop::collection::vec("[a-f]", 0..5), space in "[ \n]{0,2}") {
        let members: Vec<String> =
            fields.iter().map(|(name, value)| format!("\"{name}\"{space}:{space}{value}{space}")).collect();
        let body = format!("{{{space}{}}}", members.join(&format!(",{space}")));
        let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
        let (value, _) = fit(&body, &without(&gone), OnUnsupported::Drop).unwrap();
        let expected: serde_json::Map<String, Value> =
            fields.into_iter().filter(|(name, _)| !gone.contains(&name.as_str())).collect();
        prop_assert_eq!(value, Value::Object(expected));
    }
}

use crate::{Dialect, Envelope, Fault, Operation};

fn chat(body: &str) -> Result<Envelope, Fault> {
    Envelope::scan(&(Dialect::OpenAi, Operation::Chat).into(), body.as_bytes())
}

#[test]
fn what_routing_needs_is_read() {
    let body = r#"{
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [
                {"type": "text", "text": "what is\n\u00e9?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "image_url", "image_url": {"url": "http://x/y"}}
            ]}
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "g"}}],
        "model": "gpt\u002d4", "stream": true, "stream_options": {"include_usage": true},
        "max_completion_tokens": 50, "n": 2, "unknown": {"model": "no"}
    }"#;
    let envelope = chat(body).unwrap();
    assert_eq!(envelope.model, "gpt-4");
    assert!(envelope.stream && envelope.wants_usage);
    assert_eq!((envelope.max_output_tokens, envelope.n), (Some(50), 2));
    assert_eq!((envelope.tools, envelope.images), (2, 2));
    let tools = 2 * "typefunctionfunctionnamef".len() as u64;
    assert_eq!(envelope.input_chars, "be brief".len() as u64 + "what is\né?".len() as u64 + 10 + tools);
    let model = body.get(envelope.places.model.start..envelope.places.model.end).unwrap();
    assert_eq!(model, r#""gpt\u002d4""#);
}

#[test]
fn images_inside_results_of_tools_are_counted_and_their_bytes_are_not_text() {
    let body = r#"{"model":"m","max_tokens":1,"system":[{"type":"text","text":"abc"}],"messages":[{"role":"user","content":[
        {"type":"tool_result","tool_use_id":"t","content":[
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"text","text":"de"}]}]}]}"#;
    let envelope = Envelope::scan(&(Dialect::Anthropic, Operation::Chat).into(), body.as_bytes()).unwrap();
    assert_eq!((envelope.images, envelope.input_chars), (1, 5));
}

#[test]
fn inputs_of_embeddings_are_counted_as_text_and_as_tokens() {
    let scan = |body: &str| {
        Envelope::scan(&(Dialect::OpenAi, Operation::Embeddings).into(), body.as_bytes()).unwrap()
    };
    assert_eq!(scan(r#"{"model":"e","input":"four"}"#).input_chars, 4);
    assert_eq!(scan(r#"{"model":"e","input":["four","a"]}"#).input_chars, 5);
    assert_eq!(scan(r#"{"model":"e","input":[[1,2],[3]]}"#).input_chars, 12);
}

#[test]
fn a_deciding_field_given_twice_is_refused() {
    for body in [
        r#"{"model":"a","messages":[],"model":"b"}"#,
        r#"{"model":"a","messages":[],"mod\u0065l":"b"}"#,
        r#"{"model":"a","messages":[],"messages":[]}"#,
        r#"{"model":"a","messages":[],"stream":true,"stream":false}"#,
        r#"{"model":"a","messages":[],"stream_options":{"include_usage":true,"include_usage":false}}"#,
    ] {
        assert!(chat(body).unwrap_err().message.contains("twice"), "{body}");
    }
    assert!(chat(r#"{"model":"a","messages":[],"x":1,"x":2}"#).is_ok());
}

#[test]
fn a_deciding_field_in_another_case_is_refused() {
    for body in [
        r#"{"model":"a","messages":[],"Model":"b"}"#,
        r#"{"MODEL":"b","model":"a","messages":[]}"#,
        r#"{"model":"a","messages":[],"Max_Tokens":9}"#,
    ] {
        assert!(chat(body).unwrap_err().message.contains("lower case"), "{body}");
    }
    assert!(chat(r#"{"model":"a","messages":[],"User":"u"}"#).is_ok());
}

#[test]
fn only_chats_are_streamed() {
    let body = br#"{"model":"e","input":"four","stream":true}"#;
    let envelope = Envelope::scan(&(Dialect::OpenAi, Operation::Embeddings).into(), body).unwrap();
    assert!(!envelope.stream);
}

#[test]
fn what_cannot_be_understood_is_refused_and_named() {
    let deep = format!(r#"{{"model":"a","messages":[],"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    for (body, says) in [
        ("[]", "not a JSON object"),
        ("", "byte 0"),
        (r#"{"model":"a","messages":[]} x"#, "byte 28"),
        (r#"{"model":"a","messages":[}"#, "byte 25"),
        (r#"{"messages":[]}"#, "`model` is missing"),
        (r#"{"model":"","messages":[]}"#, "`model` is missing"),
        (r#"{"model":7,"messages":[]}"#, "`model` must be a string"),
        (r#"{"model":"a"}"#, "`messages` is missing"),
        (r#"{"model":"a","messages":[],"stream":"yes"}"#, "`stream` must be true or false"),
        (r#"{"model":"a","messages":[],"stream_options":7}"#, "`stream_options` must be an object"),
        (deep.as_str(), "deeper than 128"),
    ] {
        let fault = chat(body).unwrap_err();
        assert!(fault.message.contains(says), "{body}: {}", fault.message);
    }
    let fault =
        Envelope::scan(&(Dialect::OpenAi, Operation::Chat).into(), b"{\"model\":\"a\xff\"}").unwrap_err();
    assert_eq!(fault.message, "the body is not UTF-8 at byte 11");
}

#[test]
fn a_cap_that_is_no_plain_number_is_left_to_the_provider() {
    assert_eq!(chat(r#"{"model":"a","messages":[],"max_tokens":-1}"#).unwrap().max_output_tokens, None);
    assert_eq!(chat(r#"{"model":"a","messages":[],"max_tokens":null}"#).unwrap().max_output_tokens, None);
}

fn response(body: &str) -> Result<Envelope, Fault> {
    Envelope::scan(&(Dialect::Responses, Operation::Chat).into(), body.as_bytes())
}

#[test]
fn what_routing_needs_of_a_response_is_read() {
    let body = r#"{"model":"gpt","instructions":"abc","max_output_tokens":7,"stream":true,"previous_response_id":"resp_1",
        "store":false,"tools":[{"type":"web_search"}],"input":[
        {"role":"user","content":[{"type":"input_text","text":"de"},{"type":"input_image","image_url":"data:image/png;base64,AA"},
            {"type":"input_file","filename":"","file_data":"data:application/pdf;base64,AAAA"}]},
        {"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"},
        {"type":"function_call_output","call_id":"c","output":"fgh"}]}"#;
    let envelope = response(body).unwrap();
    let tools = "typeweb_search".len() as u64;
    assert_eq!(envelope.input_chars, "abcdefgh".len() as u64 + tools);
    assert_eq!((envelope.images, envelope.tools, envelope.max_output_tokens), (1, 1, Some(7)));
    assert_eq!(envelope.continues.as_deref(), Some("resp_1"));
    assert!(envelope.stream && envelope.places.unstored && !envelope.places.unsigned_thinking);
}

#[test]
fn what_a_response_continues_is_an_id_or_an_object_that_has_one() {
    for (field, expected) in [
        (r#""previous_response_id":"resp_1""#, Some("resp_1")),
        (r#""conversation":"conv_1""#, Some("conv_1")),
        (r#""conversation":{"note":"x","id":"conv_1"}"#, Some("conv_1")),
        (r#""conversation":{"inner":{"id":"no"}}"#, None),
        (r#""previous_response_id":null"#, None),
        (r#""store":true"#, None),
    ] {
        let envelope = response(&format!(r#"{{"model":"m",{field}}}"#)).unwrap();
        assert_eq!(envelope.continues.as_deref(), expected, "{field}");
    }
}

#[test]
fn a_field_that_decides_where_a_response_goes_must_not_come_twice() {
    let fault =
        response(r#"{"model":"m","previous_response_id":"a","previous_response_id":"b"}"#).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("previous_response_id"));
    assert!(response(r#"{"model":"m","input":"a","input":"b"}"#).is_err());
    assert!(response(r#"{"model":"m","Instructions":"a"}"#).is_err());
}

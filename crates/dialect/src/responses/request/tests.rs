use serde_json::{Value, json};

use super::decode;
use crate::{
    Call, Dialect, Fault, OnUnsupported, Operation, Outbound, PartBody, Request, Role, TargetShape, ToolBody,
    ToolChoice, encode_call, encode_request,
};

fn read(body: &Value) -> Request {
    decode(body.to_string().as_bytes()).unwrap()
}

fn send(body: &Value, target: &TargetShape<'_>) -> Result<Outbound, Fault> {
    let call = Call::decode((Dialect::Responses, Operation::Chat), body.to_string().into()).unwrap();
    encode_call(&call, target)
}

/// What a target gets, where what it has no word for may be dropped.
fn sent(body: &Value, dialect: Dialect) -> (Value, Vec<String>) {
    let target = TargetShape { on_unsupported: OnUnsupported::Drop, ..TargetShape::new(dialect, "other") };
    let outbound = send(body, &target).unwrap();
    (serde_json::from_slice(&outbound.body).unwrap(), outbound.dropped)
}

/// Reads a call and writes it again in its own dialect.
fn again(body: &Value) -> Value {
    let outbound = encode_request(read(body), &TargetShape::new(Dialect::Responses, "m")).unwrap();
    assert!(outbound.dropped.is_empty(), "{:?}", outbound.dropped);
    serde_json::from_slice(&outbound.body).unwrap()
}

#[test]
fn a_string_is_what_the_user_says_and_instructions_come_first() {
    let request = read(&json!({"model":"m","instructions":"Be brief.","input":"Hello"}));
    let roles: Vec<Role> = request.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User]);
    let (chat, dropped) =
        sent(&json!({"model":"m","instructions":"Be brief.","input":"Hello"}), Dialect::OpenAi);
    assert_eq!(
        chat["messages"],
        json!([{"role":"system","content":"Be brief."},{"role":"user","content":"Hello"}])
    );
    assert!(dropped.is_empty());
}

#[test]
fn everything_the_model_did_until_somebody_else_speaks_is_one_turn() {
    let body = json!({"model":"m","input":[
        {"role":"user","content":"What is the weather?"},
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"I must look."}],"encrypted_content":"gAAA"},
        {"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Let me look.","annotations":[]}]},
        {"type":"function_call","id":"fc_1","call_id":"call_1","name":"look","arguments":"{\"a\":1}","status":"completed"},
        {"type":"function_call","id":"fc_2","call_id":"call_2","name":"look","arguments":"{}","status":"completed"},
        {"type":"function_call_output","call_id":"call_1","output":"sun"},
        {"type":"function_call_output","call_id":"call_2","output":"rain"}
    ]});
    let (chat, dropped) = sent(&body, Dialect::OpenAi);
    assert_eq!(
        chat["messages"],
        json!([
            {"role":"user","content":"What is the weather?"},
            {"role":"assistant","content":"Let me look.","tool_calls":[
                {"id":"call_1","type":"function","function":{"name":"look","arguments":"{\"a\":1}"}},
                {"id":"call_2","type":"function","function":{"name":"look","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"call_1","content":"sun"},
            {"role":"tool","tool_call_id":"call_2","content":"rain"}
        ])
    );
    assert_eq!(dropped, ["input[].content[].thinking"]);
    assert_eq!(again(&body), body);
}

#[test]
fn what_only_this_dialect_knows_goes_home_as_it_was() {
    let body = json!({
        "model":"m",
        "instructions":"Be brief.",
        "input":[
            {"role":"developer","content":"Mind the gap."},
            {"role":"user","content":[
                {"type":"input_text","text":"See:","prompt_cache_breakpoint":{"mode":"explicit"}},
                {"type":"input_image","image_url":"data:image/png;base64,AA==","detail":"high"},
                {"type":"input_image","file_id":"file-1","detail":"auto"},
                {"type":"input_file","file_url":"https://x.example/a.pdf"},
                {"type":"input_file","file_data":"data:application/pdf;base64,AA==","filename":"a.pdf"},
                {"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}},
                {"type":"input_hologram","data":"AA=="}]},
            {"id":"msg_0","type":"item_reference"},
            {"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"q"}},
            {"type":"message","role":"assistant","id":"msg_1","status":"completed","phase":"commentary","content":[
                {"type":"output_text","text":"One.","annotations":[
                    {"type":"url_citation","url":"https://x.example","title":"X","start_index":0,"end_index":4}],
                    "logprobs":[]},
                {"type":"refusal","refusal":"No more."}]},
            {"type":"message","role":"assistant","content":"Two."},
            {"type":"message","role":"assistant","content":"Three."},
            {"type":"tool_search_call","call_id":"call_9","arguments":{},"execution":"client"},
            {"type":"function_call_output","call_id":"call_9","output":"[]"},
            {"type":"custom_tool_call","call_id":"call_8","name":"patch","input":"***"},
            {"type":"custom_tool_call_output","call_id":"call_8","output":"done"},
            {"type":"reasoning","id":"rs_2","summary":[],"content":[{"type":"reasoning_text","text":"Hm."}]},
            {"type":"function_call","call_id":"call_1","name":"f","arguments":"{}","namespace":"n"},
            {"type":"function_call_output","call_id":"call_1","output":[
                {"type":"input_image","image_url":"https://x.example/a.png"}],"status":"completed"}
        ],
        "tools":[
            {"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true,"defer_loading":true},
            {"type":"web_search","search_context_size":"low"},
            {"type":"custom","name":"patch"}],
        "tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]},
        "parallel_tool_calls":false,
        "max_output_tokens":9,
        "max_tool_calls":3,
        "temperature":0.5,
        "top_p":0.9,
        "top_logprobs":2,
        "include":["message.output_text.logprobs","web_search_call.results"],
        "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true,"description":"d"},"verbosity":"low"},
        "reasoning":{"effort":"low","summary":"detailed","context":"all_turns"},
        "service_tier":"flex",
        "metadata":{"a":"b"},
        "user":"u",
        "stream":true,
        "store":false,
        "previous_response_id":"resp_1",
        "conversation":{"id":"conv_1"},
        "prompt":{"id":"pmpt_1"},
        "background":true,
        "truncation":"auto",
        "safety_identifier":"s",
        "prompt_cache_key":"k",
        "context_management":[{"type":"compaction"}],
        "something_new":{"a":[1,2]}
    });
    assert_eq!(again(&body), body);
}

#[test]
fn what_another_provider_keeps_is_refused_by_name_even_where_dropping_is_allowed() {
    for (name, value) in [
        ("previous_response_id", json!("resp_1")),
        ("conversation", json!("conv_1")),
        ("prompt", json!({"id":"p"})),
    ] {
        let body = json!({"model":"m","input":"Hello",name:value});
        for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
            let target =
                TargetShape { on_unsupported: OnUnsupported::Drop, ..TargetShape::new(dialect, "other") };
            let fault = send(&body, &target).unwrap_err();
            assert_eq!(fault.param.as_deref(), Some(name), "{fault}");
        }
        let same = send(&body, &TargetShape::new(Dialect::Responses, "m")).unwrap();
        assert_eq!(same.body, body.to_string());
    }
}

#[test]
fn work_in_the_background_is_refused_by_name() {
    let body = json!({"model":"m","input":"Hello","background":true});
    let fault = send(&body, &TargetShape::new(Dialect::OpenAi, "other")).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("background"));
    let body = json!({"model":"m","input":"Hello","background":false});
    assert!(send(&body, &TargetShape::new(Dialect::OpenAi, "other")).is_ok());
}

#[test]
fn tools_of_the_provider_are_refused_by_their_name() {
    for kind in
        ["web_search", "file_search", "code_interpreter", "mcp", "image_generation", "custom", "new_one"]
    {
        let body = json!({"model":"m","input":"Hello","tools":[{"type":kind,"name":"n"}]});
        let fault = send(&body, &TargetShape::new(Dialect::Anthropic, "other")).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("tools[0]"));
        assert!(fault.message.contains(&format!("`{kind}`")), "{fault}");
    }
}

#[test]
fn the_result_of_a_call_that_is_left_out_is_left_out_too() {
    let body = json!({"model":"m","input":[
        {"role":"user","content":"Hello"},
        {"type":"tool_search_call","call_id":"call_9","arguments":{},"execution":"client"},
        {"type":"function_call_output","call_id":"call_9","output":"[]"}]});
    let (chat, dropped) = sent(&body, Dialect::OpenAi);
    assert_eq!(chat["messages"], json!([{"role":"user","content":"Hello"}]));
    assert_eq!(dropped, ["input[].content[]"]);
}

#[test]
fn each_shape_of_tool_choice_is_understood() {
    for (choice, expected) in [
        (json!("auto"), Some(ToolChoice::Auto)),
        (json!("none"), Some(ToolChoice::None)),
        (json!("required"), Some(ToolChoice::Required)),
        (json!({"type":"function","name":"f"}), Some(ToolChoice::Named("f".to_owned()))),
        (json!({"type":"web_search_preview"}), None),
    ] {
        let request = read(&json!({"model":"m","input":"Hello","tool_choice":choice}));
        match expected {
            Some(expected) => assert_eq!(request.tool_choice, Some(expected)),
            None => assert!(matches!(request.tool_choice, Some(ToolChoice::Opaque(_)))),
        }
    }
    let fault = decode(br#"{"model":"m","tool_choice":"perhaps"}"#).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("tool_choice"));
}

#[test]
fn a_tool_is_strict_when_nothing_is_said_and_its_schema_allows_it() {
    let open = json!({"type":"object","properties":{"a":{"type":"string"}}});
    let closed = json!({"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false});
    let body = json!({"model":"m","input":"Hello","tools":[
        {"type":"function","name":"open","parameters":open},
        {"type":"function","name":"closed","parameters":closed},
        {"type":"function","name":"lax","parameters":closed,"strict":false}]});
    let (chat, _) = sent(&body, Dialect::OpenAi);
    let strict = |index: usize| chat["tools"][index]["function"]["strict"].as_bool();
    assert_eq!([strict(0), strict(1), strict(2)], [None, Some(true), Some(false)]);
    let request = read(&body);
    let said = request.tools.iter().map(|tool| match tool.body {
        ToolBody::Function { strict, .. } => strict,
        ToolBody::Opaque { .. } => None,
    });
    assert_eq!(said.collect::<Vec<_>>(), [None, None, Some(false)]);
}

#[test]
fn the_form_of_the_answer_and_the_odds_of_tokens_have_words_everywhere_in_chat() {
    let body = json!({"model":"m","input":"Hello","max_output_tokens":7,
        "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}},
        "include":["message.output_text.logprobs"],"top_logprobs":3,"reasoning":{"effort":"high"}});
    let (chat, dropped) = sent(&body, Dialect::OpenAi);
    assert_eq!(
        chat["response_format"],
        json!({"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"},"strict":true}})
    );
    assert_eq!((&chat["logprobs"], &chat["top_logprobs"]), (&json!(true), &json!(3)));
    assert_eq!((&chat["reasoning_effort"], &chat["max_completion_tokens"]), (&json!("high"), &json!(7)));
    assert!(dropped.is_empty());
}

#[test]
fn hints_are_left_out_and_told_and_what_holds_anyway_is_not_told() {
    let body = json!({"model":"m","input":"Hello","store":true,"metadata":{"a":"b"},"prompt_cache_key":"k",
        "safety_identifier":"s","text":{"verbosity":"low"},"reasoning":{"summary":"auto"},"truncation":"auto",
        "service_tier":"flex"});
    let (_, mut dropped) = sent(&body, Dialect::Anthropic);
    dropped.sort();
    assert_eq!(
        dropped,
        [
            "metadata",
            "prompt_cache_key",
            "reasoning.summary",
            "safety_identifier",
            "service_tier",
            "store",
            "text.verbosity",
            "truncation"
        ]
    );
    let body = json!({"model":"m","input":"Hello","store":false,"truncation":"disabled","background":false,
        "text":{"format":{"type":"text"},"verbosity":"medium"},"include":["reasoning.encrypted_content"],
        "max_tool_calls":3,"metadata":{},"stream_options":{"include_obfuscation":false},"previous_response_id":null});
    assert!(sent(&body, Dialect::Anthropic).1.is_empty());
}

#[test]
fn something_new_is_refused_by_name_elsewhere() {
    let body = json!({"model":"m","input":"Hello","something_new":1});
    let fault = send(&body, &TargetShape::new(Dialect::OpenAi, "other")).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("something_new"));
}

#[test]
fn reasoning_that_another_dialect_sealed_does_not_reach_a_provider_of_this_one() {
    let body = json!({"model":"m","input":[
        {"role":"user","content":"Hello"},
        {"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"anthropic#EqQB"},
        {"type":"message","role":"assistant","content":"Hi."},
        {"type":"reasoning","id":"rs_2","summary":[],"encrypted_content":"gAAA=="},
        {"type":"message","role":"assistant","content":"Still here."},
        {"role":"user","content":"Bye"}]});
    let target = TargetShape::new(Dialect::Responses, "m");
    let outbound = send(&body, &target).unwrap();
    let written: Value = serde_json::from_slice(&outbound.body).unwrap();
    let kinds: Vec<&str> =
        written["input"].as_array().unwrap().iter().filter_map(|item| item["type"].as_str()).collect();
    assert_eq!(kinds, ["message", "reasoning", "message"]);
    assert_eq!(outbound.dropped, ["input[].encrypted_content"]);
    // Its maker gets it back, and nothing of the other one's.
    let (anthropic, _) = sent(&body, Dialect::Anthropic);
    assert_eq!(anthropic["messages"][1]["content"][0], json!({"type":"redacted_thinking","data":"EqQB"}));
    assert!(!anthropic.to_string().contains("gAAA"));
}

#[test]
fn an_image_in_the_result_of_a_tool_is_shown() {
    let body = json!({"model":"m","input":[
        {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
        {"type":"function_call_output","call_id":"c","output":[{"type":"input_image","image_url":"data:image/png;base64,AA=="}]}]});
    let request = read(&body);
    let PartBody::ToolResult { content, .. } = &request.messages[1].parts[0].body else { panic!() };
    assert!(matches!(content[0].body, PartBody::Image { .. }));
}

#[test]
fn what_is_malformed_is_refused_by_its_place() {
    for (body, place) in [
        (json!({"model":"m","input":7}), "input"),
        (json!({"model":"m","input":[7]}), "input[0]"),
        (json!({"model":"m","input":[{"role":"robot","content":""}]}), "input[0].role"),
        (json!({"model":"m","input":[{"type":"function_call","name":"f"}]}), "input[0].call_id"),
        (
            json!({"model":"m","input":[{"role":"user","content":[{"type":"input_text"}]}]}),
            "input[0].content[0].text",
        ),
        (json!({"model":"m","text":{"format":{"type":"json_schema"}}}), "text.format.schema"),
        (json!({"model":"m","tools":[{"name":"f"}]}), "tools[0].type"),
        (json!({"model":"m","temperature":"hot"}), "temperature"),
    ] {
        let fault = decode(body.to_string().as_bytes()).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some(place), "{fault}");
    }
}

#[test]
fn a_choice_among_some_tools_leaves_the_others_out_elsewhere() {
    let tool =
        |name: &str| json!({"type":"function","name":name,"parameters":{"type":"object"},"strict":false});
    let body = json!({"model":"m","input":"Hello","tools":[tool("f"), tool("g"), {"type":"web_search"}],
        "tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"g"}]}});
    let (chat, dropped) = sent(&body, Dialect::OpenAi);
    assert_eq!(chat["tools"].as_array().unwrap().len(), 1);
    assert_eq!(chat["tools"][0]["function"]["name"], "g");
    assert_eq!(chat["tool_choice"], "required");
    assert!(dropped.is_empty());
    let body = json!({"model":"m","input":"Hello","tools":[tool("f"), {"type":"mcp"}],
        "tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"mcp","server_label":"s"}]}});
    let fault = send(&body, &TargetShape::new(Dialect::OpenAi, "other")).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("tool_choice"));
}

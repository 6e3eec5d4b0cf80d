//! Conversations with tools, as each provider must get them.

use bytes::Bytes;
use frontdoor_dialect::{
    Dialect::{self, Anthropic, Bedrock, Cohere, Gemini, OpenAi, Responses},
    OnUnsupported, TargetShape, encode_call, relay_answer,
};
use serde_json::{Value, json};

use crate::{bent, call, model, others, outbound, records, refused, sent, streamed};

fn tool_call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

fn result(id: &str, content: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": content})
}

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}})
}

fn chat(messages: &Value) -> Value {
    json!({"messages": messages, "tools": [tool("f"), tool("g")]})
}

/// Two calls whose results come the other way round, with a word of the user behind them.
fn crossed() -> Value {
    chat(&json!([
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "tool_calls": [tool_call("a", "f", "{\"x\":1}"), tool_call("b", "g", "")]},
        result("b", "second"), result("a", "first"),
        {"role": "user", "content": "and?"},
    ]))
}

/// The ids and texts of the results in what is sent, in order, and the ids of the calls.
fn pairs(to: Dialect, body: &Value) -> (Vec<String>, Vec<(String, String)>) {
    let (mut calls, mut results) = (Vec::new(), Vec::new());
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let empty = Vec::new();
    let turns = ["messages", "contents", "input"].iter().find_map(|name| body[name].as_array()).unwrap();
    for turn in turns {
        match to {
            OpenAi | Cohere => {
                calls.extend(
                    turn["tool_calls"].as_array().unwrap_or(&empty).iter().map(|call| word(&call["id"])),
                );
                if turn["role"] == "tool" {
                    let text = turn["content"]
                        .as_str()
                        .map_or_else(|| word(&turn["content"][0]["text"]), str::to_owned);
                    results.push((word(&turn["tool_call_id"]), text));
                }
            }
            Responses => match turn["type"].as_str() {
                Some("function_call") => calls.push(word(&turn["call_id"])),
                Some("function_call_output") => results.push((word(&turn["call_id"]), word(&turn["output"]))),
                _ => {}
            },
            Anthropic => {
                for block in turn["content"].as_array().unwrap_or(&empty) {
                    match block["type"].as_str() {
                        Some("tool_use") => calls.push(word(&block["id"])),
                        Some("tool_result") => {
                            results.push((word(&block["tool_use_id"]), word(&block["content"])));
                        }
                        _ => {}
                    }
                }
            }
            Bedrock => {
                for block in turn["content"].as_array().unwrap() {
                    if let Some(call) = block.get("toolUse") {
                        assert!(call["input"].is_object());
                        calls.push(word(&call["toolUseId"]));
                    }
                    if let Some(result) = block.get("toolResult") {
                        results.push((word(&result["toolUseId"]), word(&result["content"][0]["text"])));
                    }
                }
            }
            Gemini => {
                for part in turn["parts"].as_array().unwrap() {
                    if let Some(call) = part.get("functionCall") {
                        assert!(call["args"].is_object());
                        calls.push(word(&call["id"]));
                    }
                    if let Some(result) = part.get("functionResponse") {
                        results.push((word(&result["id"]), word(&result["response"]["output"])));
                    }
                }
            }
        }
    }
    (calls, results)
}

#[test]
fn results_that_come_in_another_order_stay_with_their_calls_at_every_provider() {
    for to in others(OpenAi) {
        let (calls, mut results) = pairs(to, &sent(OpenAi, &crossed(), to));
        assert_eq!(calls, ["a", "b"], "{to}");
        if to == Gemini {
            // Results go by place there.
            assert_eq!(results.first().unwrap().0, "a");
        }
        results.sort();
        assert_eq!(
            results,
            [("a".to_owned(), "first".to_owned()), ("b".to_owned(), "second".to_owned())],
            "{to}"
        );
    }
}

#[test]
fn all_results_of_a_round_stand_first_in_one_turn_of_the_user() {
    let body = sent(OpenAi, &crossed(), Anthropic);
    let turns = body["messages"].as_array().unwrap();
    assert_eq!(turns.len(), 3, "{body}");
    let kinds: Vec<_> =
        turns[2]["content"].as_array().unwrap().iter().map(|block| block["type"].clone()).collect();
    assert_eq!(kinds, ["tool_result", "tool_result", "text"]);
    let body = sent(OpenAi, &crossed(), Bedrock);
    assert_eq!(body["messages"].as_array().unwrap().len(), 3, "{body}");
    assert!(body["messages"][2]["content"][0].get("toolResult").is_some());
}

#[test]
fn a_round_of_results_stands_alone_at_gemini_and_nothing_is_empty() {
    let body = sent(OpenAi, &crossed(), Gemini);
    let contents = body["contents"].as_array().unwrap();
    for content in contents {
        let parts = content["parts"].as_array().unwrap();
        assert!(!parts.is_empty());
        let results = parts.iter().filter(|part| part.get("functionResponse").is_some()).count();
        assert!(results == 0 || results == parts.len(), "{body}");
    }
}

#[test]
fn a_call_without_arguments_has_an_empty_object_at_every_provider() {
    let body = sent(OpenAi, &crossed(), Anthropic);
    assert_eq!(body["messages"][1]["content"][1]["input"], json!({}));
    let body = sent(OpenAi, &crossed(), Responses);
    let items = body["input"].as_array().unwrap();
    let call = items.iter().find(|item| item["call_id"] == "b" && item["type"] == "function_call").unwrap();
    assert_eq!(call["arguments"], "{}");
    let body = sent(OpenAi, &crossed(), Cohere);
    assert_eq!(body["messages"][1]["tool_calls"][1]["function"]["arguments"], "{}");
}

#[test]
fn empty_turns_of_the_assistant_are_left_out_and_the_turns_still_alternate() {
    for content in [json!(""), json!(null), json!([]), json!([{"type": "text", "text": ""}])] {
        let body = json!({"messages": [
            {"role": "user", "content": "one"}, {"role": "assistant", "content": content},
            {"role": "user", "content": "two"}]});
        for to in [Anthropic, Gemini, Bedrock, Cohere] {
            let body = sent(OpenAi, &body, to);
            let turns = body.get("messages").or_else(|| body.get("contents")).unwrap().as_array().unwrap();
            let roles: Vec<_> = turns.iter().map(|turn| turn["role"].as_str().unwrap()).collect();
            assert!(!roles.contains(&"assistant") && !roles.contains(&"model"), "{to}: {body}");
            if to != Cohere {
                assert_eq!(roles, ["user"], "{to}: {body}");
            }
        }
    }
}

#[test]
fn images_in_results_of_tools_are_shown_by_every_provider_that_sees_images() {
    let image =
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}});
    let body = json!({"max_tokens": 9, "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}},
                {"type": "tool_use", "id": "b", "name": "f", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "see"}, image]},
                {"type": "tool_result", "tool_use_id": "b", "content": [image], "is_error": true}]}]});
    for to in [OpenAi, Responses, Gemini, Bedrock] {
        let body = sent(Anthropic, &body, to);
        assert_eq!(body.to_string().matches("AAAA").count(), 2, "{to}: {body}");
        let (calls, results) = pairs(to, &body);
        assert_eq!(calls, ["a", "b"], "{to}");
        assert_eq!(results.len(), 2, "{to}");
        if to == OpenAi {
            // Nothing may stand between the results of a round.
            let roles: Vec<_> =
                body["messages"].as_array().unwrap().iter().map(|turn| turn["role"].clone()).collect();
            assert_eq!(roles, ["user", "assistant", "tool", "tool", "user"], "{body}");
        }
    }
    assert!(refused(Anthropic, &body, Cohere).param.unwrap().starts_with("messages[2]"));
}

#[test]
fn system_prompts_stay_system_prompts_wherever_they_stand() {
    let body = json!({"messages": [
        {"role": "developer", "content": "D"}, {"role": "system", "content": "S"}, {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"}, {"role": "system", "content": "M"}, {"role": "user", "content": "z"}]});
    for to in others(OpenAi) {
        let body = sent(OpenAi, &body, to);
        let text = match to {
            Anthropic | Bedrock => body["system"].to_string(),
            Gemini => body["systemInstruction"].to_string(),
            _ => {
                let turns = body.get("messages").or_else(|| body.get("input")).unwrap().as_array().unwrap();
                let is_system = |turn: &&Value| turn["role"] == "system" || turn["role"] == "developer";
                let said: String = turns.iter().filter(is_system).map(Value::to_string).collect();
                format!("{}{said}", body["instructions"])
            }
        };
        for word in ["D", "S", "M"] {
            assert!(text.contains(&format!("\"{word}\"")), "{to}: {word} in {body}");
        }
    }
    // Whoever moves one says so.
    for to in [Anthropic, Gemini, Bedrock] {
        let (_, written) = bent(OpenAi, &body, to);
        assert!(
            written.defaulted.iter().any(|(place, _)| place.starts_with("messages[4]")),
            "{to}: {written:?}"
        );
    }
}

#[test]
fn a_system_prompt_between_anthropics_turns_reaches_everybody() {
    let body = json!({"max_tokens": 9, "system": "S", "messages": [
        {"role": "user", "content": "q"}, {"role": "system", "content": "M"}, {"role": "user", "content": "z"}]});
    for to in others(Anthropic) {
        let body = sent(Anthropic, &body, to).to_string();
        assert!(body.contains("\"S\"") && body.contains("\"M\""), "{to}: {body}");
    }
}

#[test]
fn arguments_that_are_no_object_are_refused_by_place_where_an_object_is_needed() {
    for broken in ["{\"a\":", "[1]", "null", "\"x\"", "{\"a\":1} x"] {
        let body = chat(&json!([{"role": "user", "content": "q"},
            {"role": "assistant", "tool_calls": [tool_call("a", "f", broken)]}, result("a", "r")]));
        for to in [Anthropic, Gemini, Bedrock] {
            let fault = refused(OpenAi, &body, to);
            assert!(fault.param.unwrap().starts_with("messages[1]"), "{to}: {broken}");
        }
        // Elsewhere they are text, and the model sees what it wrote.
        for to in [Responses, Cohere] {
            let quoted = Value::from(broken).to_string();
            assert!(sent(OpenAi, &body, to).to_string().contains(&quoted), "{to}: {broken}");
        }
    }
}

#[test]
fn ids_of_any_length_and_letters_fit_every_provider_and_stay_pairs() {
    let long = "x".repeat(100);
    let odd = "call:é/ü.7|9 ";
    let body = chat(&json!([{"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": [tool_call(&long, "f", "{}"), tool_call(odd, "g", "{}"),
            tool_call(&format!("{long}y"), "f", "{}")]},
        result(&long, "1"), result(odd, "2"), result(&format!("{long}y"), "3")]));
    for to in others(OpenAi) {
        let (calls, results) = pairs(to, &sent(OpenAi, &body, to));
        let named: Vec<_> = results.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(calls, named, "{to}");
        assert_eq!(calls.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{to}: {calls:?}");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if to != Gemini {
            assert!(calls.iter().all(|id| id.len() <= 64 && id.chars().all(is_plain)), "{to}: {calls:?}");
        }
    }
    // OpenAI's chat takes ids of 40 letters.
    let body = json!({"max_tokens": 9, "messages": [{"role": "user", "content": "q"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": long, "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": long, "content": "r"}]}]});
    let (calls, results) = pairs(OpenAi, &sent(Anthropic, &body, OpenAi));
    assert_eq!(calls[0], results[0].0);
    assert!(calls[0].len() <= 40, "{calls:?}");
}

#[test]
fn ids_that_begin_anew_with_every_answer_stay_apart() {
    let body = chat(&json!([{"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": [tool_call("call_0", "f", "{}")]}, result("call_0", "1"),
        {"role": "assistant", "tool_calls": [tool_call("call_0", "g", "{}")]}, result("call_0", "2")]));
    for to in others(OpenAi) {
        let body = sent(OpenAi, &body, to);
        let (calls, results) = pairs(to, &body);
        let named: Vec<_> = results.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(calls, named, "{to}");
        assert_eq!(results.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["1", "2"], "{to}");
        if to == Gemini {
            let name = |turn: usize| &body["contents"][turn]["parts"][0]["functionResponse"]["name"];
            assert_eq!((name(2), name(4)), (&json!("f"), &json!("g")), "{body}");
        } else {
            assert_ne!(calls[0], calls[1], "{to}");
        }
    }
}

#[test]
fn names_that_a_provider_does_not_take_are_bent_or_refused_before_sending() {
    let long = "n".repeat(100);
    let body = |name: &str| {
        json!({"contents": [{"role": "user", "parts": [{"text": "q"}]}],
        "tools": [{"functionDeclarations": [{"name": name, "description": "d"}]}]})
    };
    for name in ["a.b", "a:b", long.as_str()] {
        for to in others(Gemini) {
            let most = if to == Anthropic { 128 } else { 64 };
            let takes = |name: &str| {
                name.len() <= most
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
            };
            match outbound(&call(Gemini, false, &body(name)), to, OnUnsupported::Refuse) {
                Err(fault) => assert!(fault.param.unwrap().starts_with("tools[0]"), "{to}: {name}"),
                Ok(written) => {
                    let written: Value = serde_json::from_slice(&written.body).unwrap();
                    let tool = &written["tools"][0];
                    let sent = tool["name"].as_str().or(tool["function"]["name"].as_str());
                    let sent =
                        sent.or(written["toolConfig"]["tools"][0]["toolSpec"]["name"].as_str()).unwrap();
                    assert!(to == Cohere || takes(sent), "{to}: {sent}");
                }
            }
        }
    }
}

#[test]
fn nobody_is_sent_tools_it_must_not_use() {
    let body =
        json!({"messages": [{"role": "user", "content": "q"}], "tools": [tool("f")], "tool_choice": "none"});
    assert_eq!(sent(OpenAi, &body, Anthropic)["tool_choice"]["type"], "none");
    assert_eq!(sent(OpenAi, &body, Gemini)["toolConfig"]["functionCallingConfig"]["mode"], "NONE");
    assert_eq!(sent(OpenAi, &body, Responses)["tool_choice"], "none");
    assert_eq!(sent(OpenAi, &body, Cohere)["tool_choice"], "NONE");
    assert_eq!(sent(OpenAi, &body, Bedrock).get("toolConfig"), None);
}

#[test]
fn a_round_trip_of_results_between_all_pairs_loses_nothing() {
    // By way of each dialect, as its caller would write it.
    for by in others(OpenAi) {
        let first = sent(OpenAi, &crossed(), by);
        for to in others(by) {
            let (calls, mut results) = pairs(to, &sent(by, &first, to));
            assert_eq!(calls, ["a", "b"], "{by} to {to}");
            results.sort();
            let texts: Vec<_> = results.iter().map(|(id, text)| (id.as_str(), text.as_str())).collect();
            assert_eq!(texts, [("a", "first"), ("b", "second")], "{by} to {to}");
        }
    }
}

/// A Gemini call with these tools, the first of which was called before and must be called now.
fn tooled(names: &[&str], stream: bool) -> frontdoor_dialect::Call {
    let declared: Vec<_> = names.iter().map(|name| json!({"name": name, "description": "d"})).collect();
    let body = json!({"tools": [{"functionDeclarations": declared}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [names[0]]}},
        "contents": [{"role": "user", "parts": [{"text": "q"}]},
            {"role": "model", "parts": [{"functionCall": {"name": names[0], "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": names[0], "response": {"output": "r"}}}]}]});
    call(Gemini, stream, &body)
}

/// The names of the tools offered, called before and chosen.
fn named(to: Dialect, body: &Value) -> (Vec<String>, String, Value) {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let tools = body["tools"].as_array().unwrap();
    let (offered, called, chosen) = match to {
        OpenAi => (
            tools.iter().map(|tool| word(&tool["function"]["name"])).collect(),
            &body["messages"][1]["tool_calls"][0]["function"]["name"],
            &body["tool_choice"]["function"]["name"],
        ),
        Responses => (
            tools.iter().map(|tool| word(&tool["name"])).collect(),
            &body["input"][1]["name"],
            &body["tool_choice"]["name"],
        ),
        _ => (
            tools.iter().map(|tool| word(&tool["name"])).collect(),
            &body["messages"][1]["content"][0]["name"],
            &body["tool_choice"]["name"],
        ),
    };
    (offered, word(called), chosen.clone())
}

#[test]
fn names_that_a_provider_does_not_take_are_bent_everywhere_alike_and_come_back() {
    let long = "n".repeat(100);
    let own = ["a.b", "a:b", "a_b", &long];
    for to in [OpenAi, Responses, Anthropic] {
        let (most, quiet) = (if to == Anthropic { 128 } else { 64 }, tooled(&own, false));
        let shape = TargetShape { max_output_tokens: Some(9), ..TargetShape::new(to, model(to)) };
        let body: Value = serde_json::from_slice(&encode_call(&quiet, &shape).unwrap().body).unwrap();
        let (offered, called, chosen) = named(to, &body);
        assert!(offered.iter().all(|name| {
            name.len() <= most && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        }));
        assert_eq!(offered.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{to}: {offered:?}");
        assert_eq!(offered[2], "a_b", "{to}: what fits keeps its name");
        assert_eq!((&called, &chosen), (&offered[0], &json!(offered[0])), "{to}");
        for (sent, own) in offered.iter().zip(own) {
            let answer = calling(to, sent);
            let (body, _) = relay_answer(&quiet, to, Bytes::from(answer.to_string())).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["candidates"][0]["content"]["parts"][0]["functionCall"]["name"], own, "{to}");
        }
        if to == OpenAi {
            let chunk = |delta: Value, end: Value| json!({"id": "i", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": end}]});
            let told = [
                chunk(json!({"tool_calls": [tool_call("c", &offered[3], "{}")]}), Value::Null),
                chunk(json!({}), json!("tool_calls")),
            ];
            let (out, _, fault) = streamed(&tooled(&own, true), to, &records(to, &told), 20);
            assert_eq!(fault, None);
            assert!(String::from_utf8(out).unwrap().contains(&long));
        }
    }
}

/// An answer that calls a tool.
fn calling(provider: Dialect, name: &str) -> Value {
    match provider {
        OpenAi => json!({"id": "i", "model": "m", "choices": [{"index": 0, "finish_reason": "tool_calls",
            "message": {"role": "assistant", "tool_calls": [tool_call("c", name, "{}")]}}]}),
        Responses => json!({"id": "i", "object": "response", "model": "m", "status": "completed", "output": [
            {"type": "function_call", "id": "fc_1", "call_id": "c", "name": name, "arguments": "{}", "status": "completed"}]}),
        _ => {
            json!({"id": "i", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
            "content": [{"type": "tool_use", "id": "c", "name": name, "input": {}}]})
        }
    }
}

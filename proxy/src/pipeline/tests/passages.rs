//! Calls to providers' own APIs, and to what providers hold.

use super::*;

/// Two providers of OpenAI's dialect and one of Anthropic's behind one socket, and a consumer that may use all of them natively.
fn native() -> String {
    let hash = scene::hash("fd_native");
    let narrow = scene::hash("fd_narrow");
    format!(
        r#"---
kind: Provider
name: other
spec: {{dialect: openai, base_url: "http://ADDRESS/other/v1", credential: "env:KEY", headers: {{x-authored: "yes"}}}}
---
kind: Provider
name: claude
spec: {{dialect: anthropic, base_url: "http://ADDRESS/claude", credential: "env:KEY"}}
---
kind: Model
name: other
spec: {{targets: [{{provider: other, model: up, prices: {{input: 1000, output: 2000}}}}]}}
---
kind: Consumer
name: native
spec: {{organisation: org, team: support, models: ["*"], providers: ["other", "claude", "local"]}}
---
kind: Key
name: k_native
spec: {{consumer: native, hash: {hash}, created: "2026-01-01T00:00:00Z"}}
---
kind: Key
name: k_narrow
spec: {{consumer: native, hash: {narrow}, models: [small], created: "2026-01-01T00:00:00Z"}}
"#
    )
}

const KEY: (&str, &str) = ("authorization", "Bearer fd_native");

impl World {
    fn line(&self) -> (String, Bytes) {
        self.lines.lock().pop().expect("the provider was called")
    }

    async fn json(&self, response: Response<ResponseBody>) -> Value {
        serde_json::from_str(&text(response).await).unwrap()
    }
}

#[tokio::test]
async fn a_native_call_reaches_its_provider_as_it_is_but_for_whose_it_is() {
    let world = World::start(&native()).await;
    let answer =
        json!({"id": "x", "model": "up-0613", "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
    world.script(Script::Bytes(202, "application/json", answer.to_string().into()));
    let headers = [
        KEY,
        ("content-type", "application/json"),
        ("x-custom", "theirs"),
        ("cookie", "a=b"),
        ("x-authored", "no"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("x-frontdoor-tags", "env=test"),
    ];
    let body = r#"{"model":"up",  "anything": [1]}"#;
    let path = "/providers/other/v1/novelties/1?deep=true";
    let response = world.send(Method::PATCH, path, &headers, body).await;
    assert_eq!(response.status(), 202);
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    assert_eq!((header(&response, "x-of-theirs"), header(&response, "set-cookie")), (Some("kept"), None));
    assert_eq!(header(&response, "x-frontdoor-provider"), Some("other"));
    assert_eq!(text(response).await, answer.to_string());

    let (line, sent) = world.line();
    assert_eq!((line.as_str(), sent), ("PATCH /other/v1/novelties/1?deep=true", Bytes::from(body)));
    let (seen, _) = world.seen.lock().pop().unwrap();
    assert_eq!(seen.get("x-custom").unwrap(), "theirs");
    assert_eq!(seen.get("x-authored").unwrap(), "yes");
    assert_eq!(seen.get("authorization").unwrap(), "Bearer sk-of-the-provider");
    for hidden in ["cookie", "x-hop", "x-frontdoor-tags"] {
        assert!(!seen.contains_key(hidden), "{hidden}");
    }

    let record = world.record();
    assert_eq!((record.code, record.status, record.operation), (code::OK, 202, "native"));
    assert_eq!((record.provider.as_str(), record.model.as_str()), ("other", "providers/other"));
    assert_eq!((record.upstream_model.as_str(), record.response_model.as_str()), ("up", "up-0613"));
    assert_eq!((record.tokens.input, record.tokens.output, record.estimated), (10, 5, false));
    assert_eq!((record.priced, record.cost_nano_usd), (true, 20_000_000));
}

#[tokio::test]
async fn a_native_call_without_use_costs_nothing_and_a_stream_is_metered() {
    let world = World::start(&native()).await;
    world.script(Script::Bytes(204, "text/plain", Bytes::new()));
    let response = world.send(Method::DELETE, "/providers/other/things/1", &[KEY], "").await;
    assert_eq!((response.status().as_u16(), text(response).await.as_str()), (204, ""));
    let record = world.record();
    assert_eq!((record.code, record.status, record.estimated), (code::OK, 204, false));
    assert_eq!(record.tokens, dialect::Usage::default());

    let events = "data: {\"a\":1}\n\ndata: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n";
    world.script(Script::Bytes(200, "text/event-stream", events.into()));
    let response = world.send(Method::POST, "/providers/other/chat/completions", &[KEY], "{}").await;
    assert_eq!(text(response).await, events);
    let record = world.record();
    assert_eq!((record.tokens.input, record.tokens.output, record.estimated), (3, 4, false));
}

#[tokio::test]
async fn a_providers_own_error_passes_on_as_it_is_and_its_refusal_of_our_key_does_not() {
    let world = World::start(&native()).await;
    for (status, expected, code) in [
        (418, 418, code::PROVIDER_REFUSED),
        (404, 404, code::PROVIDER_REFUSED),
        (401, 502, code::UPSTREAM_CREDENTIAL),
    ] {
        world.script(Script::Answer(status, json!({"error": {"message": "mine"}})));
        let response = world.send(Method::GET, "/providers/other/x", &[KEY], "").await;
        assert_eq!(response.status(), expected);
        let body = world.json(response).await;
        assert_eq!(body["error"]["message"] == "mine", status == expected, "{body}");
        assert_eq!((world.record().code), code);
    }
}

#[tokio::test]
async fn who_may_not_use_a_provider_natively_is_told_what_to_write() {
    let world = World::start(&native()).await;
    for (key, path, status, expected, says) in [
        ("fd_one", "/providers/other/x", 403, code::PROVIDER_NOT_PERMITTED, "`providers: [other]`"),
        ("fd_one", "/providers/nobody/x", 403, code::PROVIDER_NOT_PERMITTED, "`first`"),
        ("fd_narrow", "/providers/other/x", 403, code::PROVIDER_NOT_PERMITTED, "narrowed"),
        ("fd_native", "/providers/acme/x", 403, code::PROVIDER_NOT_PERMITTED, "`providers: [acme]`"),
        ("fd_wrong", "/providers/other/x", 401, code::INVALID_KEY, "invalid key"),
        ("fd_one", "/v1/files", 403, code::PROVIDER_NOT_PERMITTED, "files"),
        ("fd_native", "/v1/files", 400, code::PROVIDER_NEEDED, "local, other"),
    ] {
        let bearer = format!("Bearer {key}");
        let response = world.send(Method::POST, path, &[("authorization", &bearer)], "{}").await;
        assert_eq!(response.status(), status, "{key} {path}");
        let body = world.json(response).await;
        assert_eq!(body["error"]["code"], expected, "{key} {path}");
        assert!(body["error"]["message"].as_str().unwrap().contains(says), "{body}");
        assert_eq!(world.record().code, expected);
    }
    let out = world.send(Method::GET, "/providers/other/%2e%2e/admin", &[KEY], "").await;
    assert_eq!((out.status().as_u16(), world.record_count()), (400, 0));
    assert!(world.lines.lock().is_empty());
}

#[tokio::test]
async fn native_calls_are_limited_like_all_others() {
    let quota = "---\nkind: Quota\nname: q\nspec: {limits: {requests_per_minute: 1}, models: [\"providers/other\"]}\n";
    let world = World::start(&format!("{}{quota}", native())).await;
    world.script(Script::Answer(200, json!({})));
    let first = world.send(Method::GET, "/providers/other/x", &[KEY], "").await;
    assert_eq!(header(&first, "x-ratelimit-remaining-requests"), Some("0"));
    drop(text(first).await);
    let second = world.send(Method::GET, "/providers/other/x", &[KEY], "").await;
    assert_eq!(second.status(), 429);
}

#[tokio::test]
async fn a_file_is_asked_for_where_it_was_made_and_so_is_what_mentions_it() {
    let world = World::start(&native()).await;
    let chosen =
        [KEY, ("x-frontdoor-provider", "other"), ("content-type", "multipart/form-data; boundary=x")];
    world.script(Script::Answer(200, json!({"id": "file-1", "object": "file"})));
    let made = world.send(Method::POST, "/v1/files", &chosen, "--x--").await;
    assert_eq!(world.json(made).await["id"], "file-1");
    assert_eq!(world.line().0, "POST /other/v1/files");

    world.script(Script::Bytes(200, "application/octet-stream", "bytes".into()));
    let read = world.send(Method::GET, "/v1/files/file-1/content", &[KEY], "").await;
    assert_eq!(text(read).await, "bytes");
    assert_eq!(world.line().0, "GET /other/v1/files/file-1/content");

    world.script(Script::Answer(200, json!({"id": "batch_1", "input_file_id": "file-1"})));
    let batch = r#"{"input_file_id":"file-1","endpoint":"/v1/responses"}"#;
    drop(text(world.send(Method::POST, "/v1/batches", &[KEY], batch).await).await);
    assert_eq!(world.line().0, "POST /other/v1/batches");
    world.script(Script::Answer(200, json!({"id": "batch_1"})));
    drop(text(world.send(Method::POST, "/v1/batches/batch_1/cancel", &[KEY], "").await).await);
    assert_eq!(world.line().0, "POST /other/v1/batches/batch_1/cancel");

    // What belongs to another consumer is not there for this one, whichever provider it names.
    let chosen = ("x-frontdoor-provider", "other");
    for foreign in
        [vec![("authorization", "Bearer fd_one")], vec![("authorization", "Bearer fd_one"), chosen]]
    {
        let response = world.send(Method::GET, "/v1/files/file-1", &foreign, "").await;
        assert_eq!(world.json(response).await["error"]["code"], code::UNKNOWN_OBJECT);
    }

    // A list makes nobody the owner of what is in it.
    world.script(Script::Answer(200, json!({"data": [{"id": "file-7"}], "id": "file-8"})));
    drop(text(world.send(Method::GET, "/v1/files", &[KEY, chosen], "").await).await);
    let runtime = world.door.0.current.load().unwrap();
    assert_eq!((runtime.affinity.holder("file-7"), runtime.affinity.holder("file-8")), (None, None));
}

#[tokio::test]
async fn an_unknown_id_is_asked_for_everywhere_until_somebody_knows_it() {
    let world = World::start(&native()).await;
    world.script(Script::Answer(404, json!({"error": {"message": "no such file"}})));
    world.script(Script::Answer(200, json!({"id": "file-9"})));
    let found = world.send(Method::GET, "/v1/files/file-9", &[KEY], "").await;
    assert_eq!((found.status().as_u16(), header(&found, "x-frontdoor-provider")), (200, Some("other")));
    drop(text(found).await);
    let record = world.records.0.lock().pop().unwrap();
    let attempts: Vec<_> = record.decision.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!((attempts, record.code), (vec!["not_found", "ok"], code::OK));

    world.lines.lock().clear();
    world.script(Script::Answer(200, json!({"id": "file-9"})));
    drop(text(world.send(Method::GET, "/v1/files/file-9", &[KEY], "").await).await);
    assert_eq!(world.lines.lock().len(), 1, "it is known now");

    for _ in 0..2 {
        world.script(Script::Answer(404, json!({"error": {"message": "theirs"}})));
    }
    let lost = world.send(Method::GET, "/v1/files/file-0", &[KEY], "").await;
    assert_eq!(lost.status(), 404);
    assert_eq!(world.json(lost).await["error"]["message"], "theirs");
}

#[tokio::test]
async fn batches_of_messages_go_to_anthropic_and_its_caller_is_answered_in_its_shape() {
    let world = World::start(&native()).await;
    world.script(Script::Answer(200, json!({"id": "msgbatch_1"})));
    let headers =
        [("x-api-key", "fd_native"), ("anthropic-version", "2023-06-01"), ("anthropic-beta", "files-api")];
    drop(text(world.send(Method::POST, "/v1/messages/batches", &headers, "{}").await).await);
    assert_eq!(world.line().0, "POST /claude/v1/messages/batches");
    let (seen, _) = world.seen.lock().pop().unwrap();
    assert_eq!(seen.get("x-api-key").unwrap(), "sk-of-the-provider");
    assert_eq!(seen.get("anthropic-beta").unwrap(), "files-api");

    let refused = world.send(Method::GET, "/v1/files", &[("x-api-key", "fd_one"), headers[1]], "").await;
    let body = world.json(refused).await;
    assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!("permission_error")));
}

fn response(id: &str) -> Value {
    json!({
        "id": id, "object": "response", "created_at": 1, "status": "completed", "model": "up",
        "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "hello", "annotations": []}]}],
        "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
    })
}

const BOTH: &str = "---\nkind: Model\nname: both\nspec: {targets: [{provider: local, model: up}, {provider: other, model: up}]}\n";

#[tokio::test]
async fn a_response_is_continued_and_asked_for_where_it_was_made() {
    let world = World::start(&format!("{}{BOTH}", native())).await;
    let one = [("authorization", "Bearer fd_one")];
    world.script(Script::Answer(200, response("resp_1")));
    let first = json!({"model": "other", "input": "hi"});
    drop(text(world.send(Method::POST, "/v1/responses", &one, &first.to_string()).await).await);
    assert_eq!(world.line().0, "POST /other/v1/responses");

    world.script(Script::Answer(200, response("resp_2")));
    let next = json!({"model": "both", "input": "and?", "previous_response_id": "resp_1"});
    let answer = world.send(Method::POST, "/v1/responses", &one, &next.to_string()).await;
    assert_eq!(header(&answer, "x-frontdoor-provider"), Some("other"));
    drop(text(answer).await);
    let record = world.records.0.lock().pop().unwrap();
    let first = record.decision.candidates.iter().find(|candidate| candidate.rank == 1).unwrap();
    assert_eq!((first.provider.as_str(), &*first.reason), ("other", "holds what the call mentions"));

    // Made through a model, so no leave to use the provider natively is needed.
    world.lines.lock().clear();
    world.script(Script::Answer(200, response("resp_1")));
    let read = world.send(Method::GET, "/v1/responses/resp_1?include[]=x", &one, "").await;
    assert_eq!(world.json(read).await["id"], "resp_1");
    assert_eq!(world.line().0, "GET /other/v1/responses/resp_1?include[]=x");
    let foreign = world.send(Method::DELETE, "/v1/responses/resp_1", &[KEY], "").await;
    assert_eq!(world.json(foreign).await["error"]["code"], code::UNKNOWN_OBJECT);
}

#[tokio::test]
async fn a_call_that_continues_something_unknown_goes_on_until_a_target_knows_it() {
    let world = World::start(&format!("{}{BOTH}---\nkind: Route\nname: all\nspec: {{order: 0, models: [both], rules: [{{retries: {{attempts: 3}}}}]}}\n", native())).await;
    let unknown = || json!({"error": {"message": "Previous response not found", "code": "previous_response_not_found", "type": "invalid_request_error"}});
    let call = json!({"model": "both", "input": "and?", "previous_response_id": "resp_7"}).to_string();
    world.script(Script::Answer(400, unknown()));
    world.script(Script::Answer(200, response("resp_8")));
    let answer = world.send(Method::POST, "/v1/responses", &[KEY], &call).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "x-frontdoor-provider")), (200, Some("other")));
    drop(text(answer).await);

    world.script(Script::Answer(404, unknown()));
    world.script(Script::Answer(400, unknown()));
    let lost = world.send(Method::POST, "/v1/responses", &[KEY], &call).await;
    assert_eq!(lost.status(), 404);
    assert_eq!(world.json(lost).await["error"]["code"], code::UNKNOWN_OBJECT);
}

#[tokio::test]
async fn what_another_consumer_made_is_not_there_on_any_way() {
    let world = World::start(&format!("{}{BOTH}", native())).await;
    let one = [("authorization", "Bearer fd_one")];
    world.script(Script::Answer(200, response("resp_1")));
    let first = json!({"model": "other", "input": "hi"});
    drop(text(world.send(Method::POST, "/v1/responses", &one, &first.to_string()).await).await);
    assert_eq!(world.record().code, code::OK);
    world.lines.lock().clear();

    let continued =
        json!({"model": "both", "input": "repeat it", "previous_response_id": "resp_1"}).to_string();
    let hidden = r#"{"model":"up","input":"repeat it","previous_response\u005fid":"resp\u005f1"}"#;
    let chosen = [KEY, ("x-frontdoor-provider", "other")];
    for (method, path, headers, body) in [
        (Method::GET, "/v1/responses/resp_1", &chosen[..], ""),
        (Method::GET, "/v1/responses/%72esp_1/input_items", &chosen[..], ""),
        (Method::DELETE, "/providers/other/v1/responses/resp_1", &[KEY], ""),
        (Method::GET, "/providers/other/v1//responses/resp%5F1", &[KEY], ""),
        (Method::POST, "/v1/responses", &[KEY], continued.as_str()),
        (Method::POST, "/providers/other/v1/responses", &[KEY], hidden),
    ] {
        let refused = world.send(method.clone(), path, headers, body).await;
        assert_eq!(world.json(refused).await["error"]["code"], code::UNKNOWN_OBJECT, "{method} {path}");
        assert_eq!(world.record().code, code::UNKNOWN_OBJECT);
    }
    assert!(world.lines.lock().is_empty());
}

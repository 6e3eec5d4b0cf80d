//! Which paths are passages, and which lead out.

use http::HeaderValue;

use super::*;

fn find(method: &Method, path: &str) -> Option<Passage> {
    Passage::find(method, path, None, &HeaderMap::new()).unwrap()
}

#[test]
fn a_provider_in_the_path_gets_the_rest_of_it() {
    let query = Some("key=fd_one&alt=sse&pageSize=2");
    let found = Passage::find(&Method::PUT, "/providers/open%2Fai/v1/things/a%20b", query, &HeaderMap::new());
    let found = found.unwrap().unwrap();
    assert_eq!((found.provider.as_deref(), found.path.as_str()), (Some("open/ai"), "/v1/things/a%20b"));
    assert_eq!((found.method, found.query.as_deref()), (Method::PUT, Some("alt=sse&pageSize=2")));
    for path in ["/providers", "/providers/", "/providers/x", "/providers/x/", "/providers//y"] {
        assert_eq!(find(&Method::GET, path), None, "{path}");
    }
}

#[test]
fn a_path_that_leads_out_is_refused_however_it_is_written() {
    for path in [
        "/providers/x/../y",
        "/providers/x/a/%2e%2e/b",
        "/providers/x/%2E%2e%2fadmin",
        "/providers/x/%252e%252e/b",
        "/providers/x/..;a/b",
        "/providers/x/..%5cb",
        "/providers/x/./b",
        "/providers/x/a%00",
        "/v1/files/..",
        "/v1/responses/%2e%2e%2ffiles",
        // What is no text is unwrapped by servers all the same.
        "/providers/x/%ff/%2e%2e/admin",
        "/v1/responses/%ff/%2e%2e/%2e%2e/files",
    ] {
        let found = Passage::find(&Method::GET, path, None, &HeaderMap::new());
        assert!(matches!(found, Err(Misdirected::Traversal(_))), "{path}: {found:?}");
    }
    assert!(find(&Method::GET, "/providers/x/a..b/c.d/...").is_some());
}

#[test]
fn whose_it_is_cannot_be_hidden_behind_another_spelling_of_its_id() {
    for path in [
        "/v1/responses/resp_1%2Finput_items",
        "/v1/responses/resp_1%3finclude=x",
        "/v1/responses/resp_1;a=b",
        "/v1/files//file-1",
        "/v1/files/file-1%20",
        "/v1/files/file-1%ff",
        "/v1/files/%2566ile-1",
        "/v1beta/files/abc%3Adownload",
        "/v1/files/file-1%",
    ] {
        let found = Passage::find(&Method::GET, path, None, &HeaderMap::new());
        assert!(matches!(found, Err(Misdirected::Traversal(_))), "{path}: {found:?}");
    }
    let same = find(&Method::GET, "/v1/files/%66ile-1").unwrap();
    assert_eq!(same.held.unwrap().id.as_deref(), Some("file-1"));
    let ids = find(&Method::GET, "/providers/x/v1beta//files/%61bc:download").unwrap().ids();
    for id in ["abc", "files/abc"] {
        assert!(ids.iter().any(|known| known == id), "{ids:?}");
    }
}

#[test]
fn methods_that_show_or_tunnel_what_is_sent_do_not_pass() {
    for method in [Method::TRACE, Method::CONNECT] {
        let found = Passage::find(&method, "/providers/x/y", None, &HeaderMap::new());
        assert!(matches!(found, Err(Misdirected::Method(..))), "{found:?}");
    }
}

#[test]
fn what_is_held_is_known_by_its_path_in_every_dialect() {
    let held = |kind, id: Option<&str>| Held { kind, id: id.map(str::to_owned) };
    for (path, dialect, expected, at) in [
        ("/v1/files", Dialect::OpenAi, held(HeldKind::Files, None), "/files"),
        (
            "/files/file-1/content",
            Dialect::OpenAi,
            held(HeldKind::Files, Some("file-1")),
            "/files/file-1/content",
        ),
        (
            "/openai/v1/batches/b1/cancel",
            Dialect::OpenAi,
            held(HeldKind::Batches, Some("b1")),
            "/batches/b1/cancel",
        ),
        (
            "/v1/responses/resp_1",
            Dialect::OpenAi,
            held(HeldKind::Responses, Some("resp_1")),
            "/responses/resp_1",
        ),
        ("/v1/conversations", Dialect::OpenAi, held(HeldKind::Conversations, None), "/conversations"),
        (
            "/v1/messages/batches/mb1/results",
            Dialect::Anthropic,
            held(HeldKind::Batches, Some("mb1")),
            "/messages/batches/mb1/results",
        ),
        (
            "/v1beta/files/abc:download",
            Dialect::Gemini,
            held(HeldKind::Files, Some("files/abc")),
            "/v1beta/files/abc:download",
        ),
        ("/upload/v1beta/files", Dialect::Gemini, held(HeldKind::Files, None), "/upload/v1beta/files"),
        (
            "/v1beta/batches/x",
            Dialect::Gemini,
            held(HeldKind::Batches, Some("batches/x")),
            "/v1beta/batches/x",
        ),
        (
            "/v1beta/cachedContents/c",
            Dialect::Gemini,
            held(HeldKind::Caches, Some("cachedContents/c")),
            "/v1beta/cachedContents/c",
        ),
    ] {
        let found = find(&Method::GET, path).unwrap_or_else(|| panic!("{path}"));
        assert_eq!((found.dialect, found.held, found.path.as_str()), (dialect, Some(expected), at), "{path}");
    }
    let mut headers = HeaderMap::new();
    headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    headers.insert(CHOICE, HeaderValue::from_static("claude"));
    let found = Passage::find(&Method::POST, "/v1/files", None, &headers).unwrap().unwrap();
    assert_eq!((found.dialect, found.provider.as_deref()), (Dialect::Anthropic, Some("claude")));
    let batch = find(&Method::POST, "/v1beta/models/gemini-x:batchGenerateContent").unwrap();
    assert_eq!((batch.dialect, batch.model().as_deref()), (Dialect::Gemini, Some("gemini-x")));
}

#[test]
fn calls_to_models_are_no_passages() {
    for path in [
        "/v1/responses",
        "/v1/responses/",
        "/v1/responses/input_tokens",
        "/v1/filesystem",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1beta/models/x:generateContent",
    ] {
        assert_eq!(find(&Method::POST, path), None, "{path}");
    }
}

#[test]
fn the_model_is_told_by_the_paths_that_have_it() {
    for (path, model) in [
        ("/providers/g/v1beta/models/gemini-x:generateContent", Some("gemini-x")),
        ("/providers/b/model/anthropic.claude%3A0/converse", Some("anthropic.claude:0")),
        ("/providers/a/openai/deployments/gpt/images/edits", Some("gpt")),
        ("/providers/a/v1/chat/completions", None),
    ] {
        assert_eq!(find(&Method::POST, path).unwrap().model().as_deref(), model, "{path}");
    }
}

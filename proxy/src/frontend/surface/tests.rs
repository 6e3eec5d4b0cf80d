//! Which path is for what.

use http::HeaderValue;

use super::*;

fn find(method: &Method, path: &str) -> Result<Surface, Misdirected> {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    Surface::find(method, path, query, &HeaderMap::new())
}

fn post(path: &str) -> Surface {
    find(&Method::POST, path).unwrap_or_else(|wrong| panic!("{path}: {wrong:?}"))
}

fn call(dialect: Dialect, operation: Operation) -> Surface {
    Surface::Call(Asked::from((dialect, operation)))
}

fn of_model(dialect: Dialect, operation: Operation, model: &str, stream: bool) -> Surface {
    let model = Some(model.to_owned());
    Surface::Call(Asked { model, stream, ..Asked::from((dialect, operation)) })
}

#[test]
fn every_path_is_found_with_and_without_its_version() {
    for prefix in ["", "/v1", "/openai/v1"] {
        for (path, dialect, operation) in [
            ("/chat/completions", Dialect::OpenAi, Operation::Chat),
            ("/responses", Dialect::Responses, Operation::Chat),
            ("/responses/input_tokens", Dialect::Responses, Operation::CountTokens),
            ("/embeddings", Dialect::OpenAi, Operation::Embeddings),
            ("/messages", Dialect::Anthropic, Operation::Chat),
            ("/messages/count_tokens", Dialect::Anthropic, Operation::CountTokens),
            ("/rerank", Dialect::OpenAi, Operation::Rerank),
            ("/images/generations", Dialect::OpenAi, Operation::ImageGeneration),
            ("/images/edits", Dialect::OpenAi, Operation::ImageEdit),
            ("/audio/transcriptions", Dialect::OpenAi, Operation::Transcription),
            ("/audio/translations", Dialect::OpenAi, Operation::AudioTranslation),
            ("/audio/speech", Dialect::OpenAi, Operation::Speech),
            ("/moderations", Dialect::OpenAi, Operation::Moderation),
        ] {
            assert_eq!(post(&format!("{prefix}{path}")), call(dialect, operation), "{prefix}{path}");
        }
        let get = |path: &str| find(&Method::GET, &format!("{prefix}{path}")).unwrap();
        assert_eq!(get("/models"), Surface::Models(Dialect::OpenAi));
        let named = |name: &str| Surface::Model(Dialect::OpenAi, name.to_owned());
        assert_eq!(get("/models/openai/gpt-x"), named("openai/gpt-x"));
        assert_eq!(get("/models/openai%2Fgpt-x"), named("openai/gpt-x"));
        assert_eq!(get("/models/100%"), named("100%"));
        assert_eq!(get("/models/%ff"), named("%ff"));
    }
    assert_eq!(post("/v2/rerank"), call(Dialect::Cohere, Operation::Rerank));
    assert_eq!(post("/v2/chat"), call(Dialect::Cohere, Operation::Chat));
    assert_eq!(post("/v2/embed"), call(Dialect::Cohere, Operation::Embeddings));
}

#[test]
fn geminis_paths_name_the_model_and_what_is_asked_of_it() {
    use Operation::{Chat, CountTokens, Embeddings};
    for prefix in ["/v1beta", "/v1", "", "/v1beta1/projects/p/locations/l/publishers/google"] {
        for (rest, operation, model, stream) in [
            ("gemini-x:generateContent", Chat, "gemini-x", false),
            ("google/gemini-x:generateContent", Chat, "google/gemini-x", false),
            ("google%2Fgemini-x%3Aone:generateContent?key=k", Chat, "google/gemini-x:one", false),
            ("gemini-x%3AgenerateContent", Chat, "gemini-x", false),
            ("gemini-x:streamGenerateContent?alt=sse", Chat, "gemini-x", true),
            ("gemini-x:countTokens", CountTokens, "gemini-x", false),
            ("embed:embedContent", Embeddings, "embed", false),
            ("embed:batchEmbedContents", Embeddings, "embed", false),
        ] {
            let path = format!("{prefix}/models/{rest}");
            assert_eq!(post(&path), of_model(Dialect::Gemini, operation, model, stream), "{path}");
        }
    }
    assert_eq!(find(&Method::POST, "/v1beta/models/x:streamGenerateContent"), Err(Misdirected::NoEvents));
    let wrong = find(&Method::GET, "/v1beta/models/x:generateContent");
    assert_eq!(wrong, Err(Misdirected::Method(Dialect::Gemini, "POST")));
    assert_eq!(find(&Method::GET, "/v1beta/models"), Ok(Surface::Models(Dialect::Gemini)));
    let unknown = find(&Method::POST, "/v1beta/models/x:predictLongRunning");
    assert_eq!(unknown, Err(Misdirected::Path(Dialect::Gemini)));
    let colon = Surface::Model(Dialect::OpenAi, "a:b".to_owned());
    assert_eq!(find(&Method::GET, "/v1/models/a:b"), Ok(colon));
}

#[test]
fn azures_and_bedrocks_paths_name_the_model_too() {
    let azure = "/openai/deployments/gpt-x";
    let chat = post(&format!("{azure}/chat/completions?api-version=2024-10-21"));
    assert_eq!(chat, of_model(Dialect::OpenAi, Operation::Chat, "gpt-x", false));
    let images = post(&format!("{azure}/images/generations"));
    assert_eq!(images, of_model(Dialect::OpenAi, Operation::ImageGeneration, "gpt-x", false));
    let bedrock = post("/model/anthropic.claude-x%3A0/converse-stream");
    assert_eq!(bedrock, of_model(Dialect::Bedrock, Operation::Chat, "anthropic.claude-x:0", true));
    assert_eq!(post("/model/a/b/converse"), of_model(Dialect::Bedrock, Operation::Chat, "a/b", false));
}

#[test]
fn a_caller_that_names_its_dialects_version_or_key_is_answered_in_its_shape() {
    for (name, dialect) in [("anthropic-version", Dialect::Anthropic), ("x-goog-api-key", Dialect::Gemini)] {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static("2023-06-01"));
        let find = |path| Surface::find(&Method::GET, path, None, &headers);
        assert_eq!(find("/v1/models"), Ok(Surface::Models(dialect)));
        assert_eq!(find("/nowhere"), Err(Misdirected::Path(dialect)));
    }
}

#[test]
fn coheres_sdk_gets_coheres_shape_where_others_get_jinas() {
    let mut headers = HeaderMap::new();
    headers.insert("x-fern-sdk-name", HeaderValue::from_static("cohere"));
    let found = Surface::find(&Method::POST, "/v1/rerank", None, &headers);
    assert_eq!(found, Ok(call(Dialect::Cohere, Operation::Rerank)));
}

#[test]
fn what_is_not_served_is_told_apart_from_what_is_served_otherwise() {
    for path in
        ["/", "/v1", "/v1/", "/v1/models/", "/v1chat/completions", "/v2/models", "/openai/deployments/x"]
    {
        let dialect = if path.starts_with("/v2") { Dialect::Cohere } else { Dialect::OpenAi };
        assert_eq!(find(&Method::POST, path), Err(Misdirected::Path(dialect)), "{path}");
    }
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT] {
        let expected = Err(Misdirected::Method(Dialect::OpenAi, "POST"));
        assert_eq!(find(&method, "/v1/chat/completions"), expected, "{method}");
    }
    assert_eq!(find(&Method::POST, "/v1/models"), Err(Misdirected::Method(Dialect::OpenAi, "GET")));
}

//! Where a call goes below a provider's base URL. It must not know hosts or credentials.

use crate::{Call, Dialect, Operation, Platform, TargetShape, embeddings::predicts};

/// The path and query of a call, relative to the provider's base URL. The model's name is escaped.
#[must_use]
pub fn endpoint(call: &Call, target: &TargetShape<'_>) -> String {
    let model = || escape(target.model);
    let stream = call.envelope.stream;
    match (target.dialect, target.platform) {
        (Dialect::OpenAi | Dialect::Responses, Platform::Azure { api_version: "v1" }) => {
            format!("/openai/v1{}", openai_path(target.dialect, call.operation))
        }
        (Dialect::Responses, Platform::Azure { api_version }) => {
            format!("/openai{}?api-version={api_version}", openai_path(target.dialect, call.operation))
        }
        (Dialect::OpenAi, Platform::Azure { api_version }) => {
            let path = openai_path(target.dialect, call.operation);
            format!("/openai/deployments/{}{path}?api-version={api_version}", model())
        }
        (Dialect::OpenAi | Dialect::Responses, _) => openai_path(target.dialect, call.operation).to_owned(),
        (Dialect::Anthropic, Platform::Vertex { project, location }) => {
            let (model, verb) = match call.operation {
                Operation::CountTokens => ("count-tokens".to_owned(), "rawPredict"),
                _ if stream => (model(), "streamRawPredict"),
                _ => (model(), "rawPredict"),
            };
            format!("/v1/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:{verb}")
        }
        (Dialect::Anthropic, Platform::Bedrock) => {
            let verb = match call.operation {
                Operation::CountTokens => "count-tokens",
                _ if stream => "invoke-with-response-stream",
                _ => "invoke",
            };
            format!("/model/{}/{verb}", model())
        }
        (Dialect::Anthropic, _) => match call.operation {
            Operation::CountTokens => "/v1/messages/count_tokens".to_owned(),
            _ => "/v1/messages".to_owned(),
        },
        (Dialect::Gemini, Platform::Vertex { project, location }) => {
            let verb = gemini_verb(call, target);
            let models = "publishers/google/models";
            format!("/v1/projects/{project}/locations/{location}/{models}/{}:{verb}", model())
        }
        (Dialect::Gemini, _) => format!("/v1beta/models/{}:{}", model(), gemini_verb(call, target)),
        (Dialect::Bedrock, _) => {
            let verb = match call.operation {
                Operation::CountTokens => "count-tokens",
                _ if stream => "converse-stream",
                _ => "converse",
            };
            format!("/model/{}/{verb}", model())
        }
        (Dialect::Cohere, _) => match call.operation {
            Operation::Embeddings => "/v2/embed".to_owned(),
            Operation::Rerank => "/v2/rerank".to_owned(),
            _ => "/v2/chat".to_owned(),
        },
    }
}

fn openai_path(dialect: Dialect, operation: Operation) -> &'static str {
    match (operation, dialect) {
        (Operation::Chat, Dialect::Responses) => "/responses",
        (Operation::CountTokens, _) => "/responses/input_tokens",
        (Operation::Chat | Operation::Native, _) => "/chat/completions",
        (Operation::Embeddings, _) => "/embeddings",
        (Operation::Rerank, _) => "/rerank",
        (Operation::ImageGeneration, _) => "/images/generations",
        (Operation::ImageEdit, _) => "/images/edits",
        (Operation::Transcription, _) => "/audio/transcriptions",
        (Operation::AudioTranslation, _) => "/audio/translations",
        (Operation::Speech, _) => "/audio/speech",
        (Operation::Moderation, _) => "/moderations",
    }
}

fn gemini_verb(call: &Call, target: &TargetShape<'_>) -> &'static str {
    match call.operation {
        Operation::CountTokens => "countTokens",
        Operation::Embeddings if predicts(target) => "predict",
        Operation::Embeddings => "batchEmbedContents",
        _ if call.envelope.stream => "streamGenerateContent?alt=sse",
        _ => "generateContent",
    }
}

/// A name as one segment of a path: everything but letters, digits and `-._~` is escaped.
fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::endpoint;
    use crate::{Call, Dialect, Operation, Platform, TargetShape};

    fn chat(stream: bool) -> Call {
        let body = format!(r#"{{"model":"m","stream":{stream},"messages":[]}}"#);
        Call::decode((Dialect::OpenAi, Operation::Chat), body.into()).unwrap()
    }

    #[test]
    fn a_model_s_name_cannot_leave_its_place_in_the_path() {
        let target = TargetShape::new(Dialect::Bedrock, "arn:aws:bedrock:x/../y?z#");
        assert_eq!(
            endpoint(&chat(false), &target),
            "/model/arn%3Aaws%3Abedrock%3Ax%2F..%2Fy%3Fz%23/converse"
        );
    }

    #[test]
    fn each_platform_has_its_own_paths() {
        let azure = Platform::Azure { api_version: "2024-10-21" };
        let vertex = Platform::Vertex { project: "p", location: "l" };
        for (dialect, platform, stream, expected) in [
            (Dialect::OpenAi, Platform::Direct, false, "/chat/completions"),
            (Dialect::OpenAi, azure, false, "/openai/deployments/m/chat/completions?api-version=2024-10-21"),
            (Dialect::OpenAi, Platform::Azure { api_version: "v1" }, false, "/openai/v1/chat/completions"),
            (Dialect::Responses, azure, false, "/openai/responses?api-version=2024-10-21"),
            (Dialect::Anthropic, Platform::Direct, true, "/v1/messages"),
            (
                Dialect::Anthropic,
                vertex,
                true,
                "/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict",
            ),
            (Dialect::Anthropic, Platform::Bedrock, false, "/model/m/invoke"),
            (Dialect::Gemini, Platform::Direct, true, "/v1beta/models/m:streamGenerateContent?alt=sse"),
            (
                Dialect::Gemini,
                vertex,
                false,
                "/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
            ),
            (Dialect::Bedrock, Platform::Direct, true, "/model/m/converse-stream"),
            (Dialect::Cohere, Platform::Direct, false, "/v2/chat"),
        ] {
            let target = TargetShape { platform, ..TargetShape::new(dialect, "m") };
            assert_eq!(endpoint(&chat(stream), &target), expected);
        }
    }
}

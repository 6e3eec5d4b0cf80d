//! Anthropic's messages where others host them: the path names the model, and the body names the version.

use crate::{
    Platform, TargetShape,
    canonical::{Extra, Json},
    envelope::Places,
    outbound::{Edit, quoted},
    scan::Span,
};

/// The version of the body at AWS.
pub(crate) const BEDROCK: &str = "bedrock-2023-05-31";
/// The version of the body at Google.
pub(crate) const VERTEX: &str = "vertex-2023-10-16";

/// The fields that stand in place of the model; none where the vendor itself hosts it.
pub(crate) fn envelope(target: &TargetShape<'_>) -> Option<Extra> {
    let version = match target.platform {
        Platform::Bedrock => BEDROCK,
        Platform::Vertex { .. } => VERTEX,
        Platform::Direct | Platform::Azure { .. } => return None,
    };
    let mut fields = vec![("anthropic_version".to_owned(), quoted(version))];
    // Google takes the header itself.
    if target.platform == Platform::Bedrock
        && let Some(betas) = target.betas
    {
        let betas: Vec<&str> = betas.split(',').map(str::trim).filter(|beta| !beta.is_empty()).collect();
        if !betas.is_empty() {
            fields.push(("anthropic_beta".to_owned(), serde_json::Value::from(betas).to_string()));
        }
    }
    let fields = fields.into_iter().filter_map(|(name, json)| Some((name, Json::parse(&json).ok()?)));
    Some(fields.collect())
}

/// Puts these fields in place of the model; AWS wants no `stream` either, since the path says it.
pub(crate) fn edits(body: &[u8], places: &Places, (envelope, platform): (Extra, Platform<'_>)) -> Vec<Edit> {
    let fields: Vec<String> =
        envelope.iter().map(|(name, value)| format!("{}:{}", quoted(name), value.text())).collect();
    let mut edits = vec![(member(body, places.model), fields.join(","))];
    if let Some(stream) = places.stream.filter(|_| platform == Platform::Bedrock) {
        edits.push((with_comma(body, member(body, stream)), String::new()));
    }
    edits
}

/// A field whole: its name is found from its value, and has no quote inside.
fn member(body: &[u8], value: Span) -> Span {
    let before = body.get(..value.start).unwrap_or_default();
    let mut quotes = before.iter().enumerate().rev().filter(|(_, byte)| **byte == b'"');
    let start = quotes.nth(1).map_or(value.start, |(at, _)| at);
    Span { start, end: value.end }
}

/// A field and the comma after it, or for the last one the comma before it.
fn with_comma(body: &[u8], field: Span) -> Span {
    let after = body.get(field.end..).unwrap_or_default();
    let before = body.get(..field.start).unwrap_or_default();
    let is_space = |byte: &u8| byte.is_ascii_whitespace();
    if let Some(at) = after.iter().position(|byte| !is_space(byte)).filter(|at| after.get(*at) == Some(&b','))
    {
        return Span { start: field.start, end: field.end + at + 1 };
    }
    match before.iter().rposition(|byte| !is_space(byte)).filter(|at| before.get(*at) == Some(&b',')) {
        Some(start) => Span { start, end: field.end },
        None => field,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{Call, Dialect, Operation, Platform, TargetShape, encode_call};

    const VERTEX: Platform<'static> = Platform::Vertex { project: "p", location: "l" };

    fn sent(dialect: Dialect, operation: Operation, body: &str, platform: Platform<'_>) -> Value {
        let call = Call::decode((dialect, operation), body.to_owned().into()).unwrap();
        let target = TargetShape {
            platform,
            betas: Some("a-1, b-2"),
            ..TargetShape::new(Dialect::Anthropic, "claude-x")
        };
        serde_json::from_slice(&encode_call(&call, &target).unwrap().body).unwrap()
    }

    #[test]
    fn aws_gets_neither_model_nor_stream_but_a_version_and_the_betas() {
        let expected = json!({"anthropic_version": "bedrock-2023-05-31", "anthropic_beta": ["a-1", "b-2"], "max_tokens": 9, "messages": []});
        for body in [
            r#"{"model":"m","stream":true,"max_tokens":9,"messages":[]}"#,
            r#"{"stream" : true , "max_tokens":9,"messages":[], "model" : "m" }"#,
            r#"{"max_tokens":9,"messages":[],"model":"m","stream":false}"#,
            r#"{"max_tokens":9,"\u006dodel":"m","messages":[] , "stream": true}"#,
        ] {
            assert_eq!(
                sent(Dialect::Anthropic, Operation::Chat, body, Platform::Bedrock),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn google_gets_a_version_instead_of_the_model_and_is_told_of_the_stream() {
        let body = r#"{"model":"m","stream":true,"max_tokens":9,"messages":[],"x":1}"#;
        let expected = json!({"anthropic_version": "vertex-2023-10-16", "stream": true, "max_tokens": 9, "messages": [], "x": 1});
        assert_eq!(sent(Dialect::Anthropic, Operation::Chat, body, VERTEX), expected);
    }

    #[test]
    fn a_translated_call_has_the_same_envelope() {
        let body = r#"{"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#;
        let aws = sent(Dialect::OpenAi, Operation::Chat, body, Platform::Bedrock);
        assert_eq!((aws.get("model"), aws.get("stream")), (None, None));
        assert_eq!(aws["anthropic_version"], "bedrock-2023-05-31");
        let google = sent(Dialect::OpenAi, Operation::Chat, body, VERTEX);
        assert_eq!((google.get("model"), &google["stream"]), (None, &json!(true)));
        assert_eq!(google["anthropic_version"], "vertex-2023-10-16");
    }

    #[test]
    fn google_counts_with_the_model_in_the_body() {
        let body = r#"{"model":"m","messages":[]}"#;
        let asked = sent(Dialect::Anthropic, Operation::CountTokens, body, VERTEX);
        let expected = json!({"anthropic_version": "vertex-2023-10-16", "model": "claude-x", "messages": []});
        assert_eq!(asked, expected);
    }
}

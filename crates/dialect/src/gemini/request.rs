//! Gemini requests, read into the canonical form.

mod paired;
mod settings;

use serde_json::value::RawValue;

use crate::{
    Dialect, Envelope, Fault, Request,
    canonical::{Extra, Json, Message, Role, Tool, ToolBody, ToolChoice},
    gemini::parts::{self, list, read, take_object},
    json::Object,
    losses::Loss,
    schema,
};

/// Marks extra fields that stand inside `generationConfig`.
pub(crate) const IN_CONFIG: &str = "generationConfig.";

/// Reads a body; the model and whether the answer is streamed stand in the path.
pub(crate) fn decode(body: &[u8], envelope: &Envelope) -> Result<Request, Fault> {
    let mut call = Object::parse(body)?.camel()?;
    // A call that only counts may have everything one level down.
    if let Some(inner) = take_object(&mut call, "generateContentRequest")? {
        call = inner;
    }
    call.take("model");
    let mut extra = Extra::new();
    let config = take_object(&mut call, "generationConfig")?;
    let settings = config.map(|config| settings::read(config, &mut extra)).transpose()?.unwrap_or_default();
    let tools = tools(&mut call)?;
    let tool_choice = tool_choice(&mut call, &tools, &mut extra)?;
    let mut messages = system(&mut call)?;
    messages.extend(contents(&mut call)?);
    paired::name_calls(&mut messages);
    Ok(Request {
        origin: Dialect::Gemini,
        model: envelope.model.clone(),
        messages,
        tools,
        tool_choice,
        parallel_tool_calls: None,
        max_output_tokens: settings.max_output_tokens,
        stop: settings.stop,
        temperature: settings.temperature,
        top_p: settings.top_p,
        top_k: settings.top_k,
        seed: settings.seed,
        frequency_penalty: settings.frequency_penalty,
        presence_penalty: settings.presence_penalty,
        logprobs: settings.logprobs,
        n: settings.n,
        service_tier: call.take_string("serviceTier")?,
        metadata: call.take("labels").map(Json::new),
        format: settings.format,
        reasoning: settings.reasoning,
        user: None,
        cache: None,
        stream: envelope.stream,
        extra: {
            extra.extend(call.rest());
            extra
        },
    })
}

/// What is lost when a field of a Gemini request is left out.
pub(crate) fn loss(name: &str, value: &str) -> Loss {
    let compact = || value.split_whitespace().collect::<String>();
    match name.strip_prefix(IN_CONFIG).unwrap_or(name) {
        // Kept for the way home; their canonical words tell the rest.
        "thinkingConfig"
        | "responseSchema"
        | "responseJsonSchema"
        | "toolConfig"
        | "parameters"
        | "fileData.mimeType"
        | "functionResponse.name" => Loss::Nothing,
        "responseModalities" if compact().eq_ignore_ascii_case(r#"["text"]"#) => Loss::Nothing,
        "behavior" if value.contains("BLOCKING") && !value.contains("NON_BLOCKING") => Loss::Nothing,
        "store" | "automaticContinuation" | "includeServerSideToolInvocations" if value == "false" => {
            Loss::Nothing
        }
        "safetySettings" if !holds_back(value) => Loss::Hint,
        "mediaResolution"
        | "partMetadata"
        | "inlineData.displayName"
        | "fileData.displayName"
        | "audioTimestamp"
        | "enableEnhancedCivicAnswers"
        | "response"
        | "store"
        | "functionResponse.scheduling" => Loss::Hint,
        "modelArmorConfig" => Loss::Duty,
        _ => Loss::Meaning,
    }
}

/// Whether safety settings ask for something to be blocked.
fn holds_back(settings: &str) -> bool {
    let words = settings.split('"').filter(|word| word.starts_with("BLOCK_"));
    words.into_iter().any(|word| word != "BLOCK_NONE")
}

/// The system prompt; some write it as plain text.
fn system(call: &mut Object<'_>) -> Result<Vec<Message>, Fault> {
    if let Some(text) = call.peek_as::<String>("systemInstruction") {
        call.take("systemInstruction");
        let parts = vec![crate::PartBody::Text(text).into()];
        return Ok(vec![Message { role: Role::System, parts, extra: Extra::new() }]);
    }
    let Some(mut content) = take_object(call, "systemInstruction")? else { return Ok(Vec::new()) };
    content.take("role");
    let parts = parts::parts(&mut content)?;
    let says = !parts.is_empty();
    Ok(says.then(|| Message { role: Role::System, parts, extra: content.rest() }).into_iter().collect())
}

fn contents(call: &mut Object<'_>) -> Result<Vec<Message>, Fault> {
    let mut messages = Vec::new();
    for (index, value) in list(call, "contents")?.into_iter().enumerate() {
        let mut content = read(value, crate::json::nth("contents", index))?;
        let role = content.take_string("role")?.unwrap_or_else(|| "user".to_owned()).to_ascii_lowercase();
        let role = match role.as_str() {
            "user" | "function" | "tool" | "" => Role::User,
            "model" => Role::Assistant,
            "system" => Role::System,
            other => {
                let place = content.place_of("role");
                return Err(Fault::unsupported(format!("unknown role `{other}` in `{place}`")).at(place));
            }
        };
        let parts = paired::joined(parts::parts(&mut content)?);
        messages.push(Message { role, parts, extra: content.rest() });
    }
    Ok(messages)
}

fn tools(call: &mut Object<'_>) -> Result<Vec<Tool>, Fault> {
    let mut tools = Vec::new();
    for (index, value) in list(call, "tools")?.into_iter().enumerate() {
        let mut group = read(value, crate::json::nth("tools", index))?;
        let place = group.place_of("functionDeclarations");
        for (index, value) in list(&mut group, "functionDeclarations")?.into_iter().enumerate() {
            tools.push(function(value, crate::json::nth(&place, index))?);
        }
        for (kind, value) in group.rest() {
            let value = Json::parse(&format!("{{\"{kind}\":{}}}", value.text()));
            let value =
                value.map_err(|error| Fault::invalid(format!("a tool is not understood: {error}")))?;
            tools.push(Tool { body: ToolBody::Opaque { kind, value }, cache: None, extra: Extra::new() });
        }
    }
    Ok(tools)
}

fn function(value: &RawValue, place: String) -> Result<Tool, Fault> {
    let mut function = read(value, place)?;
    let mut extra = Extra::new();
    let parameters = match function.take("parametersJsonSchema") {
        Some(schema) => Some(Json::new(schema)),
        None => match function.take("parameters") {
            Some(schema) => {
                let schema = Json::new(schema);
                let plain = schema::from_gemini(&schema, &function.place_of("parameters"))?;
                extra.push(("parameters".to_owned(), schema));
                Some(plain)
            }
            None => None,
        },
    };
    let body = ToolBody::Function {
        name: function.need_string("name")?,
        description: function.take_string("description")?,
        parameters,
        strict: None,
    };
    extra.extend(function.rest());
    Ok(Tool { body, cache: None, extra })
}

/// How tools are chosen. The whole field is kept as well, for the way home.
fn tool_choice(
    call: &mut Object<'_>,
    tools: &[Tool],
    extra: &mut Extra,
) -> Result<Option<ToolChoice>, Fault> {
    let Some(value) = call.take("toolConfig") else { return Ok(None) };
    extra.push(("toolConfig".to_owned(), Json::new(value)));
    let mut config = read(value, "toolConfig")?;
    let calling = take_object(&mut config, "functionCallingConfig")?;
    extra.extend(config.rest().into_iter().map(|(name, value)| (format!("toolConfig.{name}"), value)));
    let Some(mut calling) = calling else { return Ok(None) };
    let allowed: Vec<String> =
        calling.take_as("allowedFunctionNames", "an array of strings")?.unwrap_or_default();
    let mode = calling.take_string("mode")?.unwrap_or_default().to_ascii_uppercase();
    let is_all = tools.iter().all(|tool| match &tool.body {
        ToolBody::Function { name, .. } => allowed.is_empty() || allowed.contains(name),
        ToolBody::Opaque { .. } => true,
    });
    Ok(match (mode.as_str(), allowed.as_slice()) {
        ("NONE", _) => Some(ToolChoice::None),
        ("ANY", [one]) => Some(ToolChoice::Named(one.clone())),
        ("ANY", _) if is_all => Some(ToolChoice::Required),
        ("AUTO" | "VALIDATED", _) if is_all => Some(ToolChoice::Auto),
        ("" | "MODE_UNSPECIFIED", _) => None,
        _ => Some(ToolChoice::Opaque(Json::new(value))),
    })
}

#[cfg(test)]
mod tests;

//! Converse requests, read into the canonical form.

use serde_json::value::RawValue;

use crate::{
    Dialect, Envelope, Fault,
    bedrock::parts,
    canonical::{Extra, Json, Message, OutputFormat, Reasoning, Request, Role, Tool, ToolBody, ToolChoice},
    json::Object,
    losses::Loss,
};

/// Marks extra fields that stand inside these objects.
pub(crate) const IN_INFERENCE: &str = "inferenceConfig.";
pub(crate) const IN_FIELDS: &str = "additionalModelRequestFields.";
pub(crate) const IN_OUTPUT: &str = "outputConfig.";

/// Reads a body.
pub(crate) fn decode(body: &[u8], envelope: &Envelope) -> Result<Request, Fault> {
    let mut call = Object::parse(body)?;
    let mut inference = call.take_object("inferenceConfig")?.unwrap_or_else(Object::empty);
    let mut fields = call.take_object("additionalModelRequestFields")?.unwrap_or_else(Object::empty);
    let mut output = call.take_object("outputConfig")?.unwrap_or_else(Object::empty);
    let format = output.take("textFormat").map(text_format).transpose()?;
    let reasoning = reasoning(&mut fields, output.take_string("effort")?)?;
    let (tools, tool_choice) = match call.take_object("toolConfig")? {
        Some(mut config) => (tools(&mut config)?, config.take("toolChoice").map(choice).transpose()?),
        None => (Vec::new(), None),
    };
    let tier = call.take_object("serviceTier")?.map(|mut tier| tier.need_string("type")).transpose()?;
    Ok(Request {
        origin: Dialect::Bedrock,
        model: envelope.model.clone(),
        messages: messages(&mut call)?,
        tools,
        tool_choice,
        parallel_tool_calls: None,
        max_output_tokens: inference.take_as("maxTokens", "a whole number that is not negative")?,
        stop: inference.take_as("stopSequences", "an array of strings")?.unwrap_or_default(),
        temperature: inference.take_as("temperature", "a number")?,
        top_p: inference.take_as("topP", "a number")?,
        top_k: fields.take_as("top_k", "a whole number")?,
        seed: None,
        frequency_penalty: None,
        presence_penalty: None,
        logprobs: None,
        n: None,
        service_tier: tier,
        metadata: call.take("requestMetadata").map(Json::new),
        format,
        reasoning,
        user: None,
        cache: None,
        stream: envelope.stream,
        extra: {
            let mut extra = prefixed(IN_INFERENCE, inference);
            extra.extend(prefixed(IN_FIELDS, fields));
            extra.extend(prefixed(IN_OUTPUT, output));
            // The SDKs write the model into the path; whoever has it here too means the same.
            call.take("modelId");
            extra.extend(call.rest());
            extra
        },
    })
}

/// What is lost when a field of a request is left out.
pub(crate) fn loss(name: &str, value: &str) -> Loss {
    match name {
        // What they say is said by the source.
        "format" | "bucketOwner" | "json" => Loss::Nothing,
        "citations" if value.contains("false") => Loss::Nothing,
        "performanceConfig"
        | "additionalModelResponseFieldPaths"
        | "additionalModelRequestFields.reasoning_config"
        | "context" => Loss::Hint,
        "guardrailConfig" => Loss::Duty,
        _ => Loss::Meaning,
    }
}

fn prefixed(prefix: &str, object: Object<'_>) -> Extra {
    object.rest().into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)).collect()
}

fn text_format(value: &RawValue) -> Result<OutputFormat, Fault> {
    let mut format = Object::read(value, "outputConfig.textFormat")?;
    let structure = format.take_object("structure")?;
    let schema = structure.map(|mut structure| structure.take_object("jsonSchema")).transpose()?.flatten();
    let Some(mut definition) = schema else { return Ok(OutputFormat::Opaque(Json::new(value))) };
    let schema = Json::parse(&definition.need_string("schema")?);
    Ok(OutputFormat::JsonSchema {
        name: definition.take_string("name")?,
        description: definition.take_string("description")?,
        schema: schema.map_err(|_error| definition.wrong("schema", "JSON"))?,
        // Bedrock keeps to a schema always, which elsewhere is called strict.
        strict: Some(true),
    })
}

fn reasoning(fields: &mut Object<'_>, effort: Option<String>) -> Result<Option<Reasoning>, Fault> {
    let thinking = fields.take("thinking");
    let mut budget = None;
    if let Some(thinking) = thinking {
        let mut thinking = Object::read(thinking, "additionalModelRequestFields.thinking")?;
        if thinking.take_string("type")?.as_deref() == Some("enabled") {
            budget = thinking.take_as("budget_tokens", "a whole number that is not negative")?;
        }
    }
    let reasons = effort.is_some() || thinking.is_some();
    Ok(reasons.then(|| {
        let thinking = thinking.map(Json::new);
        let shown = thinking.as_ref().is_some_and(Reasoning::shows);
        Reasoning { effort, budget, thinking, shown }
    }))
}

fn messages(call: &mut Object<'_>) -> Result<Vec<Message>, Fault> {
    let mut messages = Vec::new();
    let system = parts::content(call, "system")?;
    if !system.is_empty() {
        messages.push(Message { role: Role::System, parts: system, extra: Extra::new() });
    }
    for (index, value) in call.take_array("messages")?.into_iter().enumerate() {
        let mut message = Object::read(value, crate::json::nth("messages", index))?;
        let role = match message.need_string("role")?.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            // A system prompt in the middle of a conversation: `Developer` tells it from the one above all.
            "system" => Role::Developer,
            other => {
                let place = message.place_of("role");
                return Err(Fault::unsupported(format!("unknown role `{other}` in `{place}`")).at(place));
            }
        };
        let parts = parts::content(&mut message, "content")?;
        messages.push(Message { role, parts, extra: message.rest() });
    }
    Ok(messages)
}

fn tools(config: &mut Object<'_>) -> Result<Vec<Tool>, Fault> {
    let mut tools: Vec<Tool> = Vec::new();
    for (index, value) in config.take_array("tools")?.into_iter().enumerate() {
        let place = crate::json::nth("toolConfig.tools", index);
        let last = tools.last_mut().filter(|tool| tool.cache.is_none());
        match (parts::cache_point(value, &place)?, last) {
            (Some(mark), Some(last)) => last.cache = Some(mark),
            _ => tools.push(tool(value, place)?),
        }
    }
    Ok(tools)
}

fn tool(value: &RawValue, place: String) -> Result<Tool, Fault> {
    let mut tool = Object::read(value, place)?;
    let Some(mut spec) = tool.take_object("toolSpec")? else {
        let kind = tool.rest().into_iter().next().map(|(name, _)| name).unwrap_or_default();
        let body = ToolBody::Opaque { kind, value: Json::new(value) };
        return Ok(Tool { body, cache: None, extra: Extra::new() });
    };
    let schema = spec.take_object("inputSchema")?;
    let body = ToolBody::Function {
        name: spec.need_string("name")?,
        description: spec.take_string("description")?,
        parameters: schema.and_then(|mut schema| schema.take("json")).map(Json::new),
        strict: spec.take_as("strict", "true or false")?,
    };
    Ok(Tool { body, cache: None, extra: spec.rest() })
}

fn choice(value: &RawValue) -> Result<ToolChoice, Fault> {
    let mut choice = Object::read(value, "toolConfig.toolChoice")?;
    Ok(if choice.has("auto") {
        ToolChoice::Auto
    } else if choice.has("any") {
        ToolChoice::Required
    } else if let Some(mut tool) = choice.take_object("tool")? {
        ToolChoice::Named(tool.need_string("name")?)
    } else {
        ToolChoice::Opaque(Json::new(value))
    })
}

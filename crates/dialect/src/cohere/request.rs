//! Cohere's chat requests, read into the canonical form.

use serde_json::value::RawValue;

use crate::{
    Dialect, Fault,
    canonical::{
        Extra, Json, Logprobs, Message, OutputFormat, Part, PartBody, Reasoning, Request, Role, Tool,
        ToolBody, ToolChoice,
    },
    cohere::parts,
    json::Object,
    losses::Loss,
};

/// Reads a body.
pub(crate) fn decode(body: &[u8]) -> Result<Request, Fault> {
    let mut call = Object::parse(body)?;
    let strict = call.take_as("strict_tools", "true or false")?;
    let tool_choice = call.take_string("tool_choice")?.map(|word| match word.as_str() {
        "REQUIRED" => ToolChoice::Required,
        _ => ToolChoice::None,
    });
    Ok(Request {
        origin: Dialect::Cohere,
        model: call.need_string("model")?,
        messages: messages(&mut call)?,
        tools: tools(&mut call, strict)?,
        tool_choice,
        parallel_tool_calls: None,
        max_output_tokens: call.take_as("max_tokens", "a whole number that is not negative")?,
        stop: call.take_as("stop_sequences", "an array of strings")?.unwrap_or_default(),
        temperature: call.take_as("temperature", "a number")?,
        top_p: call.take_as("p", "a number")?,
        top_k: call.take_as("k", "a whole number")?,
        seed: call.take_as("seed", "a whole number")?,
        frequency_penalty: call.take_as("frequency_penalty", "a number")?,
        presence_penalty: call.take_as("presence_penalty", "a number")?,
        logprobs: call.take_as("logprobs", "true or false")?.map(|enabled| Logprobs { enabled, top: None }),
        n: None,
        service_tier: None,
        metadata: None,
        format: call.take("response_format").map(format).transpose()?.flatten(),
        reasoning: call.take("thinking").map(reasoning).transpose()?,
        user: None,
        cache: None,
        stream: call.take_as("stream", "true or false")?.unwrap_or(false),
        extra: call.rest(),
    })
}

/// What is lost when a field of a request is left out.
pub(crate) fn loss(name: &str, value: &str) -> Loss {
    match name {
        // The plan is shown as reasoning, a document as its text.
        "tool_plan" | "document" => Loss::Nothing,
        "documents" if value == "[]" => Loss::Nothing,
        "citation_options" | "priority" => Loss::Hint,
        "safety_mode" => Loss::Duty,
        _ => Loss::Meaning,
    }
}

fn messages(call: &mut Object<'_>) -> Result<Vec<Message>, Fault> {
    let messages = call.take_array("messages")?.into_iter().enumerate();
    messages.map(|(index, value)| message(value, crate::json::nth("messages", index))).collect()
}

fn message(value: &RawValue, place: String) -> Result<Message, Fault> {
    let mut message = Object::read(value, place)?;
    let (role, parts) = match message.need_string("role")?.as_str() {
        "system" => (Role::System, parts::content(&mut message)?),
        "developer" => (Role::Developer, parts::content(&mut message)?),
        "user" => (Role::User, parts::content(&mut message)?),
        "assistant" => (Role::Assistant, parts::assistant(&mut message)?),
        "tool" => {
            let id = message.need_string("tool_call_id")?;
            let content = parts::content(&mut message)?;
            (Role::User, vec![Part::from(PartBody::ToolResult { id, content, is_error: false })])
        }
        other => {
            let place = message.place_of("role");
            return Err(Fault::unsupported(format!("unknown role `{other}` in `{place}`")).at(place));
        }
    };
    Ok(Message { role, parts, extra: message.rest() })
}

fn tools(call: &mut Object<'_>, strict: Option<bool>) -> Result<Vec<Tool>, Fault> {
    let mut tools = Vec::new();
    for (index, value) in call.take_array("tools")?.into_iter().enumerate() {
        let mut tool = Object::read(value, crate::json::nth("tools", index))?;
        tool.take("type");
        let Some(mut function) = tool.take_object("function")? else {
            return Err(tool.wrong("function", "an object"));
        };
        let body = ToolBody::Function {
            name: function.need_string("name")?,
            description: function.take_string("description")?,
            parameters: function.take("parameters").map(Json::new),
            strict,
        };
        let mut extra: Extra = tool.rest();
        extra.extend(function.rest());
        tools.push(Tool { body, cache: None, extra });
    }
    Ok(tools)
}

fn format(value: &RawValue) -> Result<Option<OutputFormat>, Fault> {
    let mut format = Object::read(value, "response_format")?;
    let schema = format.take("json_schema").or_else(|| format.take("schema"));
    Ok(match (format.take_string("type")?.as_deref(), schema) {
        (Some("text"), _) => None,
        (Some("json_object"), None) => Some(OutputFormat::JsonObject),
        (Some("json_object"), Some(schema)) => {
            let schema = Json::new(schema);
            Some(OutputFormat::JsonSchema { name: None, description: None, schema, strict: Some(true) })
        }
        _ => Some(OutputFormat::Opaque(Json::new(value))),
    })
}

fn reasoning(value: &RawValue) -> Result<Reasoning, Fault> {
    let mut thinking = Object::read(value, "thinking")?;
    let is_off = thinking.take_string("type")?.as_deref() == Some("disabled");
    let budget = thinking.take_as("token_budget", "a whole number that is not negative")?;
    let effort = is_off.then(|| "none".to_owned());
    // Without a budget the model thinks as much as it likes, for which there is no other word.
    let effort = effort.or_else(|| budget.is_none().then(|| "medium".to_owned()));
    Ok(Reasoning { effort, budget, ..Reasoning::default() })
}

//! The schemas of a request, as its target wants them: those of the answer, and those of tools.

use super::{Subset, rewrite};
use crate::{
    Dialect, Fault, FaultClass, OutputFormat, Request, TargetShape, ToolBody, bedrock, canonical::Json,
    gemini::models::ability, losses::Losses,
};

/// What is held to a schema.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Answer,
    Tool,
}

/// Rewrites all schemas of a request that goes to another dialect.
pub(crate) fn fit(request: &mut Request, target: &TargetShape<'_>, losses: &mut Losses) -> Result<(), Fault> {
    let is_openai = |dialect| matches!(dialect, Dialect::OpenAi | Dialect::Responses);
    if losses.is_home() || is_openai(request.origin) && is_openai(target.dialect) {
        return Ok(());
    }
    let origin = request.origin;
    if let Some(OutputFormat::JsonSchema { schema, strict, .. }) = &mut request.format
        && let Some(subset) = subset(target, *strict, Held::Answer)
    {
        let place = format_place(origin);
        hold(schema, strict, (subset, Held::Answer, place), losses)?;
    }
    for (index, tool) in request.tools.iter_mut().enumerate() {
        let ToolBody::Function { parameters: Some(schema), strict, .. } = &mut tool.body else { continue };
        let Some(subset) = subset(target, *strict, Held::Tool) else { continue };
        // A tool without parameters is told so by none.
        if subset == Subset::GeminiOpenApi && has_no_properties(schema) {
            if let ToolBody::Function { parameters, .. } = &mut tool.body {
                *parameters = None;
            }
            continue;
        }
        hold(schema, strict, (subset, Held::Tool, &tool_place(origin, index)), losses)?;
    }
    Ok(())
}

/// The subset for a schema of a tool, or of the answer, if it is to be rewritten at all.
fn subset(target: &TargetShape<'_>, strict: Option<bool>, held: Held) -> Option<Subset> {
    let strict = strict == Some(true);
    let of_answer = held == Held::Answer;
    match target.dialect {
        Dialect::Gemini if ability(target.model, None).json_schema => Some(Subset::GeminiJson),
        Dialect::Gemini => Some(Subset::GeminiOpenApi),
        Dialect::OpenAi | Dialect::Responses => strict.then_some(Subset::OpenAiStrict),
        // The answer is always held to its schema there, tools only if they are strict.
        Dialect::Anthropic => (of_answer || strict).then_some(Subset::Anthropic),
        Dialect::Bedrock if of_answer => {
            bedrock::family::keeps_schemas(target.model).then_some(Subset::Anthropic)
        }
        Dialect::Bedrock => strict.then_some(Subset::Anthropic),
        Dialect::Cohere => None,
    }
}

/// Rewrites a schema. Where being strict is a choice, one that cannot be said strictly is said as it is.
fn hold(
    schema: &mut Json,
    strict: &mut Option<bool>,
    (subset, held, place): (Subset, Held, &str),
    losses: &mut Losses,
) -> Result<(), Fault> {
    let may_loosen = match subset {
        Subset::OpenAiStrict => true,
        // Gemini keeps to every schema it gets, and Anthropic to that of every answer.
        Subset::Anthropic => held == Held::Tool,
        Subset::GeminiJson | Subset::GeminiOpenApi => false,
    };
    match rewrite(schema, subset, place, losses) {
        Ok(written) => *schema = written,
        Err(fault) if may_loosen && fault.class == FaultClass::Unsupported => {
            *strict = Some(false);
            losses.default(&fault.param.unwrap_or_default(), "not strict");
        }
        Err(fault) => return Err(fault),
    }
    Ok(())
}

fn has_no_properties(schema: &Json) -> bool {
    let mut object = match serde_json::from_str::<crate::json::Object<'_>>(schema.text()) {
        Ok(object) => object,
        Err(_) => return false,
    };
    let is_object = object.peek_as::<String>("type").is_none_or(|kind| kind == "object");
    let refers = ["$ref", "allOf", "anyOf", "oneOf"].iter().any(|name| object.has(name));
    let properties = object.take("properties");
    is_object
        && !refers
        && properties.is_none_or(|properties| properties.get().trim_matches(['{', '}', ' ', '\n']).is_empty())
}

/// Where the schema of the answer stands in a call of a dialect.
fn format_place(origin: Dialect) -> &'static str {
    match origin {
        Dialect::OpenAi => "response_format.json_schema.schema",
        Dialect::Responses => "text.format.schema",
        Dialect::Anthropic => "output_config.format.schema",
        Dialect::Gemini => "generationConfig.responseSchema",
        Dialect::Bedrock => "outputConfig.textFormat.structure.jsonSchema.schema",
        Dialect::Cohere => "response_format.json_schema",
    }
}

/// Where the schema of a tool stands in a call of a dialect.
fn tool_place(origin: Dialect, index: usize) -> String {
    match origin {
        Dialect::OpenAi | Dialect::Cohere => format!("tools[{index}].function.parameters"),
        Dialect::Responses => format!("tools[{index}].parameters"),
        Dialect::Anthropic => format!("tools[{index}].input_schema"),
        Dialect::Gemini => format!("tools.functionDeclarations[{index}].parameters"),
        Dialect::Bedrock => format!("toolConfig.tools[{index}].toolSpec.inputSchema.json"),
    }
}

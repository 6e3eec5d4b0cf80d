//! A choice among some of the tools, for targets that know no such choice: they get those tools alone.

use serde::Deserialize;

use crate::canonical::{Request, Tool, ToolBody, ToolChoice};

/// `allowed_tools`, as responses write it and as chat does.
#[derive(Deserialize)]
struct Choice {
    #[serde(rename = "type")]
    kind: String,
    allowed_tools: Option<Allowed>,
    mode: Option<String>,
    tools: Option<Vec<Named>>,
}

#[derive(Deserialize)]
struct Allowed {
    mode: Option<String>,
    tools: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
}

/// Leaves the tools that may be called. Any other choice stays as it is, and so does one of tools that are no functions.
pub(crate) fn narrow(request: &mut Request) {
    let Some(ToolChoice::Opaque(choice)) = &request.tool_choice else { return };
    let Some((mode, names)) = read(choice.text()) else { return };
    let is_allowed = |tool: &Tool| match &tool.body {
        ToolBody::Function { name, .. } => names.contains(name),
        ToolBody::Opaque { .. } => false,
    };
    request.tools.retain(is_allowed);
    request.tool_choice = Some(mode);
}

fn read(choice: &str) -> Option<(ToolChoice, Vec<String>)> {
    let choice: Choice =
        serde_json::from_str(choice).ok().filter(|choice: &Choice| choice.kind == "allowed_tools")?;
    let (mode, tools) = match choice.allowed_tools {
        Some(allowed) => (allowed.mode, allowed.tools),
        None => (choice.mode, choice.tools?),
    };
    let mode = match mode.as_deref() {
        Some("required") => ToolChoice::Required,
        Some("auto") | None => ToolChoice::Auto,
        Some(_) => return None,
    };
    let name = |tool: Named| {
        let name = tool.name.or(tool.function.map(|function| function.name));
        name.filter(|_| tool.kind == "function")
    };
    let names: Option<Vec<String>> = tools.into_iter().map(name).collect();
    Some((mode, names?))
}

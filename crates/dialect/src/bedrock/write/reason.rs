//! How much to reason, in the words of each family of models: Converse has one word for it that few of them know.

use super::fit::add_field;
use crate::{
    Dialect,
    Fault,
    TargetShape,
    // What Claude models take does not change with where they are.
    anthropic::effort,
    bedrock::family::Family,
    canonical::{Json, Reasoning, Request, ToolChoice},
    claude,
    effort::{budget, of_budget},
    losses::Losses,
};

/// The cap on output when neither the caller nor the model tells one and thinking needs to stay below it.
const USUAL_CAP: u32 = 4_096;

/// Asks for reasoning as the model takes it, or tells that it was left out.
pub(super) fn fit(
    request: &mut Request,
    (target, family): (&TargetShape<'_>, Family),
    losses: &mut Losses,
) -> Result<(), Fault> {
    let Some(reasoning) = request.reasoning.take() else { return Ok(()) };
    let is_off = |thinking: &Json| thinking.text().contains(r#""disabled""#);
    let is_disabled = reasoning.thinking.as_ref().is_some_and(is_off);
    if target.reasoning == Some(false) || is_disabled && family != Family::Claude {
        if !is_disabled && reasoning.effort.as_deref() != Some("none") {
            losses.drop(place(request));
        }
        return Ok(());
    }
    if family == Family::Claude {
        return fit_claude(request, reasoning, target, losses);
    }
    let asked = reasoning.effort.or_else(|| reasoning.budget.map(|budget| of_budget(budget).to_owned()));
    let Some(effort) = asked.or_else(|| reasoning.thinking.is_some().then(|| "medium".to_owned())) else {
        return Ok(());
    };
    let word = match effort.as_str() {
        "none" => return Ok(()),
        "minimal" | "low" => "low",
        "medium" => "medium",
        "high" | "xhigh" | "max" => "high",
        _ => return losses.refuse(place(request), "the value is not known"),
    };
    match family {
        Family::Nova2 => fit_nova(request, word, losses),
        Family::GptOss => add_field(request, "reasoning_effort", &format!("\"{word}\"")),
        Family::Worded => add_field(request, "reasoning_config", &format!("\"{word}\"")),
        Family::Claude | Family::Nova | Family::Mistral | Family::Other => losses.drop(place(request)),
    }
    Ok(())
}

/// The caller's name for it.
fn place(request: &Request) -> &'static str {
    match request.origin {
        Dialect::Anthropic => "thinking",
        Dialect::Gemini => "generationConfig.thinkingConfig",
        Dialect::Responses => "reasoning",
        Dialect::OpenAi | Dialect::Bedrock | Dialect::Cohere => "reasoning_effort",
    }
}

/// The highest effort excludes every bound on the answer; then the next one is asked for.
fn fit_nova(request: &mut Request, word: &str, losses: &mut Losses) {
    let is_bound =
        request.max_output_tokens.is_some() || request.temperature.is_some() || request.top_p.is_some();
    let mut word = word;
    if word == "high" && is_bound {
        word = "medium";
        losses.default(place(request), word);
    }
    let json = format!(r#"{{"type":"enabled","maxReasoningEffort":"{word}"}}"#);
    add_field(request, "reasoningConfig", &json);
}

fn fit_claude(
    request: &mut Request,
    reasoning: Reasoning,
    target: &TargetShape<'_>,
    losses: &mut Losses,
) -> Result<(), Fault> {
    // Whoever wrote it in Anthropic's words meant a Claude model.
    if reasoning.thinking.is_some() || request.origin == Dialect::Anthropic {
        request.reasoning = Some(reasoning);
        return Ok(());
    }
    let asked = match (&reasoning.effort, reasoning.budget) {
        (Some(effort), _) if effort == "none" => return Ok(()),
        (Some(effort), _) => budget(effort).zip(effort::word(effort)),
        (None, Some(0)) | (None, None) => return Ok(()),
        (None, Some(budget)) => effort::word(of_budget(budget)).map(|word| (budget, word)),
    };
    let Some((wanted, word)) = asked else {
        return losses.refuse(place(request), "the value is not known");
    };
    let is_adaptive = effort::is_adaptive(target.model);
    let cap = request.max_output_tokens.or(target.max_output_tokens).unwrap_or(USUAL_CAP);
    let budget = wanted.min(cap.saturating_sub(1));
    if !is_adaptive && budget < claude::LEAST_BUDGET || claude::continues_unsigned(request) {
        losses.drop(place(request));
        return Ok(());
    }
    if matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_))) {
        return losses.refuse(place(request), "it cannot be joined with a forced choice of tool");
    }
    if request.max_output_tokens.is_none() && !is_adaptive {
        request.max_output_tokens = Some(cap);
        losses.default("max_tokens", cap.to_string());
    }
    request.reasoning = Some(if is_adaptive {
        let thinking = Json::parse(r#"{"type":"adaptive"}"#).ok();
        Reasoning { effort: Some(word.to_owned()), budget: None, thinking, ..Reasoning::default() }
    } else {
        Reasoning { budget: Some(budget), ..Reasoning::default() }
    });
    Ok(())
}

//! How much to think: in words or in tokens, as the model wants it.

use crate::{
    Fault, Request,
    canonical::Reasoning,
    gemini::models::{Ability, Thinks, budget_of, level_of, word_of},
    json::ObjectWriter,
    losses::Losses,
};

/// Turns what was asked into what the model understands: a word of its own, or a budget in its range.
pub(super) fn fit(request: &mut Request, ability: Ability, losses: &mut Losses) -> Result<(), Fault> {
    let Some(asked) = request.reasoning.take() else { return Ok(()) };
    let is_off = asked.thinking.as_ref().is_some_and(|thinking| thinking.text().contains(r#""disabled""#));
    let word = match (&asked.effort, asked.budget) {
        _ if is_off => "none",
        (Some(effort), _) => effort.as_str(),
        (None, Some(budget)) => word_of(budget),
        // It thinks as much as it likes, which is what it does anyway.
        (None, None) if ability.thinks == Thinks::Never => return Ok(()),
        (None, None) => {
            request.reasoning = Some(Reasoning::default());
            return Ok(());
        }
    };
    let place = if asked.thinking.is_some() { "thinking" } else { "reasoning_effort" };
    if word != "none" && level_of(word, &["minimal"]).is_none() {
        return losses.refuse(place, "the value is not known");
    }
    request.reasoning = match ability.thinks {
        Thinks::Never => {
            if word != "none" {
                losses.drop(place);
            }
            None
        }
        Thinks::Level(levels) => {
            let level = if word == "none" { levels.first().copied() } else { level_of(word, levels) };
            if level != Some(word) && asked.effort.is_some() || level.is_some() && word == "none" {
                losses.default(place, level.unwrap_or_default());
            }
            level.map(|level| Reasoning { effort: Some(level.to_owned()), ..Reasoning::default() })
        }
        Thinks::Budget { least, most, rests } => {
            let wanted = match asked.budget {
                _ if word == "none" => 0,
                Some(budget) => budget,
                None => budget_of(word, most),
            };
            let budget = if wanted == 0 && rests { 0 } else { wanted.clamp(least, most) };
            if asked.budget.is_some_and(|asked| asked != budget) || word == "none" && budget > 0 {
                losses.default(place, budget.to_string());
            }
            Some(Reasoning { budget: Some(budget), ..Reasoning::default() })
        }
    };
    Ok(())
}

/// Writes what is fit. Whoever asks for reasoning gets to see it.
pub(super) fn write(w: &mut ObjectWriter<'_>, reasoning: Option<&Reasoning>, ability: Ability) {
    let Some(reasoning) = reasoning.filter(|_| ability.thinks != Thinks::Never) else { return };
    w.object("thinkingConfig", |w| {
        if let Some(level) = &reasoning.effort {
            w.string("thinkingLevel", &level.to_ascii_uppercase());
        }
        if let Some(budget) = reasoning.budget {
            w.number("thinkingBudget", u64::from(budget));
        }
        if reasoning.budget != Some(0) {
            w.bool("includeThoughts", true);
        }
    });
}

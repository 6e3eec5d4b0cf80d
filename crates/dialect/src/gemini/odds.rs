//! The odds of tokens: Gemini's `logprobsResult`, to and from OpenAI's words.

use serde_json::value::RawValue;

use crate::{
    Fault,
    canonical::Json,
    gemini::parts::{list, read},
    json::{ArrayWriter, Object, ObjectWriter},
};

/// Reads the odds as OpenAI's array of tokens.
pub(crate) fn read_tokens(result: &RawValue) -> Result<Option<Json>, Fault> {
    let mut result = read(result, "logprobsResult")?;
    let chosen = list(&mut result, "chosenCandidates")?;
    let top = list(&mut result, "topCandidates")?;
    if chosen.is_empty() {
        return Ok(None);
    }
    let mut tokens = Vec::with_capacity(chosen.len());
    for (place, value) in chosen.into_iter().enumerate() {
        let mut others = Vec::new();
        if let Some(value) = top.get(place) {
            for value in list(&mut read(value, "topCandidates")?, "candidates")? {
                others.push(token(value)?);
            }
        }
        tokens.push((token(value)?, others));
    }
    let object = crate::json::object(|w| {
        w.array("tokens", |array| {
            for (token, others) in &tokens {
                array.object(|w| write_odds(w, token, others));
            }
        });
    });
    Ok(Object::parse(&object)?.take("tokens").map(Json::new))
}

/// OpenAI's object around the tokens of a whole answer.
pub(crate) fn of_answer(tokens: &Json) -> Option<Json> {
    Json::parse(&format!("{{\"content\":{},\"refusal\":null}}", tokens.text())).ok()
}

fn token(value: &RawValue) -> Result<Token, Fault> {
    let mut token = read(value, "logprobsResult")?;
    let odds = token.take_as("logProbability", "a number")?.unwrap_or(0.0);
    Ok((token.take_string("token")?.unwrap_or_default(), odds))
}

type Token = (String, f64);

fn write_odds(w: &mut ObjectWriter<'_>, token: &Token, others: &[Token]) {
    write_token(w, token);
    w.array("top_logprobs", |array| {
        for other in others {
            array.object(|w| write_token(w, other));
        }
    });
}

fn write_token(w: &mut ObjectWriter<'_>, (token, odds): &Token) {
    w.string("token", token);
    w.float("logprob", *odds);
    w.array("bytes", |array| token.bytes().for_each(|byte| array.raw(&byte.to_string())));
}

/// Writes OpenAI's odds, of a whole answer or of a piece of one; what is not understood is left out.
pub(crate) fn write(w: &mut ObjectWriter<'_>, odds: &Json) {
    let tokens = if odds.text().trim_start().starts_with('[') {
        serde_json::from_str::<Vec<&RawValue>>(odds.text()).ok()
    } else {
        Object::parse(odds.text().as_bytes()).ok().and_then(|mut odds| odds.take_array("content").ok())
    };
    let Some(tokens) = tokens.filter(|tokens| !tokens.is_empty()) else { return };
    w.object("logprobsResult", |w| {
        w.array("chosenCandidates", |array| tokens.iter().for_each(|token| write_candidate(array, token)));
        w.array("topCandidates", |array| {
            for token in &tokens {
                let top =
                    Object::read(token, "logprobs").and_then(|mut token| token.take_array("top_logprobs"));
                array.object(|w| write_candidates(w, &top.unwrap_or_default()));
            }
        });
    });
}

fn write_candidates(w: &mut ObjectWriter<'_>, tokens: &[&RawValue]) {
    w.array("candidates", |array| tokens.iter().for_each(|token| write_candidate(array, token)));
}

fn write_candidate(array: &mut ArrayWriter<'_>, token: &RawValue) {
    let Ok(mut token) = Object::read(token, "logprobs") else { return };
    array.object(|w| {
        if let Some(text) = token.take("token") {
            w.raw("token", text.get());
        }
        if let Some(odds) = token.take("logprob") {
            w.raw("logProbability", odds.get());
        }
    });
}

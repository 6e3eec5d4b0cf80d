//! The items of an answer, as a caller of this dialect gets them.

use crate::{
    Signature,
    canonical::{Json, Part, PartBody},
    json::{ArrayWriter, ObjectWriter, object},
    responses::{answer::carried, content},
    signature::seal_id,
};

/// The longest part of a response's id that goes into the ids of its items: with all around it, 64 are not passed.
const LONGEST_STEM: usize = 48;

/// Names the items of one response, each differently.
#[derive(Debug, Default)]
pub(crate) struct Names {
    stem: String,
}

impl Names {
    /// Names for the items of the response with this id.
    pub(crate) fn new(id: &str) -> Self {
        let stem = id.strip_prefix("resp_").unwrap_or(id);
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        Self { stem: stem.chars().filter(is_plain).take(LONGEST_STEM).collect() }
    }

    /// The id of the item at a place; `kind` is what ids of such items begin with.
    pub(crate) fn item(&self, kind: &str, place: u64) -> String {
        format!("{kind}_{}_{place}", self.stem)
    }
}

/// The items that say what some pieces say. Words that follow one another are one message.
pub(crate) fn items(id: &str, parts: &[Part], mut logprobs: Option<&Json>) -> Vec<String> {
    let names = Names::new(id);
    let mut items: Vec<Vec<u8>> = Vec::new();
    let mut said: Vec<&Part> = Vec::new();
    let place = |items: &[Vec<u8>]| u64::try_from(items.len()).unwrap_or(u64::MAX);
    for part in parts {
        if matches!(part.body, PartBody::Text(_) | PartBody::Refusal(_)) {
            said.push(part);
            continue;
        }
        if !said.is_empty() {
            let written =
                message(&names.item("msg", place(&items)), &std::mem::take(&mut said), &mut logprobs);
            items.push(written);
        }
        let at = place(&items);
        items.extend(match &part.body {
            PartBody::Thinking { text, signature } => {
                Some(object(|w| reasoning(w, &names.item("rs", at), text, signature.as_ref())))
            }
            PartBody::RedactedThinking { data } => {
                Some(object(|w| reasoning(w, &names.item("rs", at), "", Some(data))))
            }
            PartBody::ToolCall { id, name, arguments } => {
                let id = seal_id(id, part.signature.as_ref());
                let call = Called { call_id: &id, name, arguments, status: "completed" };
                Some(object(|w| function_call(w, &names.item("fc", at), &call)))
            }
            // What no other dialect knows was not asked for here.
            _ => None,
        });
    }
    if !said.is_empty() {
        items.push(message(&names.item("msg", place(&items)), &said, &mut logprobs));
    }
    items.into_iter().filter_map(|item| String::from_utf8(item).ok()).collect()
}

/// The odds of all tokens go with the first text.
fn message(id: &str, said: &[&Part], logprobs: &mut Option<&Json>) -> Vec<u8> {
    object(|w| {
        message_head(w, id, "completed");
        w.array("content", |array| {
            for part in said {
                match &part.body {
                    PartBody::Text(text) => write_text(array, text, part, logprobs.take()),
                    PartBody::Refusal(text) => array.object(|w| {
                        w.string("type", "refusal");
                        w.string("refusal", text);
                    }),
                    _ => {}
                }
            }
        });
    })
}

fn write_text(array: &mut ArrayWriter<'_>, text: &str, part: &Part, logprobs: Option<&Json>) {
    array.object(|w| {
        w.string("type", "output_text");
        w.string("text", text);
        w.array("annotations", |array| {
            for citation in &part.citations {
                content::write_citation(array, citation, text);
            }
        });
        w.raw("logprobs", logprobs.map_or("[]", Json::text));
    });
}

/// Writes what stands before the content of a message.
pub(crate) fn message_head(w: &mut ObjectWriter<'_>, id: &str, status: &str) {
    w.string("id", id);
    w.string("type", "message");
    w.string("status", status);
    w.string("role", "assistant");
}

/// Writes reasoning.
pub(crate) fn reasoning(w: &mut ObjectWriter<'_>, id: &str, text: &str, seal: Option<&Signature>) {
    w.string("id", id);
    w.string("type", "reasoning");
    w.array("summary", |array| {
        if !text.is_empty() {
            array.object(|w| {
                w.string("type", "summary_text");
                w.string("text", text);
            });
        }
    });
    if let Some(seal) = seal.filter(|seal| !seal.data.is_empty()) {
        w.string("encrypted_content", &carried(seal));
    }
}

/// A call of a function.
#[derive(Debug)]
pub(crate) struct Called<'a> {
    pub(crate) call_id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) arguments: &'a str,
    pub(crate) status: &'a str,
}

/// Writes a call of a function.
pub(crate) fn function_call(w: &mut ObjectWriter<'_>, id: &str, call: &Called<'_>) {
    let is_blank = call.arguments.trim().is_empty() && call.status == "completed";
    w.string("id", id);
    w.string("type", "function_call");
    w.string("status", call.status);
    w.string("arguments", if is_blank { "{}" } else { call.arguments });
    w.string("call_id", call.call_id);
    w.string("name", call.name);
}

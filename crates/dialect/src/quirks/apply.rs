//! Edits the fields of a body as a provider's quirks say, in one pass over the bytes.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::{
    Clamp, Fault, OnUnsupported, Outbound, Quirks, StreamUsage,
    losses::Loss,
    openai,
    outbound::{Edit, quoted, splice},
    scan::{Scanner, Span, Text, Token},
};

const ROLE: &str = "messages.role";
const TOOL_CHOICE: &str = "tool_choice";
const CALL_ID: &str = "messages.tool_calls.id";
const RESULT_ID: &str = "messages.tool_call_id";
const IMAGE_URL: &str = "messages.content.image_url.url";
const BARE_IMAGE_URL: &str = "messages.content.image_url";
const REASONING: [&str; 2] = ["messages.reasoning_content", "messages.reasoning"];
const STREAM_OPTIONS: &str = "stream_options";

/// Edits the body of a call, and tells what was left out or bent.
///
/// # Errors
/// A field is not taken and may not be left out; the fault names it.
pub(crate) fn apply(
    mut call: Outbound,
    quirks: &Quirks,
    on_unsupported: OnUnsupported,
) -> Result<Outbound, Fault> {
    if !quirks.edits() {
        return Ok(call);
    }
    let body = call.body.clone();
    let mut editor = Editor {
        quirks,
        on_unsupported,
        scanner: Scanner::new(&body),
        path: String::new(),
        frames: Vec::new(),
        edits: Vec::new(),
        call: &mut call,
        taken: top_level_names(&body, quirks),
    };
    editor.walk()?;
    let edits = editor.edits;
    call.body = splice(&body, edits);
    Ok(call)
}

/// What becomes of a field.
enum Verdict {
    Keep,
    Remove,
}

/// An object that is being read.
struct Frame {
    /// How long the path to it is.
    base: usize,
    /// Where the last member that stays ends.
    end: usize,
    /// Whether a member stays.
    has_kept: bool,
    /// Where the members that go begin.
    cut: Option<usize>,
}

struct Editor<'a> {
    quirks: &'a Quirks,
    on_unsupported: OnUnsupported,
    scanner: Scanner<'a>,
    /// The names that lead to where the scanner is, with dots between them.
    path: String,
    frames: Vec<Frame>,
    edits: Vec<Edit>,
    call: &'a mut Outbound,
    /// New names of fields that are in the body already.
    taken: Vec<String>,
}

impl Editor<'_> {
    fn walk(&mut self) -> Result<(), Fault> {
        loop {
            match self.scanner.next()? {
                None => return Ok(()),
                Some(Token::BeginObject) => {
                    let (base, end) = (self.path.len(), self.scanner.at());
                    self.frames.push(Frame { base, end, has_kept: false, cut: None });
                }
                Some(Token::EndObject) => self.leave(),
                Some(Token::Key(key)) => self.member(key)?,
                Some(_) => {}
            }
        }
    }

    fn leave(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        self.path.truncate(frame.base);
        if let Some(start) = frame.cut {
            let end = self.scanner.at().saturating_sub(1);
            self.edits.push((Span { start, end }, String::new()));
        }
    }

    fn member(&mut self, key: Text) -> Result<(), Fault> {
        let base = self.frames.last().map_or(0, |frame| frame.base);
        self.path.truncate(base);
        if base > 0 {
            self.path.push('.');
        }
        let name = self.scanner.name(key);
        self.path.push_str(&String::from_utf8_lossy(&name));
        let mut ahead = self.scanner.clone();
        let value = ahead.skip()?;
        let verdict = if self.concerns_here() { self.judge(key, value)? } else { Verdict::Keep };
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        if let Verdict::Remove = verdict {
            frame.cut.get_or_insert(frame.end);
            self.scanner = ahead;
            return Ok(());
        }
        if let Some(start) = frame.cut.take() {
            let between = if frame.has_kept { "," } else { "" };
            let span = Span { start, end: key.span().start };
            // The edit of the key itself, if any, was written before; edits are sorted in the end.
            self.edits.push((span, between.to_owned()));
        }
        frame.has_kept = true;
        frame.end = value.end;
        if !self.concerns_below() {
            self.scanner = ahead;
        }
        Ok(())
    }

    fn concerns_here(&self) -> bool {
        let (quirks, path) = (self.quirks, self.path.as_str());
        quirks.unsupported.iter().any(|field| field == path)
            || quirks.only.contains_key(path)
            || quirks.clamp.contains_key(path)
            || quirks.rename.contains_key(path)
            || quirks.lists.iter().any(|field| field == path)
            || words(quirks).any(|field| field == path)
    }

    fn concerns_below(&self) -> bool {
        let (quirks, path) = (self.quirks, self.path.as_str());
        let is_below = |field: &str| field.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        quirks.unsupported.iter().any(|field| is_below(field))
            || quirks.only.keys().chain(quirks.clamp.keys()).any(|field| is_below(field))
            || quirks.rename.keys().chain(&quirks.lists).any(|field| is_below(field))
            || words(quirks).any(is_below)
    }

    fn judge(&mut self, key: Text, value: Span) -> Result<Verdict, Fault> {
        let (quirks, path) = (self.quirks, self.path.clone());
        let text = String::from_utf8_lossy(self.scanner.bytes(value)).into_owned();
        if path == STREAM_OPTIONS && quirks.stream_usage != StreamUsage::Option {
            return Ok(Verdict::Remove);
        }
        if quirks.unsupported.contains(&path) {
            return self.lose(&path, &text, "the provider does not take it");
        }
        if let Some(values) = quirks.only.get(&path) {
            let given: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            if !given.is_null() && !values.contains(&given) {
                let known: Vec<String> = values.iter().map(ToString::to_string).collect();
                return self.lose(&path, &text, &format!("the provider takes only {}", known.join(", ")));
            }
        }
        if let Some(bent) = quirks.clamp.get(&path).and_then(|range| bend(*range, &text)) {
            self.call.defaulted.push((path.clone(), bent.clone()));
            self.edits.push((value, bent));
        }
        if quirks.lists.contains(&path) && !text.starts_with('[') && text != "null" {
            self.edits.push((value, format!("[{text}]")));
        }
        self.reword(&path, value, &text)?;
        let reasoning = quirks.reasoning_field.as_ref().filter(|_| REASONING.contains(&path.as_str()));
        let Some(name) = quirks.rename.get(&path).or(reasoning) else { return Ok(Verdict::Keep) };
        if self.taken.contains(name) {
            return Ok(Verdict::Remove);
        }
        self.edits.push((key.span(), quoted(name)));
        Ok(Verdict::Keep)
    }

    /// Refuses a field, or leaves it out where that is allowed. What asks for nothing is left out without a word.
    fn lose(&mut self, path: &str, value: &str, why: &str) -> Result<Verdict, Fault> {
        if value == "null" || openai::request::loss(path, value) == Loss::Nothing {
            return Ok(Verdict::Remove);
        }
        if self.on_unsupported == OnUnsupported::Refuse {
            return Err(Fault::unsupported(format!("`{path}` cannot be sent to this target: {why}")).at(path));
        }
        if !self.call.dropped.iter().any(|known| known == path) {
            self.call.dropped.push(path.to_owned());
        }
        Ok(Verdict::Remove)
    }

    /// Values that are words of another meaning or form there.
    fn reword(&mut self, path: &str, value: Span, text: &str) -> Result<(), Fault> {
        let quirks = self.quirks;
        let string = || serde_json::from_str::<String>(text).ok();
        match path {
            ROLE if quirks.no_developer_role && string().as_deref() == Some("developer") => {
                self.edits.push((value, quoted("system")));
            }
            TOOL_CHOICE if string().as_deref() == Some("required") => {
                self.edits.extend(quirks.required_tool_choice.as_ref().map(|word| (value, quoted(word))));
            }
            CALL_ID | RESULT_ID => {
                let Some((length, id)) = quirks.tool_call_id_length.zip(string()) else { return Ok(()) };
                if id.len() != usize::from(length) || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
                    self.edits.push((value, quoted(&digest(&id, length))));
                }
            }
            IMAGE_URL | BARE_IMAGE_URL
                if quirks.no_image_urls && string().is_some_and(|url| !url.starts_with("data:")) =>
            {
                let why = "the provider takes images only with their bytes, not by URL";
                let message = format!("`{path}` cannot be sent to this target: {why}");
                return Err(Fault::unsupported(message).at(path));
            }
            _ => {}
        }
        Ok(())
    }
}

/// The fields that are looked at because of quirks that are words.
fn words(quirks: &Quirks) -> impl Iterator<Item = &'static str> {
    let fields = [
        (quirks.stream_usage != StreamUsage::Option, STREAM_OPTIONS),
        (quirks.no_developer_role, ROLE),
        (quirks.required_tool_choice.is_some(), TOOL_CHOICE),
        (quirks.tool_call_id_length.is_some(), CALL_ID),
        (quirks.tool_call_id_length.is_some(), RESULT_ID),
        (quirks.no_image_urls, IMAGE_URL),
        (quirks.no_image_urls, BARE_IMAGE_URL),
        (quirks.reasoning_field.is_some(), REASONING[0]),
        (quirks.reasoning_field.is_some(), REASONING[1]),
    ];
    fields.into_iter().filter_map(|(is_on, field)| is_on.then_some(field))
}

/// New names that the body has already: then the old one goes, as the provider reads the new one.
fn top_level_names(body: &[u8], quirks: &Quirks) -> Vec<String> {
    let mut names = Vec::new();
    let mut scanner = Scanner::new(body);
    if quirks.rename.is_empty() || scanner.next() != Ok(Some(Token::BeginObject)) {
        return names;
    }
    while let Ok(Some(Token::Key(key))) = scanner.next() {
        let name = String::from_utf8_lossy(&scanner.name(key)).into_owned();
        if quirks.rename.values().any(|new| *new == name) && !quirks.rename.contains_key(&name) {
            names.push(name);
        }
        if scanner.skip().is_err() {
            break;
        }
    }
    names
}

/// The nearer end of the range, when a number lies outside.
fn bend(range: Clamp, text: &str) -> Option<String> {
    let number: f64 = text.parse().ok()?;
    let end = match range {
        Clamp { min: Some(min), .. } if number < min => min,
        Clamp { max: Some(max), .. } if number > max => max,
        Clamp { .. } => return None,
    };
    Some(end.to_string())
}

/// An id of this many letters and digits; the same id always becomes the same one.
fn digest(id: &str, length: u8) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = String::with_capacity(usize::from(length));
    for round in 0.. {
        let mut hasher = DefaultHasher::new();
        (round, id).hash(&mut hasher);
        let mut rest = hasher.finish();
        // A round gives ten letters: 62^10 is a little less than 2^64.
        for _ in 0..10 {
            if out.len() == usize::from(length) {
                return out;
            }
            let letter = usize::try_from(rest % 62).ok().and_then(|at| LETTERS.get(at));
            out.extend(letter.map(|letter| char::from(*letter)));
            rest /= 62;
        }
    }
    out
}

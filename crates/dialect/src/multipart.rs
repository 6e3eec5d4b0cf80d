//! Forms (`multipart/form-data`): finds the few fields that routing needs, so that the model can be replaced in place.
//!
//! The rest of the body stays as it is and is not looked at, but for one thing: the boundary must not occur inside a part.
//! Servers differ in what they take for the end of one, and a provider must not see a field that was not seen here.

use memchr::memmem;

use crate::{Fault, scan::Span};

/// More parts than any real form has.
const MOST_PARTS: usize = 128;
/// The longest head of a part.
const LONGEST_HEAD: usize = 8 << 10;
/// The longest value of a field that is read.
const LONGEST_VALUE: usize = 4 << 10;

/// What is known of a form.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// The value of `model`, and where it stands.
    pub(crate) model: Option<(String, Span)>,
    /// The value of `stream`.
    pub(crate) stream: bool,
    /// The length of the `prompt`.
    pub(crate) prompt_chars: u64,
    /// How many files there are.
    pub(crate) files: u32,
}

/// Whether a media type is that of a form.
pub(crate) fn is_form(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("multipart/form-data")
}

/// Reads a form in one pass.
pub(crate) fn scan(content_type: &str, body: &[u8]) -> Result<Form, Fault> {
    let boundary = boundary(content_type)?;
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let mut form = Form::default();
    let mut open: Option<Part> = None;
    let mut is_closed = false;
    for (count, at) in memmem::find_iter(body, &delimiter).enumerate() {
        if count > MOST_PARTS {
            return Err(Fault::invalid(format!("the form has more than {MOST_PARTS} parts")));
        }
        let before = body.get(..at).unwrap_or_default();
        let after = body.get(at + delimiter.len()..).unwrap_or_default();
        let begins_line = at == 0 || before.ends_with(b"\r\n");
        let is_last = after.starts_with(b"--");
        if is_closed || !begins_line || !(is_last || padding(after).is_some()) {
            return Err(wrong("its boundary occurs where no part begins or ends"));
        }
        if let Some(part) = open.take() {
            let end = before.len().saturating_sub(2);
            form.take(&part, body, Span { start: part.value, end: end.max(part.value) })?;
        }
        is_closed = is_last;
        if let Some(padding) = padding(after).filter(|_| !is_last) {
            open = Some(Part::read(body, at + delimiter.len() + padding)?);
        }
    }
    if is_closed { Ok(form) } else { Err(wrong("it has no end")) }
}

/// A part whose end is not known yet.
struct Part {
    name: String,
    is_file: bool,
    /// Where its value begins.
    value: usize,
}

impl Part {
    /// Reads the head of the part that begins at `start`.
    fn read(body: &[u8], start: usize) -> Result<Self, Fault> {
        let rest = body.get(start..).unwrap_or_default();
        let window = rest.get(..LONGEST_HEAD.min(rest.len())).unwrap_or_default();
        let length = if window.starts_with(b"\r\n") {
            0
        } else {
            memmem::find(window, b"\r\n\r\n")
                .ok_or_else(|| wrong("a part of it has no head, or too long a one"))?
                + 2
        };
        let head = std::str::from_utf8(window.get(..length).unwrap_or_default())
            .map_err(|_error| wrong("the head of a part is no text"))?;
        let mut part = Self { name: String::new(), is_file: false, value: start + length + 2 };
        let mut is_disposed = false;
        for line in head.split("\r\n").filter(|line| !line.is_empty()) {
            // Some servers go on with a line that begins with a blank, or end one where only half a break stands.
            let is_plain = !line.starts_with([' ', '\t']) && !line.contains(['\r', '\n', '\0']);
            let (field, value) = line
                .split_once(':')
                .filter(|(field, _)| is_plain && !field.ends_with([' ', '\t']))
                .ok_or_else(|| wrong("a line in the head of a part is no field"))?;
            let value = value.trim();
            if field.eq_ignore_ascii_case("content-disposition") {
                if std::mem::replace(&mut is_disposed, true) {
                    return Err(wrong("a part of it says twice what it is"));
                }
                part.name = parameter(value, "name")?.unwrap_or_default();
                part.is_file = parameter(value, "filename")?.is_some();
            }
            let is_plain = ["7bit", "8bit", "binary"].iter().any(|plain| value.eq_ignore_ascii_case(plain));
            if field.eq_ignore_ascii_case("content-transfer-encoding") && !is_plain {
                return Err(wrong("a part of it is encoded, and forms are not"));
            }
        }
        Ok(part)
    }
}

impl Form {
    fn take(&mut self, part: &Part, body: &[u8], span: Span) -> Result<(), Fault> {
        self.files = self.files.saturating_add(u32::from(part.is_file));
        let value = body.get(span.start..span.end).unwrap_or_default();
        match part.name.as_str() {
            "model" => {
                let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= LONGEST_VALUE);
                let text = text.ok_or_else(|| Fault::invalid("`model` is not a name").at("model"))?;
                if self.model.replace((text.to_owned(), span)).is_some() {
                    return Err(Fault::invalid("`model` is given twice").at("model"));
                }
            }
            "stream" => self.stream = value.eq_ignore_ascii_case(b"true") || value == b"1",
            "prompt" => self.prompt_chars = u64::try_from(value.len()).unwrap_or(u64::MAX),
            name if name.eq_ignore_ascii_case("model") => {
                return Err(Fault::invalid("`model` must be written in lower case").at("model"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// How many bytes stand between a delimiter and the part behind it; `None` when something else stands there.
fn padding(after: &[u8]) -> Option<usize> {
    let blank = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    after.get(blank..)?.starts_with(b"\r\n").then_some(blank + 2)
}

fn boundary(content_type: &str) -> Result<String, Fault> {
    let found = parameter(content_type, "boundary")?.unwrap_or_default();
    if (1..=70).contains(&found.len()) && found.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        Ok(found)
    } else {
        Err(Fault::invalid("the content type of the form does not name its boundary"))
    }
}

/// A parameter of a header's value, without its quotes.
fn parameter(header: &str, wanted: &str) -> Result<Option<String>, Fault> {
    let mut found = None;
    let mut rest = header.split_once(';').map_or("", |(_, rest)| rest);
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').unwrap_or((rest, ""));
        let name = name.trim().trim_start_matches([';', ' ']);
        let (value, tail) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (value, tail) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), tail)
            }
        };
        if name.strip_suffix('*').is_some_and(|name| name.eq_ignore_ascii_case(wanted) && wanted == "name") {
            return Err(wrong("the name of a part is written in a way that forms do not have"));
        }
        if name.eq_ignore_ascii_case(wanted) && found.replace(value).is_some() {
            return Err(wrong(&format!("`{wanted}` is given twice in one header")));
        }
        rest = tail.trim_start().trim_start_matches(';');
    }
    Ok(found)
}

/// The text up to the closing quote, and what follows it.
fn unquoted(quoted: &str) -> Result<(String, &str), Fault> {
    let mut text = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next() {
            Some('"') => return Ok((text, chars.as_str())),
            Some('\\') => text.extend(chars.next()),
            Some(char) => text.push(char),
            None => return Err(wrong("a quotation in one of its heads has no end")),
        }
    }
}

fn wrong(what: &str) -> Fault {
    Fault::invalid(format!("the form cannot be read: {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Form, is_form, scan};
    use crate::{Call, Dialect, Operation, TargetShape, encode_call};

    const TYPE: &str = "multipart/form-data; boundary=XyZ";

    fn form(parts: &[&str]) -> String {
        let parts: String = parts.iter().map(|part| format!("--XyZ\r\n{part}\r\n")).collect();
        format!("{parts}--XyZ--\r\n")
    }

    fn field(name: &str, value: &str) -> String {
        format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}")
    }

    const FILE: &str = "Content-Disposition: form-data; name=\"file\"; filename=\"a; name=model.mp3\"\r\nContent-Type: audio/mpeg\r\n\r\n\0\u{1}\r\n--Xy\r\nmodel";

    #[test]
    fn a_model_cannot_be_hidden_from_here_in_the_head_of_a_part() {
        let allowed = field("model", "allowed");
        for hidden in [
            "Content-Disposition: form-data;\r\n name=\"model\"\r\n\r\nother",
            "Content-Disposition: form-data; name=\"x\"\r\n\t; name=\"model\"\r\n\r\nother",
            "X-A: b\nContent-Disposition: form-data; name=\"model\"\r\n\r\nother",
            "X-A: b\rContent-Disposition: form-data; name=\"model\"\r\n\r\nother",
            "Content-Disposition: form-data; name=\"model\"\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nother",
            "Content-Disposition : form-data; name=\"model\"\r\n\r\nother",
            "nonsense\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nother",
        ] {
            let body = form(&[&allowed, hidden]);
            assert!(scan(TYPE, body.as_bytes()).is_err(), "{hidden}");
        }
    }

    #[test]
    fn the_model_is_found_and_replaced_and_no_other_byte_changes() {
        let body =
            form(&[FILE, &field("model", "whisper"), &field("stream", "true"), &field("prompt", "abc")]);
        let scanned = scan(TYPE, body.as_bytes()).unwrap();
        assert_eq!((scanned.stream, scanned.prompt_chars, scanned.files), (true, 3, 1));
        assert_eq!(scanned.model.unwrap().0, "whisper");

        let asked = crate::Asked {
            content_type: Some(TYPE.to_owned()),
            ..crate::Asked::from((Dialect::OpenAi, Operation::Transcription))
        };
        let call = Call::decode(asked, body.clone().into()).unwrap();
        assert_eq!((call.envelope.model.as_str(), call.envelope.stream), ("whisper", true));
        let out = encode_call(&call, &TargetShape::new(Dialect::OpenAi, "up/whisper-1")).unwrap();
        assert_eq!(out.body, body.replace("\r\n\r\nwhisper\r\n", "\r\n\r\nup/whisper-1\r\n"));
        let same = encode_call(&call, &TargetShape::new(Dialect::OpenAi, "whisper")).unwrap();
        assert_eq!(same.body.as_ptr(), call.body.as_ptr());
    }

    #[test]
    fn a_form_that_a_provider_could_read_otherwise_is_refused() {
        let model = field("model", "m");
        let twice = form(&[&model, &model]);
        let upper = form(&[&field("Model", "m")]);
        let smuggled = form(&[&model, "Content-Disposition: form-data; name=\"x\"\r\n\r\ny\n--XyZ\n\nother"]);
        let starred = form(&["Content-Disposition: form-data; name*=utf-8''model\r\n\r\nm"]);
        let double = form(&["Content-Disposition: form-data; name=a; name=model\r\n\r\nm"]);
        let encoded =
            form(&[&model.replacen("\r\n\r\n", "\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1)]);
        let trailing = form(&[&model]) + "--XyZ\r\n";
        let endless = form(&[&model]).replace("--XyZ--", "");
        for body in [twice, upper, smuggled, starred, double, encoded, trailing, endless] {
            assert!(scan(TYPE, body.as_bytes()).is_err(), "{body}");
        }
        for kind in
            ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"a"]
        {
            assert!(is_form(kind) && scan(kind, b"").is_err(), "{kind}");
        }
        assert!(!is_form("application/json; x=multipart/form-data"));
    }

    #[test]
    fn names_are_read_in_every_way_that_clients_write_them() {
        for head in [
            "Content-Disposition: form-data; name=model",
            "content-disposition:form-data;name=\"model\"",
            "Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"mo\\del\"; x=y",
        ] {
            let body = form(&[&format!("{head}\r\n\r\nm")]);
            assert_eq!(scan(TYPE, body.as_bytes()).unwrap().model.unwrap().0, "m", "{head}");
        }
        let quoted = "multipart/form-data; charset=utf-8; boundary=\"XyZ\"";
        assert_eq!(scan(quoted, form(&[]).as_bytes()).unwrap(), Form::default());
    }

    proptest! {
        #[test]
        fn any_values_leave_the_model_where_it_is(
            before in proptest::collection::vec(any::<u8>(), 0..200),
            model in "[a-zA-Z0-9._/-]{1,40}",
        ) {
            let mut body = b"--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n".to_vec();
            body.extend_from_slice(&before);
            body.extend_from_slice(b"\r\n--XyZ\r\n");
            body.extend_from_slice(field("model", &model).as_bytes());
            body.extend_from_slice(b"\r\n--XyZ--\r\n");
            let (found, span) = scan(TYPE, &body).unwrap().model.unwrap();
            prop_assert_eq!(&found, &model);
            prop_assert_eq!(&body[span.start..span.end], model.as_bytes());
        }

        #[test]
        fn no_bytes_upset_it(body in proptest::collection::vec(any::<u8>(), 0..300), pieces in proptest::collection::vec(0_usize..8, 0..12)) {
            let words: [&[u8]; 8] = [b"--XyZ", b"\r\n", b"--", b"Content-Disposition: form-data; ", b"name=", b"\"model\"", b";", &body];
            let mixed: Vec<u8> = pieces.iter().flat_map(|word| words[*word].to_vec()).collect();
            let _any_verdict = scan(TYPE, &mixed).is_ok();
            let _any_other = scan(&String::from_utf8_lossy(&mixed), &body).is_ok();
        }
    }
}

//! Forms with files in them (`multipart/form-data`), read strictly: what is not one is refused.

use bytes::Bytes;

use crate::answer::{Arrived, Refusal};

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// Files have one.
    pub(crate) filename: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) content: Bytes,
}

/// All fields in order.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<Field>);

impl Form {
    /// Reads the body of a request.
    pub(crate) fn read(arrived: &Arrived<'_>) -> Result<Self, Refusal> {
        let content_type = arrived.header("content-type");
        let refused = |reason: &str| Refusal::new(400, format!("Could not parse multipart form: {reason}"));
        let boundary = content_type
            .strip_prefix("multipart/form-data")
            .and_then(|rest| rest.split(';').find_map(|part| part.trim().strip_prefix("boundary=")))
            .map(|boundary| boundary.trim_matches('"'))
            .filter(|boundary| !boundary.is_empty())
            .ok_or_else(|| refused("the content type is not multipart/form-data with a boundary"))?;
        parse(arrived.body, boundary).map(Self).ok_or_else(|| refused("a part is not well formed"))
    }

    /// A field's text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let field = self.0.iter().find(|field| field.name == name && field.filename.is_none())?;
        Some(String::from_utf8_lossy(&field.content).into_owned())
    }

    /// The files under a name, or under it with `[]`.
    pub(crate) fn files<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Field> {
        self.0.iter().filter(move |field| {
            field.filename.is_some() && (field.name == name || field.name.strip_suffix("[]") == Some(name))
        })
    }

    /// The only file under a name.
    pub(crate) fn file(&self, name: &str) -> Result<&Field, Refusal> {
        self.0
            .iter()
            .find(|field| field.name == name && field.filename.is_some())
            .ok_or_else(|| Refusal::invalid(name, format!("Missing required parameter: '{name}'.")))
    }
}

fn parse(body: &Bytes, boundary: &str) -> Option<Vec<Field>> {
    let first = format!("--{boundary}");
    let between = format!("\r\n--{boundary}");
    let mut fields = Vec::new();
    let mut position = find(body, first.as_bytes(), 0)? + first.len();
    loop {
        let rest = body.get(position..)?;
        if rest.starts_with(b"--") {
            return Some(fields);
        }
        let start = position + rest.starts_with(b"\r\n").then_some(2)?;
        // Headers end with an empty line, which may come at once.
        let head_end =
            if body.get(start..)?.starts_with(b"\r\n") { start } else { find(body, b"\r\n\r\n", start)? };
        let content_start = if head_end == start { start + 2 } else { head_end + 4 };
        let content_end = find(body, between.as_bytes(), content_start)?;
        let head = std::str::from_utf8(body.get(start..head_end)?).ok()?;
        fields.push(field(head, body.slice(content_start..content_end))?);
        position = content_end + between.len();
    }
}

fn field(head: &str, content: Bytes) -> Option<Field> {
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let disposition = header("content-disposition")?;
    let value = |wanted: &str| {
        disposition.split(';').find_map(|part| {
            let (name, value) = part.trim().split_once('=')?;
            (name == wanted).then(|| value.trim_matches('"').to_owned())
        })
    };
    Some(Field {
        name: value("name")?,
        filename: value("filename"),
        content_type: header("content-type").map(str::to_owned),
        content,
    })
}

fn find(body: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let rest = body.get(from..)?;
    rest.windows(wanted.len()).position(|window| window == wanted).map(|position| from + position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_files_are_read_byte_for_byte() {
        let body = "--xx\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--xx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n\r\n--x\r\n\r\n--xx--\r\n";
        let fields = parse(&Bytes::from_static(body.as_bytes()), "xx").unwrap();
        assert_eq!((fields[0].name.as_str(), fields[0].content.as_ref()), ("model", b"m".as_slice()));
        assert_eq!(fields[1].filename.as_deref(), Some("a.wav"));
        assert_eq!(fields[1].content.as_ref(), b"\r\n--x\r\n");
    }

    #[test]
    fn what_does_not_end_is_no_form() {
        let body = Bytes::from_static(b"--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nm\r\n");
        assert_eq!(parse(&body, "xx"), None);
    }
}

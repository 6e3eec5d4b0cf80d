//! Inputs that get far: the recorded exchanges, as inputs of the laws.

use std::path::{Path, PathBuf};

use base64::Engine;
use frontdoor_dialect::Dialect;
use serde_json::Value;

use crate::laws::{BOUNDARY, CHOICES, LAWS};

/// The largest body that is taken: larger ones say nothing new and take long.
const LARGEST: usize = 12 << 10;

/// An input of a law, and which of its choices may vary without making nonsense of the rest.
#[derive(Debug, Clone)]
pub(crate) struct Seed {
    pub(crate) law: &'static str,
    pub(crate) input: Vec<u8>,
    pub(crate) free: [bool; CHOICES],
}

impl Seed {
    fn new(law: &'static str, choices: [u8; CHOICES], free: [bool; CHOICES], body: &[u8]) -> Self {
        assert!(LAWS.iter().any(|(name, _)| *name == law));
        Self { law, input: [&choices[..], body].concat(), free }
    }
}

/// The recordings of this repository, and those of a directory named by `FRONTDOOR_RECORDINGS`.
pub(crate) fn seeds() -> Vec<Seed> {
    let mut directories = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings"))];
    directories.extend(std::env::var_os("FRONTDOOR_RECORDINGS").map(PathBuf::from));
    let mut files: Vec<PathBuf> = directories
        .iter()
        .flat_map(|directory| std::fs::read_dir(directory).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    let mut seeds: Vec<Seed> = files.iter().flat_map(|path| of_file(path)).collect();
    seeds.retain(|seed| seed.input.len() <= LARGEST);
    seeds.extend(forms());
    seeds
}

/// The places of a dialect, of its wire and of the operation, in the lists of the laws.
fn places(file: &str) -> Option<(Dialect, u8, u8)> {
    let (_, endpoint) = file.strip_suffix(".jsonl")?.split_once('.')?;
    let (dialect, operation) = match endpoint {
        "openai.chat" => (Dialect::OpenAi, 0),
        "openai.embeddings" => (Dialect::OpenAi, 1),
        "openai.responses" => (Dialect::Responses, 0),
        "anthropic.messages" => (Dialect::Anthropic, 0),
        "anthropic.count" => (Dialect::Anthropic, 3),
        "gemini.generate" => (Dialect::Gemini, 0),
        "gemini.count" => (Dialect::Gemini, 3),
        "gemini.embed" => (Dialect::Gemini, 1),
        "bedrock.converse" => (Dialect::Bedrock, 0),
        "cohere.chat" => (Dialect::Cohere, 0),
        "cohere.embed" => (Dialect::Cohere, 1),
        "cohere.rerank" => (Dialect::Cohere, 2),
        _ => return None,
    };
    let place = Dialect::ALL.iter().position(|known| *known == dialect).unwrap();
    Some((dialect, u8::try_from(place).unwrap(), operation))
}

fn of_file(path: &Path) -> Vec<Seed> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let Some((_, place, operation)) = places(&name) else { return Vec::new() };
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.flat_map(|line| of_exchange(&line, place, operation)).collect()
}

fn of_exchange(line: &Value, place: u8, operation: u8) -> Vec<Seed> {
    let request = line["request"]["json"].to_string();
    let body = &line["response"]["body"];
    let is_stream = line["request"]["path"].as_str().unwrap_or_default().contains("tream")
        || line["request"]["json"]["stream"] == true;
    let mut seeds = vec![
        Seed::new("call", [place, operation, u8::from(is_stream)], [false, false, true], request.as_bytes()),
        Seed::new("quirks", [0, 0xff, 0], [true, true, true], request.as_bytes()),
    ];
    let bytes = match (&body["text"], &body["base64"]) {
        (Value::String(text), _) => text.as_bytes().to_vec(),
        (_, Value::String(data)) => base64::engine::general_purpose::STANDARD.decode(data).unwrap(),
        _ => return seeds,
    };
    if line["response"]["status"] != 200 {
        seeds.push(Seed::new("fault", [place, 2, 0], [true, true, true], &bytes));
    } else if body["base64"].is_string() {
        seeds.push(Seed::new("frames", [0, 0, 1], [true, false, true], &bytes));
        seeds.push(Seed::new("stream", [0, place, 1], [true, false, true], records(&bytes).as_bytes()));
    } else if is_stream {
        let bytes = String::from_utf8(bytes).unwrap().replace("\r\n", "\n");
        seeds.push(Seed::new("frames", [0, 0, 1], [true, false, true], bytes.as_bytes()));
        seeds.push(Seed::new("stream", [0, place, 1], [true, false, true], bytes.as_bytes()));
        if place == 2 {
            seeds.push(Seed::new("stream", [0, 6, 1], [true, false, true], bytes.as_bytes()));
        }
    } else {
        let operation = [0, 2, 0, 3][usize::from(operation)];
        seeds.push(Seed::new("answer", [0, place, operation], [true, false, false], &bytes));
        seeds.push(Seed::new("frames", [0, 2, 1], [true, false, true], &bytes));
    }
    seeds
}

/// AWS's messages as records of text.
fn records(mut bytes: &[u8]) -> String {
    let mut text = String::new();
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    while bytes.len() >= 16 {
        let (total, headers) = (number(bytes), number(&bytes[4..]));
        let head = String::from_utf8_lossy(&bytes[12..12 + headers]);
        // The value of a text header: a type, two bytes of length, and the text.
        let name = head.split_once(":event-type").map_or("", |(_, rest)| &rest[3..]);
        let name: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
        let payload = String::from_utf8_lossy(&bytes[12 + headers..total - 4]);
        text += &format!("event: {name}\ndata: {payload}\n\n");
        bytes = &bytes[total..];
    }
    text
}

/// Forms as the official SDKs send them.
fn forms() -> Vec<Seed> {
    let part = |head: &str, body: &str| {
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n{body}\r\n")
    };
    let model = part(r#"name="model""#, "whisper-1");
    let file =
        part("name=\"file\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg", "\u{1}\r\n--front\r\n\u{2}");
    let format = part(r#"name="response_format""#, "json");
    let end = format!("--{BOUNDARY}--\r\n");
    [[&model, &file, &format, &end], [&file, &format, &model, &end]]
        .map(|parts| {
            let form: String = parts.into_iter().map(String::as_str).collect();
            Seed::new("form", [0, 0, 0], [true, true, true], form.as_bytes())
        })
        .into()
}

//! Seeded changes of inputs: of bytes, of values in JSON, and of whole records of a stream.

use serde_json::{Value, json};

use crate::{corpus::Seed, laws::CHOICES};

/// xorshift64: enough to vary, and the same everywhere.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(below.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.next(256)).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.next(from.len())]
    }

    /// An input near a seed; sometimes the seed itself, said to somebody else.
    pub(crate) fn mutate(&mut self, seeds: &[&Seed]) -> Vec<u8> {
        let seed = *self.pick(seeds);
        let mut choices: [u8; CHOICES] = seed.input[..CHOICES].try_into().unwrap();
        for (choice, free) in choices.iter_mut().zip(seed.free) {
            if free || self.next(20) == 0 {
                *choice = self.byte();
            }
        }
        let mut body = seed.input[CHOICES..].to_vec();
        let other = &self.pick(seeds).input[CHOICES..];
        for _ in 0..self.next(4) {
            body = match self.next(8) {
                0 => self.bytes(body, other),
                1 if body.windows(2).any(|pair| pair == b"\n\n") => self.records(&body, other),
                _ => self.values(body, other),
            };
        }
        [&choices[..], &body].concat()
    }

    fn bytes(&mut self, mut bytes: Vec<u8>, other: &[u8]) -> Vec<u8> {
        for _ in 0..=self.next(4) {
            let at = self.next(bytes.len());
            match self.next(5) {
                0 if !bytes.is_empty() => bytes[at] = self.byte(),
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"{}[]\",:\\\n\r\xff0e-"[self.next(14)]),
                3 if self.next(4) == 0 => bytes.truncate(at),
                _ => {
                    let from = self.next(other.len());
                    let length = self.next(40).min(other.len() - from);
                    bytes.splice(at..at, other[from..from + length].iter().copied());
                }
            }
        }
        bytes
    }

    /// Drops, doubles, swaps or replaces records.
    fn records(&mut self, body: &[u8], other: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(body);
        let mut records: Vec<&str> = text.split_inclusive("\n\n").collect();
        let other = String::from_utf8_lossy(other);
        let (at, to) = (self.next(records.len()), self.next(records.len()));
        match self.next(4) {
            0 => drop(records.remove(at)),
            1 => records.insert(to, records[at]),
            2 => records.swap(at, to),
            _ => {
                let others: Vec<&str> = other.split_inclusive("\n\n").collect();
                records[at] = *self.pick(&others);
            }
        }
        records.concat().into_bytes()
    }

    /// Changes a value of the body, or of one of its records.
    fn values(&mut self, body: Vec<u8>, other: &[u8]) -> Vec<u8> {
        if let Ok(mut value) = serde_json::from_slice::<Value>(&body) {
            self.value(&mut value, other);
            return value.to_string().into_bytes();
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        let lines: Vec<&str> = text.split('\n').collect();
        let data: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with("data: {")).collect();
        if data.is_empty() {
            return self.bytes(body, other);
        }
        let at = *self.pick(&data);
        let Ok(mut value) = serde_json::from_str::<Value>(&lines[at]["data: ".len()..]) else { return body };
        self.value(&mut value, other);
        let line = format!("data: {value}");
        let lines: Vec<&str> =
            lines.iter().enumerate().map(|(place, old)| if place == at { &line } else { *old }).collect();
        lines.join("\n").into_bytes()
    }

    fn value(&mut self, value: &mut Value, other: &[u8]) {
        // Down to somewhere.
        let mut place = value;
        while self.next(5) != 0 {
            let length = match &*place {
                Value::Array(items) => items.len(),
                Value::Object(fields) => fields.len(),
                _ => 0,
            };
            if length == 0 {
                break;
            }
            let at = self.next(length);
            place = match place {
                Value::Array(items) => &mut items[at],
                Value::Object(fields) => fields.values_mut().nth(at).unwrap(),
                _ => return,
            };
        }
        self.change(place, other);
    }

    fn change(&mut self, place: &mut Value, other: &[u8]) {
        match (self.next(5), &mut *place) {
            (0, Value::Array(items)) if !items.is_empty() => {
                let item = items[self.next(items.len())].clone();
                items.insert(self.next(items.len()), item);
            }
            (1, Value::Array(items)) if !items.is_empty() => drop(items.remove(self.next(items.len()))),
            (1, Value::Object(fields)) if !fields.is_empty() => {
                let name = fields.keys().nth(self.next(fields.len())).unwrap().clone();
                fields.remove(&name);
            }
            (0 | 2, Value::Object(fields)) => {
                let name = (*self.pick(&NAMES)).to_owned();
                let value = self.odd();
                fields.insert(name, value);
            }
            (3, _) => {
                if let Ok(other) = serde_json::from_slice::<Value>(other) {
                    *place = self.somewhere(other);
                }
            }
            _ => *place = self.odd(),
        }
    }

    /// A value inside another.
    fn somewhere(&mut self, mut value: Value) -> Value {
        loop {
            let inside: Vec<Value> = match value {
                Value::Array(items) => items,
                Value::Object(fields) => fields.into_iter().map(|(_, value)| value).collect(),
                plain => return plain,
            };
            if inside.is_empty() {
                return Value::Null;
            }
            value = self.pick(&inside).clone();
            if self.next(4) == 0 {
                return value;
            }
        }
    }

    fn odd(&mut self) -> Value {
        let text = |text: &str| Value::from(text);
        match self.next(26) {
            0 => Value::Null,
            1 => json!({}),
            2 => json!([]),
            3 => json!(0),
            4 => json!(-1),
            5 => json!(u64::MAX),
            6 => json!(1.5),
            7 => json!(1e300),
            8 => json!(true),
            9 => json!(false),
            10 => text(""),
            11 => text("null"),
            12 => text("\u{0}\u{1f}\u{2028}é😀"),
            13 => text("data:image/png;base64,AAAA"),
            14 => text("https://example.com/a.png?x=1#y"),
            15 => text("anthropic#AAAA"),
            16 => text("call_1__sig_Z2VtaW5pI0FBQUE"),
            17 => json!([{}]),
            18 => json!([null]),
            19 => json!({"type": "text", "text": "x"}),
            20 => {
                json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/a"}}})
            }
            21 => json!([[[[[[{"a": [1]}]]]]]]),
            22 => text("{\"a\":"),
            23 => json!(["a", "b"]),
            24 => text(self.pick::<&str>(&NAMES)),
            _ => json!(self.next(100_000)),
        }
    }
}

/// Names and words that mean something to some dialect.
const NAMES: [&str; 72] = [
    "type",
    "role",
    "content",
    "text",
    "id",
    "name",
    "index",
    "delta",
    "usage",
    "error",
    "message",
    "model",
    "stop",
    "n",
    "seed",
    "tools",
    "tool_choice",
    "tool_calls",
    "tool_call_id",
    "function",
    "arguments",
    "input",
    "output",
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "stream",
    "max_tokens",
    "temperature",
    "reasoning",
    "reasoning_effort",
    "thinking",
    "signature",
    "cache_control",
    "image_url",
    "source",
    "data",
    "url",
    "response_format",
    "json_schema",
    "schema",
    "logprobs",
    "metadata",
    "service_tier",
    "finish_reason",
    "stop_reason",
    "choices",
    "contents",
    "parts",
    "functionCall",
    "functionResponse",
    "thoughtSignature",
    "inlineData",
    "generationConfig",
    "finishReason",
    "candidates",
    "usageMetadata",
    "toolUse",
    "toolResult",
    "toolUseId",
    "cachePoint",
    "inferenceConfig",
    "reasoningContent",
    "stopReason",
    "citations",
    "documents",
    "previous_response_id",
    "include",
    "text_delta",
    "tool_use",
];

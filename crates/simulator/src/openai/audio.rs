//! `POST /v1/audio/transcriptions`, `/v1/audio/translations` and `/v1/audio/speech`. A recording says its name and size; a speech
//! is silence, or bytes that no player plays.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Arrived, Content, Facts, Made, Parsed, Question, Refusal, SSE};
use crate::body::Event;
use crate::ledger::Billed;
use crate::multipart::Form;
use crate::openai::{body, check_model, model_of, odd_events};
use crate::reply::{self, Ask, input, tokens_of};

/// Bytes of one second of sound, whatever the format.
const BYTES_PER_SECOND: usize = 16_000;

/// What a second of sound costs to hear.
const TOKENS_PER_SECOND: u64 = 10;

struct Transcription {
    model: String,
    said: String,
    seconds: u64,
    prompt: String,
    format: String,
    streams: bool,
    is_translation: bool,
}

/// Reads `POST /v1/audio/transcriptions`.
pub(crate) fn read_transcription(arrived: &Arrived<'_>) -> Parsed {
    read(arrived, false)
}

/// Reads `POST /v1/audio/translations`.
pub(crate) fn read_translation(arrived: &Arrived<'_>) -> Parsed {
    read(arrived, true)
}

fn read(arrived: &Arrived<'_>, is_translation: bool) -> Parsed {
    let form = Form::read(arrived)?;
    let file = form.file("file")?;
    let model = model_of(arrived, form.text("model").unwrap_or_default())?;
    check_model(&model)?;
    let name = file.filename.clone().unwrap_or_default();
    let known = ["flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm"];
    if !name.rsplit_once('.').is_some_and(|(_, kind)| known.contains(&kind)) {
        let message = format!("Unsupported file format. Supported formats: {known:?}");
        return Err(Refusal::invalid("file", message));
    }
    if file.content.is_empty() {
        return Err(Refusal::invalid(
            "file",
            "Audio file is too short. Minimum audio length is 0.1 seconds.",
        ));
    }
    let format = form.text("response_format").unwrap_or_else(|| "json".to_owned());
    let is_whisper = model.starts_with("whisper");
    let formats: &[&str] = if is_whisper {
        &["json", "text", "srt", "verbose_json", "vtt"]
    } else {
        &["json", "text", "verbose_json", "diarized_json"]
    };
    if !formats.contains(&format.as_str()) {
        let message = format!("response_format '{format}' is not compatible with model '{model}'.");
        return Err(Refusal::invalid("response_format", message));
    }
    let seconds = u64::try_from(file.content.len().div_ceil(BYTES_PER_SECOND)).unwrap_or(u64::MAX);
    Ok(Box::new(Transcription {
        said: format!("{name} of {} bytes", file.content.len()),
        seconds,
        prompt: form.text("prompt").unwrap_or_default(),
        // Whisper does not stream, and says nothing about it.
        streams: !is_whisper && !is_translation && form.text("stream").as_deref() == Some("true"),
        model,
        format,
        is_translation,
    }))
}

impl Transcription {
    fn usage(&self, billed: &Billed) -> Value {
        if self.model.starts_with("whisper") {
            return json!({"type": "duration", "seconds": self.seconds});
        }
        let heard = self.seconds * TOKENS_PER_SECOND;
        json!({
            "type": "tokens", "input_tokens": billed.input, "output_tokens": billed.output,
            "total_tokens": billed.input + billed.output,
            "input_token_details": {"audio_tokens": heard, "text_tokens": billed.input.saturating_sub(heard)},
        })
    }

    fn answered(&self, text: &str, billed: &Billed, facts: &Facts<'_>) -> Content {
        let plain = |text: String| Content::Whole(Bytes::from(text), "text/plain; charset=utf-8");
        let end = format!("00:00:{:02}", self.seconds.min(59));
        match self.format.as_str() {
            "text" => plain(format!("{text}\n")),
            "srt" => plain(format!("1\n00:00:00,000 --> {end},000\n{text}\n\n")),
            "vtt" => plain(format!("WEBVTT\n\n00:00:00.000 --> {end}.000\n{text}\n\n")),
            format => {
                let answer = self.object(text, format == "verbose_json", billed, facts);
                Content::Whole(Bytes::from(answer.to_string()), crate::answer::JSON)
            }
        }
    }

    fn object(&self, text: &str, is_verbose: bool, billed: &Billed, facts: &Facts<'_>) -> Value {
        let mut answer = json!({"text": text});
        let Some(members) = answer.as_object_mut() else { return answer };
        if facts.reports_usage() && !self.is_translation {
            members.insert("usage".to_owned(), self.usage(billed));
        }
        if is_verbose {
            let task = if self.is_translation { "translate" } else { "transcribe" };
            let segment = json!({
                "id": 0, "seek": 0, "start": 0.0, "end": self.seconds, "text": text, "tokens": [1], "temperature": 0.0,
                "avg_logprob": -0.25, "compression_ratio": 1.0, "no_speech_prob": 0.0,
            });
            members.insert("task".to_owned(), json!(task));
            members.insert("language".to_owned(), json!("english"));
            members.insert("duration".to_owned(), json!(self.seconds));
            members.insert("segments".to_owned(), json!([segment]));
        }
        answer
    }
}

impl Question for Transcription {
    fn model(&self) -> &str {
        &self.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let ask = Ask {
            last_text: self.said.clone(),
            input_tokens: self.seconds * TOKENS_PER_SECOND + tokens_of(&self.prompt),
            ..Ask::default()
        };
        let reply = reply::reply(&ask, facts.behaviour);
        let billed = reply.billed;
        if !self.streams {
            return Ok(Made { content: self.answered(&reply.text, &billed, facts), billed });
        }
        let record = |kind: &str, mut data: Value, tokens: u64| {
            if let Some(members) = data.as_object_mut() {
                members.insert("type".to_owned(), Value::from(kind));
            }
            Event::new(format!("event: {kind}\ndata: {data}\n\n"), tokens)
        };
        let delta = "transcript.text.delta";
        let mut events: Vec<Event> =
            reply.text.split_inclusive(' ').map(|word| record(delta, json!({"delta": word}), 1)).collect();
        let done = if facts.reports_usage() {
            json!({"text": reply.text, "usage": self.usage(&billed)})
        } else {
            json!({"text": reply.text})
        };
        events.push(record("transcript.text.done", done, reply.billed.reasoning));
        Ok(Made { content: Content::Stream(events, odd_events(delta, facts), SSE), billed })
    }
}

#[derive(Debug, Deserialize)]
struct Speech {
    #[serde(default)]
    model: String,
    input: String,
    voice: Value,
    response_format: Option<String>,
    stream_format: Option<String>,
    speed: Option<f64>,
}

/// Reads `POST /v1/audio/speech`.
pub(crate) fn read_speech(arrived: &Arrived<'_>) -> Parsed {
    let mut speech: Speech = body(arrived)?;
    speech.model = model_of(arrived, std::mem::take(&mut speech.model))?;
    check_model(&speech.model)?;
    if speech.input.is_empty() || speech.input.chars().count() > 4096 {
        return Err(Refusal::invalid(
            "input",
            "Invalid 'input': expected a string with a length between 1 and 4096.",
        ));
    }
    if speech.voice.is_null() {
        return Err(Refusal::invalid("voice", "Missing required parameter: 'voice'."));
    }
    if speech.speed.is_some_and(|speed| !(0.25..=4.0).contains(&speed)) {
        return Err(Refusal::invalid("speed", "Invalid 'speed': expected a value between 0.25 and 4."));
    }
    if speech.content_type().is_none() {
        return Err(Refusal::invalid("response_format", "Invalid 'response_format'."));
    }
    Ok(Box::new(speech))
}

impl Speech {
    fn content_type(&self) -> Option<&'static str> {
        match self.response_format.as_deref().unwrap_or("mp3") {
            "mp3" => Some("audio/mpeg"),
            "opus" => Some("audio/opus"),
            "aac" => Some("audio/aac"),
            "flac" => Some("audio/flac"),
            "wav" => Some("audio/wav"),
            "pcm" => Some("audio/pcm"),
            _ => None,
        }
    }

    /// Ten bytes a word, so that a longer text is a longer sound.
    fn sound(&self) -> Vec<u8> {
        let words = self.input.split_whitespace().count();
        let mut sound =
            format!("simulated {}\n", self.response_format.as_deref().unwrap_or("mp3")).into_bytes();
        sound.resize(sound.len() + words * 10, 0);
        sound
    }
}

impl Question for Speech {
    fn model(&self) -> &str {
        &self.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let sound = self.sound();
        let output = u64::try_from(sound.len().div_ceil(10)).unwrap_or(u64::MAX);
        let billed = Billed { output, ..input(tokens_of(&self.input), facts.behaviour) };
        if self.stream_format.as_deref() != Some("sse") {
            let content_type = self.content_type().unwrap_or("audio/mpeg");
            return Ok(Made { content: Content::Whole(Bytes::from(sound), content_type), billed });
        }
        let kind = "speech.audio.delta";
        let mut events: Vec<Event> = sound
            .chunks(10)
            .map(|chunk| json!({"type": kind, "audio": STANDARD.encode(chunk)}))
            .map(|data| Event::new(format!("event: {kind}\ndata: {data}\n\n"), 1))
            .collect();
        let usage = json!({"input_tokens": billed.input, "output_tokens": output, "total_tokens": billed.input + output});
        let done = if facts.reports_usage() {
            json!({"type": "speech.audio.done", "usage": usage})
        } else {
            json!({"type": "speech.audio.done"})
        };
        events.push(Event::new(format!("event: speech.audio.done\ndata: {done}\n\n"), 0));
        Ok(Made { content: Content::Stream(events, odd_events(kind, facts), SSE), billed })
    }
}

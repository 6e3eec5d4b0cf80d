//! What has no canonical form: images, audio, moderations, files and batches.

use super::*;

const ANTHROPIC: [(&str, &str); 2] = [("x-api-key", "k"), ("anthropic-version", "2023-06-01")];

#[tokio::test]
async fn images_are_drawn_whole_and_in_parts() {
    let world = World::new().await;
    let ask = json!({"model": "gpt-image-1", "prompt": "a cat", "n": 2});
    let json = world.call("POST", "/v1/images/generations", &[], &ask).await.json();
    assert_eq!(json["data"].as_array().unwrap().len(), 2);
    assert_eq!(json["usage"]["output_tokens"], 544);
    let ask = json!({"model": "gpt-image-1", "prompt": "a cat", "stream": true, "partial_images": 1});
    let events = world.call("POST", "/v1/images/generations", &[], &ask).await.events();
    assert_eq!(events[0]["type"], "image_generation.partial_image");
    assert_eq!(events[1]["usage"]["output_tokens"], 272);
    let row = &world.running.ledger()[0];
    assert_eq!((row.calls, row.output_tokens), (2, 816));
    let ask = json!({"model": "dall-e-3", "prompt": "a cat"});
    let json = world.call("POST", "/v1/images/generations", &[], &ask).await.json();
    assert!(json["data"][0]["url"].is_string());
}

#[tokio::test]
async fn an_image_is_edited_from_a_form() {
    let world = World::new().await;
    let fields = [
        ("model", None, "gpt-image-1"),
        ("prompt", None, "a hat"),
        ("image[]", Some("a.png"), "png"),
        ("image[]", Some("b.png"), "png"),
    ];
    let json = world.form("/v1/images/edits", &[], &fields).await.json();
    assert_eq!(json["usage"]["input_tokens_details"]["image_tokens"], 170);
    assert_eq!(world.form("/v1/images/edits", &[], &fields[..2]).await.status, 400);
    assert_eq!(world.call("POST", "/v1/images/edits", &[], &json!({"prompt": "a hat"})).await.status, 400);
}

#[tokio::test]
async fn a_recording_is_written_down_in_each_format() {
    let world = World::new().await;
    let send = async |model: &str, more: (&'static str, &'static str)| {
        let fields = [("model", None, model), ("file", Some("a.wav"), "sound"), (more.0, None, more.1)];
        world.form("/v1/audio/transcriptions", &[], &fields).await
    };
    let json = send("gpt-4o-transcribe", ("response_format", "json")).await.json();
    assert_eq!(json["text"], "You said: a.wav of 5 bytes");
    assert_eq!(json["usage"]["output_tokens"], 6);
    let text = send("whisper-1", ("response_format", "text")).await;
    assert_eq!(text.text, "You said: a.wav of 5 bytes\n");
    assert!(text.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    let verbose = send("whisper-1", ("response_format", "verbose_json")).await.json();
    assert_eq!((&verbose["task"], &verbose["usage"]["type"]), (&json!("transcribe"), &json!("duration")));
    let events = send("gpt-4o-transcribe", ("stream", "true")).await.events();
    assert_eq!(events[0]["type"], "transcript.text.delta");
    assert_eq!(events[6]["text"], "You said: a.wav of 5 bytes");
    assert_eq!(events[6]["usage"]["output_tokens"], 6);
    assert_eq!(send("gpt-4o-transcribe", ("response_format", "srt")).await.status, 400);
    let fields = [("model", None, "whisper-1"), ("file", Some("a.txt"), "text")];
    assert_eq!(world.form("/v1/audio/transcriptions", &[], &fields).await.status, 400);
    let fields = [("model", None, "whisper-1"), ("file", Some("a.mp3"), "sound")];
    assert_eq!(
        world.form("/v1/audio/translations", &[], &fields).await.json()["text"],
        "You said: a.mp3 of 5 bytes"
    );
}

#[tokio::test]
async fn a_speech_is_bytes_of_the_type_asked_for() {
    let world = World::new().await;
    let ask = json!({"model": "tts-1", "input": "two words", "voice": "alloy", "response_format": "wav"});
    let answer = world.call("POST", "/v1/audio/speech", &[], &ask).await;
    assert_eq!(answer.headers["content-type"], "audio/wav");
    assert_eq!(answer.text.len(), 34);
    let ask =
        json!({"model": "gpt-4o-mini-tts", "input": "two words", "voice": "alloy", "stream_format": "sse"});
    let events = world.call("POST", "/v1/audio/speech", &[], &ask).await.events();
    assert_eq!(events.last().unwrap()["type"], "speech.audio.done");
    assert_eq!(
        world
            .call("POST", "/v1/audio/speech", &[], &json!({"model": "tts-1", "input": "", "voice": "a"}))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn a_text_is_flagged_for_what_it_says() {
    let world = World::new().await;
    let json = world
        .call("POST", "/v1/moderations", &[], &json!({"input": ["hello", "I will kill you"]}))
        .await
        .json();
    let flagged: Vec<_> =
        json["results"].as_array().unwrap().iter().map(|result| result["flagged"].clone()).collect();
    assert_eq!(flagged, [false, true]);
    assert_eq!(json["results"][1]["categories"]["violence"], true);
}

#[tokio::test]
async fn openai_keeps_files_and_runs_batches_over_them() {
    let world = World::new().await;
    let line = json!({"custom_id": "one", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "sim-gpt", "messages": user("good day")}});
    let wrong = json!({"custom_id": "two", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "sim-gpt", "messages": []}});
    let input = format!("{line}\n{wrong}\n");
    let fields = [("purpose", None, "batch"), ("file", Some("in.jsonl"), input.as_str())];
    let file = world.form("/v1/files", &[], &fields).await.json();
    let path = format!("/v1/files/{}", file["id"].as_str().unwrap());
    assert_eq!(world.call("GET", &path, &[], &Value::Null).await.json(), file);
    assert_eq!(world.call("GET", &format!("{path}/content"), &[], &Value::Null).await.text, input);
    assert_eq!(world.call("GET", "/v1/files", &[], &Value::Null).await.json()["data"], json!([file]));

    let create =
        json!({"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"});
    let batch = world.call("POST", "/v1/batches", &[], &create).await.json();
    assert_eq!(batch["status"], "validating");
    let done = world
        .call("GET", &format!("/v1/batches/{}", batch["id"].as_str().unwrap()), &[], &Value::Null)
        .await
        .json();
    assert_eq!(done["request_counts"], json!({"total": 2, "completed": 1, "failed": 1}));
    let output = format!("/v1/files/{}/content", done["output_file_id"].as_str().unwrap());
    let lines = world.call("GET", &output, &[], &Value::Null).await.text;
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["response"]["body"]["choices"][0]["message"]["content"], "You said: good day");
    let cancelled = world
        .call("POST", &format!("/v1/batches/{}/cancel", batch["id"].as_str().unwrap()), &[], &Value::Null)
        .await;
    assert_eq!(cancelled.json()["status"], "cancelling");
    assert_eq!(world.running.ledger().iter().find(|row| row.path == "/v1/batches").unwrap().output_tokens, 4);

    assert_eq!(world.call("DELETE", &path, &[], &Value::Null).await.json()["deleted"], true);
    assert_eq!(world.call("GET", &path, &[], &Value::Null).await.status, 404);
    assert_eq!(world.call("POST", "/v1/batches", &[], &create).await.status, 400);
    assert_eq!(world.call("GET", "/v1/batches/batch_none", &[], &Value::Null).await.status, 404);
}

#[tokio::test]
async fn anthropic_keeps_files_of_its_own() {
    let world = World::new().await;
    let fields = [("file", Some("a.pdf"), "a document")];
    let file = world.form("/v1/files", &ANTHROPIC, &fields).await.json();
    assert_eq!((&file["type"], &file["size_bytes"]), (&json!("file"), &json!(10)));
    assert_eq!(file["created_at"], "2026-02-02T02:40:00Z");
    let path = format!("/v1/files/{}", file["id"].as_str().unwrap());
    assert_eq!(world.call("GET", &path, &ANTHROPIC, &Value::Null).await.json(), file);
    assert_eq!(world.call("GET", "/v1/files", &ANTHROPIC, &Value::Null).await.json()["data"], json!([file]));
    assert_eq!(world.call("GET", "/v1/files", &[], &Value::Null).await.json()["data"], json!([]));
    assert_eq!(world.call("GET", &format!("{path}/content"), &ANTHROPIC, &Value::Null).await.status, 400);
    assert_eq!(world.call("DELETE", &path, &ANTHROPIC, &Value::Null).await.json()["type"], "file_deleted");
    assert_eq!(
        world.call("GET", &path, &ANTHROPIC, &Value::Null).await.json()["error"]["type"],
        "not_found_error"
    );
}

#[tokio::test]
async fn anthropic_runs_batches_of_messages() {
    let world = World::new().await;
    let one = json!({"custom_id": "one", "params": {"model": "sim-claude", "max_tokens": 100, "messages": user("good day")}});
    let two = json!({"custom_id": "two", "params": {"model": "sim-claude", "messages": user("good day")}});
    let batch =
        world.call("POST", "/v1/messages/batches", &ANTHROPIC, &json!({"requests": [one, two]})).await.json();
    assert_eq!(batch["processing_status"], "in_progress");
    let path = format!("/v1/messages/batches/{}", batch["id"].as_str().unwrap());
    let done = world.call("GET", &path, &ANTHROPIC, &Value::Null).await.json();
    assert_eq!(
        (&done["processing_status"], &done["request_counts"]["errored"]),
        (&json!("ended"), &json!(1))
    );
    assert_eq!(done["results_url"], format!("{}{path}/results", world.running.url()));
    let results = world.call("GET", &format!("{path}/results"), &ANTHROPIC, &Value::Null).await.text;
    let results: Vec<Value> = results.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(results[0]["result"]["message"]["content"][0]["text"], "You said: good day");
    assert_eq!(results[1]["result"]["error"]["error"]["type"], "invalid_request_error");
    assert_eq!(world.call("POST", &format!("{path}/cancel"), &ANTHROPIC, &Value::Null).await.status, 200);
    assert_eq!(world.call("DELETE", &path, &ANTHROPIC, &Value::Null).await.status, 200);
    assert_eq!(world.call("GET", &path, &ANTHROPIC, &Value::Null).await.status, 404);
    let twice = json!({"requests": [one, one]});
    assert_eq!(world.call("POST", "/v1/messages/batches", &ANTHROPIC, &twice).await.status, 400);
}

#[tokio::test]
async fn azure_names_the_deployment_in_the_path_and_wants_a_version() {
    let world = World::new().await;
    let ask = json!({"messages": user("good day")});
    let path = "/openai/deployments/my-gpt/chat/completions";
    assert_eq!(world.call("POST", path, &[("api-key", "k")], &ask).await.status, 404);
    let json =
        world.call("POST", &format!("{path}?api-version=2024-10-21"), &[("api-key", "k")], &ask).await.json();
    assert_eq!(
        (&json["model"], &json["choices"][0]["message"]["content"]),
        (&json!("my-gpt"), &json!("You said: good day"))
    );
    assert_eq!(json["choices"][0]["content_filter_results"]["hate"]["filtered"], false);
    let ask = json!({"messages": user("good day"), "stream": true});
    let events = world.call("POST", &format!("{path}?api-version=2024-10-21"), &[], &ask).await.events();
    assert_eq!(events[0]["choices"], json!([]));
    assert!(events[0]["prompt_filter_results"].is_array());
    let blocked = world
        .call("POST", &format!("{path}?api-version=2024-10-21"), &[("x-simulate", "refusal")], &ask)
        .await;
    assert_eq!(
        (blocked.status.as_u16(), blocked.json()["error"]["code"].clone()),
        (400, json!("content_filter"))
    );
    let ask = json!({"input": "two words", "voice": "alloy"});
    let speech = "/openai/deployments/my-tts/audio/speech?api-version=2024-10-21";
    assert_eq!(world.call("POST", speech, &[], &ask).await.status, 200);
    let ask = json!({"model": "sim-gpt", "messages": user("good day")});
    assert_eq!(world.call("POST", "/openai/v1/chat/completions", &[], &ask).await.status, 200);
}

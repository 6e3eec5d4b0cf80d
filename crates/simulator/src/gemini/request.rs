//! What a Gemini request looks like. Google reads both spellings of a field and refuses every field that it does not know,
//! so the types here name them all.

use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Arrived, Refusal};
use crate::reply::tokens_of;

macro_rules! google {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty $(= $alias:literal)?),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        pub(crate) struct $name { $($(#[serde(alias = $alias)])? pub(crate) $field: $kind),* }
    };
}

google! {
    /// The body of `generateContent`.
    GenerateRequest {
        model: Option<String>,
        contents: Vec<Content>,
        system_instruction: Option<Content> = "system_instruction",
        tools: Vec<Tool>,
        tool_config: Option<ToolConfig> = "tool_config",
        generation_config: GenerationConfig = "generation_config",
        safety_settings: Option<Value> = "safety_settings",
        cached_content: Option<String> = "cached_content",
        labels: Option<Value>,
        service_tier: Option<Value> = "service_tier",
        model_armor_config: Option<Value> = "model_armor_config",
        store: Option<Value>,
    }
}

google! {
    /// The body of `countTokens`: contents alone, or a whole request.
    CountRequest {
        model: Option<String>,
        contents: Vec<Content>,
        generate_content_request: Option<GenerateRequest> = "generate_content_request",
        system_instruction: Option<Content> = "system_instruction",
        tools: Vec<Tool>,
        generation_config: Option<GenerationConfig> = "generation_config",
        instances: Option<Value>,
    }
}

google! {
    /// One turn.
    Content { role: Option<String>, parts: Vec<Part> }
}

google! {
    /// One part of a turn.
    Part {
        text: Option<String>,
        thought: Option<bool>,
        thought_signature: Option<String> = "thought_signature",
        inline_data: Option<Blob> = "inline_data",
        file_data: Option<FileData> = "file_data",
        function_call: Option<FunctionCall> = "function_call",
        function_response: Option<FunctionResponse> = "function_response",
        executable_code: Option<Value> = "executable_code",
        code_execution_result: Option<Value> = "code_execution_result",
        tool_call: Option<Value> = "tool_call",
        tool_response: Option<Value> = "tool_response",
        video_metadata: Option<Value> = "video_metadata",
        media_resolution: Option<Value> = "media_resolution",
        part_metadata: Option<Value> = "part_metadata",
    }
}

google! {
    /// Bytes in the request.
    Blob {
        mime_type: Option<String> = "mime_type",
        data: Option<String>,
        display_name: Option<String> = "display_name",
    }
}

google! {
    /// Bytes elsewhere.
    FileData {
        mime_type: Option<String> = "mime_type",
        file_uri: Option<String> = "file_uri",
        display_name: Option<String> = "display_name",
    }
}

google! {
    /// An earlier call.
    FunctionCall { id: Option<String>, name: String, args: Option<Value> }
}

google! {
    /// Its result.
    FunctionResponse {
        id: Option<String>,
        name: String,
        response: Option<Value>,
        parts: Option<Value>,
        will_continue: Option<bool> = "will_continue",
        scheduling: Option<String>,
    }
}

google! {
    /// Tools. All but functions are taken and never used.
    Tool {
        function_declarations: Vec<Declaration> = "function_declarations",
        google_search: Option<Value> = "google_search",
        google_search_retrieval: Option<Value> = "google_search_retrieval",
        google_maps: Option<Value> = "google_maps",
        code_execution: Option<Value> = "code_execution",
        url_context: Option<Value> = "url_context",
        computer_use: Option<Value> = "computer_use",
        file_search: Option<Value> = "file_search",
        retrieval: Option<Value>,
        enterprise_web_search: Option<Value> = "enterprise_web_search",
    }
}

google! {
    /// A function.
    Declaration {
        name: String,
        description: Option<String>,
        parameters: Option<Value>,
        parameters_json_schema: Option<Value> = "parameters_json_schema",
        response: Option<Value>,
        response_json_schema: Option<Value> = "response_json_schema",
        behavior: Option<String>,
    }
}

google! {
    /// How tools are chosen.
    ToolConfig {
        function_calling_config: Option<CallingConfig> = "function_calling_config",
        retrieval_config: Option<Value> = "retrieval_config",
        include_server_side_tool_invocations: Option<bool> = "include_server_side_tool_invocations",
    }
}

google! {
    /// How functions are chosen.
    CallingConfig {
        mode: Option<String>,
        allowed_function_names: Vec<String> = "allowed_function_names",
        stream_function_call_arguments: Option<bool> = "stream_function_call_arguments",
    }
}

google! {
    /// How to generate.
    GenerationConfig {
        temperature: Option<f64>,
        top_p: Option<f64> = "top_p",
        top_k: Option<f64> = "top_k",
        candidate_count: Option<u32> = "candidate_count",
        max_output_tokens: Option<u64> = "max_output_tokens",
        stop_sequences: Vec<String> = "stop_sequences",
        response_mime_type: Option<String> = "response_mime_type",
        response_schema: Option<Value> = "response_schema",
        response_json_schema: Option<Value> = "response_json_schema",
        response_format: Option<Value> = "response_format",
        response_modalities: Option<Value> = "response_modalities",
        presence_penalty: Option<f64> = "presence_penalty",
        frequency_penalty: Option<f64> = "frequency_penalty",
        seed: Option<i64>,
        response_logprobs: Option<bool> = "response_logprobs",
        logprobs: Option<usize>,
        thinking_config: Option<ThinkingConfig> = "thinking_config",
        media_resolution: Option<Value> = "media_resolution",
        speech_config: Option<Value> = "speech_config",
        image_config: Option<Value> = "image_config",
        audio_timestamp: Option<bool> = "audio_timestamp",
        routing_config: Option<Value> = "routing_config",
        model_selection_config: Option<Value> = "model_selection_config",
        enable_enhanced_civic_answers: Option<bool> = "enable_enhanced_civic_answers",
    }
}

google! {
    /// How to think.
    ThinkingConfig {
        include_thoughts: Option<bool> = "include_thoughts",
        thinking_budget: Option<i64> = "thinking_budget",
        thinking_level: Option<String> = "thinking_level",
    }
}

/// What an image or a document costs, whatever its size.
const IMAGE_TOKENS: u64 = 258;

/// Reads a body, refusing what Google does not know.
pub(crate) fn read<T: serde::de::DeserializeOwned>(arrived: &Arrived<'_>) -> Result<T, Refusal> {
    serde_json::from_slice(arrived.body).map_err(|error| {
        Refusal::new(400, format!("Invalid JSON payload received. {error}: Cannot find field."))
    })
}

impl GenerateRequest {
    pub(crate) fn declarations(&self) -> impl Iterator<Item = &Declaration> {
        self.tools.iter().flat_map(|tool| &tool.function_declarations)
    }

    pub(crate) fn calling(&self) -> Option<&CallingConfig> {
        self.tool_config.as_ref()?.function_calling_config.as_ref()
    }

    pub(crate) fn input_tokens(&self) -> u64 {
        let contents: u64 = self.contents.iter().chain(&self.system_instruction).map(Content::tokens).sum();
        let tools: u64 = self
            .declarations()
            .map(|offer| {
                tokens_of(&offer.name) + offer.schema().map_or(0, |schema| tokens_of(&schema.to_string()))
            })
            .sum();
        contents + tools
    }
}

impl Declaration {
    pub(crate) fn schema(&self) -> Option<&Value> {
        self.parameters.as_ref().or(self.parameters_json_schema.as_ref())
    }
}

impl Content {
    pub(crate) fn is_model(&self) -> bool {
        self.role.as_deref() == Some("model")
    }

    pub(crate) fn text(&self) -> String {
        self.parts
            .iter()
            .filter(|part| part.thought != Some(true))
            .filter_map(|part| part.text.as_deref())
            .collect()
    }

    pub(crate) fn tokens(&self) -> u64 {
        self.parts.iter().map(Part::tokens).sum()
    }
}

impl Part {
    fn tokens(&self) -> u64 {
        let text = self.text.as_deref().map_or(0, tokens_of);
        let media = if self.inline_data.is_some() || self.file_data.is_some() { IMAGE_TOKENS } else { 0 };
        let call = self.function_call.as_ref().and_then(|call| call.args.as_ref());
        let response = self.function_response.as_ref().and_then(|response| response.response.as_ref());
        text + media
            + call.into_iter().chain(response).map(|value| tokens_of(&value.to_string())).sum::<u64>()
    }

    /// Whether there is anything in it.
    pub(crate) fn has_data(&self) -> bool {
        self.text.is_some()
            || self.inline_data.is_some()
            || self.file_data.is_some()
            || self.function_call.is_some()
            || self.function_response.is_some()
            || self.executable_code.is_some()
            || self.code_execution_result.is_some()
            || self.tool_call.is_some()
            || self.tool_response.is_some()
    }
}

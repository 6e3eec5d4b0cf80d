//! The columns: every dialect and platform that the simulator speaks, as a policy would write it.

use serde_json::{Value, json};

/// One provider.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behind {
    /// As in names of resources.
    pub(super) name: &'static str,
    /// At the head of its column.
    pub(super) title: &'static str,
    /// Its spec, in YAML's flow style. The address stands for the simulator's.
    spec: &'static str,
    dialect: &'static str,
    /// The model asked of it.
    model: &'static str,
    /// The same for embeddings, where it has any.
    embedding: Option<&'static str>,
    /// How it says that its filter ended the answer, where it can.
    refusal: Option<&'static str>,
    /// What the path it is called at must hold.
    path: &'static str,
    /// Whether it shows its thoughts.
    shows_thoughts: bool,
    /// What of its thoughts has to come back to it untouched.
    signature: Option<&'static str>,
}

/// What the simulated Anthropic and Bedrock want back with their thoughts.
const SIGNATURE: &str = "c2ltdWxhdGVkLXNpZ25hdHVyZQ==";

const OPENAI: Behind = Behind {
    name: "openai",
    title: "OpenAI",
    path: "/v1/",
    spec: "{dialect: openai, base_url: 'http://127.0.0.1:9100/v1'}",
    dialect: "openai",
    model: "gpt-5-mini",
    embedding: Some("text-embedding-3-small"),
    refusal: Some("content_filter"),
    shows_thoughts: false,
    signature: None,
};

const ANTHROPIC: Behind = Behind {
    name: "anthropic",
    title: "Anthropic",
    path: "/v1/messages",
    spec: "{dialect: anthropic, base_url: 'http://127.0.0.1:9100'}",
    dialect: "anthropic",
    model: "claude-sonnet-4-5",
    embedding: None,
    refusal: Some("refusal"),
    shows_thoughts: true,
    signature: Some(SIGNATURE),
};

const GEMINI: Behind = Behind {
    name: "gemini",
    title: "Gemini",
    path: "/models/gemini-2.5-flash:generateContent",
    spec: "{dialect: gemini, base_url: 'http://127.0.0.1:9100'}",
    dialect: "gemini",
    model: "gemini-2.5-flash",
    embedding: Some("gemini-embedding-001"),
    refusal: Some("SAFETY"),
    shows_thoughts: true,
    signature: Some("c2ltdWxhdGVkLXRob3VnaHQtc2lnbmF0dXJl"),
};

/// In the order of the table's columns.
pub(super) fn providers() -> [Behind; 11] {
    [
        OPENAI,
        Behind {
            name: "openai-chat",
            title: "OpenAI, chat alone",
            path: "/v1/chat/completions",
            spec: "{dialect: openai, base_url: 'http://127.0.0.1:9100/v1', quirks: {responses: translate}}",
            ..OPENAI
        },
        Behind {
            name: "responses",
            title: "Responses",
            path: "/v1/responses",
            spec: "{dialect: responses, base_url: 'http://127.0.0.1:9100/v1'}",
            dialect: "responses",
            embedding: None,
            shows_thoughts: true,
            signature: Some("gAAAAABzaW11bGF0ZWQtcmVhc29uaW5n"),
            ..OPENAI
        },
        Behind {
            name: "azure",
            title: "Azure OpenAI",
            path: "/openai/",
            spec: "{dialect: openai, base_url: 'http://127.0.0.1:9100', azure: {api_version: '2024-10-21'}}",
            ..OPENAI
        },
        ANTHROPIC,
        GEMINI,
        Behind {
            name: "vertex",
            title: "Vertex AI, Gemini",
            path: "/projects/a-project/locations/europe-west1/publishers/google/models/gemini-2.5-flash:generateContent",
            spec: "{dialect: gemini, base_url: 'http://127.0.0.1:9100', vertex: {project: a-project, location: europe-west1}}",
            embedding: None,
            ..GEMINI
        },
        Behind {
            name: "vertex-anthropic",
            title: "Vertex AI, Anthropic",
            path: "/projects/a-project/locations/europe-west1/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
            spec: "{dialect: anthropic, base_url: 'http://127.0.0.1:9100', vertex: {project: a-project, location: europe-west1}}",
            model: "claude-sonnet-4-5@20250929",
            ..ANTHROPIC
        },
        Behind {
            name: "bedrock",
            title: "Bedrock, Converse",
            path: "/model/anthropic.claude-sonnet-4-5-20250929-v1:0/converse",
            spec: "{dialect: bedrock, base_url: 'http://127.0.0.1:9100', aws: {region: eu-west-1}}",
            dialect: "bedrock",
            model: "anthropic.claude-sonnet-4-5-20250929-v1:0",
            embedding: None,
            refusal: Some("content_filtered"),
            shows_thoughts: true,
            signature: Some(SIGNATURE),
        },
        Behind {
            name: "bedrock-anthropic",
            title: "Bedrock, Anthropic",
            path: "/model/anthropic.claude-sonnet-4-5-20250929-v1:0/invoke",
            spec: "{dialect: anthropic, base_url: 'http://127.0.0.1:9100', aws: {region: eu-west-1}}",
            model: "anthropic.claude-sonnet-4-5-20250929-v1:0",
            ..ANTHROPIC
        },
        Behind {
            name: "cohere",
            title: "Cohere",
            path: "/v2/chat",
            spec: "{dialect: cohere, base_url: 'http://127.0.0.1:9100'}",
            dialect: "cohere",
            model: "command-a-reasoning-08-2025",
            embedding: Some("embed-v4.0"),
            refusal: None,
            shows_thoughts: true,
            signature: None,
        },
    ]
}

impl Behind {
    /// Provider, models and the application whose calls it serves.
    pub(super) fn documents(&self) -> String {
        let Self { name, spec, model, .. } = self;
        let prices = "prices: {input: 1, output: 2}";
        let mut documents = format!(
            "kind: Provider\nname: {name}\nspec: {spec}\n---\n\
             kind: Model\nname: on-{name}\nspec: {{targets: [{{provider: {name}, model: '{model}', {prices}}}], max_output_tokens: 8000}}\n---\n\
             kind: Model\nname: failing-{name}-*\nspec: {{targets: [{{provider: {name}, {prices}}}], max_output_tokens: 8000}}\n---\n\
             kind: Consumer\nname: on-{name}\nspec: {{organisation: example, team: matrix, models: ['*'], providers: ['*']}}\n"
        );
        if let Some(embedding) = self.embedding {
            let target = format!("{{provider: {name}, model: '{embedding}', {prices}}}");
            documents += &format!(
                "---\nkind: Model\nname: on-{name}-embedding\nspec: {{targets: [{target}], capabilities: [embeddings]}}\n"
            );
        }
        documents
    }

    /// What a worker has to know of it.
    pub(super) fn told(&self, key: &str) -> Value {
        json!({
            "name": self.name, "key": key, "dialect": self.dialect, "path": self.path, "refusal": self.refusal,
            "embeddings": self.embedding.is_some(), "shows_thoughts": self.shows_thoughts, "signature": self.signature,
        })
    }
}

/// The names that applications ask for, whoever serves them.
const NAMES: [&str; 4] = ["gpt-4.1-mini", "gpt-5-mini", "claude-sonnet-4-5", "gemini-2.5-flash"];
const EMBEDDINGS: [&str; 2] = ["text-embedding-3-small", "gemini-embedding-001"];

/// The applications' models, and a route that sends each application to its provider.
pub(super) fn routing(behind: &[Behind]) -> String {
    let embeds = |provider: &&Behind| provider.embedding.is_some();
    let with_embeddings: Vec<Behind> = behind.iter().filter(embeds).copied().collect();
    route("chat", &NAMES, behind, "") + &route("embeddings", &EMBEDDINGS, &with_embeddings, "-embedding")
}

fn route(name: &str, models: &[&str], behind: &[Behind], ending: &str) -> String {
    let capability = if ending.is_empty() { "" } else { ", capabilities: [embeddings]" };
    let mut documents = String::new();
    for model in models {
        let target = format!("{{provider: {}, prices: {{input: 1, output: 2}}}}", OPENAI.name);
        documents += &format!(
            "kind: Model\nname: {model}\nspec: {{targets: [{target}], max_output_tokens: 8000{capability}}}\n---\n"
        );
    }
    documents += &format!("kind: Route\nname: {name}\nspec:\n  models: [{}]\n  rules:\n", models.join(", "));
    for Behind { name: provider, .. } in behind {
        documents += &format!(
            "    - {{name: on-{provider}, when: 'caller.application == \"on-{provider}\"', targets: [{{model: on-{provider}{ending}}}]}}\n"
        );
    }
    documents + "---\n"
}

//! Where a dialect is hosted, when that changes paths or what a body is wrapped in. It must not know credentials.

use serde::{Deserialize, Serialize};

use super::Dialect;
use crate::diagnostic::Report;

/// Azure OpenAI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AzureSpec {
    /// `v1`, or a dated version such as `2024-10-21`, by which deployments are addressed. A target's `model` is the deployment.
    pub api_version: String,
}

/// Google Vertex AI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VertexSpec {
    /// The id of the Google Cloud project that is billed.
    pub project: String,
    /// Where models run, such as `europe-west1` or `global`.
    pub location: String,
}

/// AWS Bedrock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsSpec {
    /// Where models run and what requests are signed for, such as `eu-central-1`.
    pub region: String,
}

/// Where a dialect is hosted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Platform {
    /// At its own address.
    #[default]
    Direct,
    /// Azure OpenAI.
    Azure {
        /// `v1` or a date.
        api_version: String,
    },
    /// Google Vertex AI.
    Vertex {
        /// Who is billed.
        project: String,
        /// Where models run.
        location: String,
    },
    /// AWS Bedrock.
    Bedrock {
        /// Where models run.
        region: String,
    },
}

impl Platform {
    /// Whether nobody is answered there without signing in.
    pub(super) const fn wants_credential(&self) -> bool {
        !matches!(self, Platform::Direct)
    }
}

/// What is written about platforms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'s> {
    pub(super) azure: Option<&'s AzureSpec>,
    pub(super) vertex: Option<&'s VertexSpec>,
    pub(super) aws: Option<&'s AwsSpec>,
}

impl Written<'_> {
    /// The platform that is meant; nothing if what is written makes no sense, which is then reported.
    pub(super) fn resolve(self, dialect: Dialect, report: &mut Report) -> Option<Platform> {
        let named: Vec<&str> =
            [self.azure.map(|_| "azure"), self.vertex.map(|_| "vertex"), self.aws.map(|_| "aws")]
                .into_iter()
                .flatten()
                .collect();
        if let [first, second, ..] = named.as_slice() {
            let message =
                format!("a provider is at one place, and `{first}` and `{second}` are two; keep one");
            report.error(format_args!("spec.{second}"), "contradiction", message);
            return None;
        }
        let is_speaker = |speakers: &[Dialect], field: &str, advice: &str, report: &mut Report| {
            let is_one = speakers.contains(&dialect);
            if !is_one {
                let message =
                    format!("the dialect `{dialect}` is not spoken there; {advice}, or remove the field");
                report.error(format_args!("spec.{field}"), "contradiction", message);
            }
            is_one
        };
        if let Some(azure) = self.azure {
            let advice = "Azure OpenAI is written with `dialect: openai`";
            let is_fine = is_speaker(&[Dialect::OpenAi], "azure", advice, report);
            let is_fine = is_fine & check_api_version(&azure.api_version, report);
            return is_fine.then(|| Platform::Azure { api_version: azure.api_version.clone() });
        }
        if let Some(vertex) = self.vertex {
            let advice = "Vertex is written with `dialect: gemini` or `dialect: anthropic`";
            let is_fine = is_speaker(&[Dialect::Gemini, Dialect::Anthropic], "vertex", advice, report);
            let is_fine = is_fine & check_part(&vertex.project, "spec.vertex.project", "my-project", report);
            let is_fine =
                is_fine & check_part(&vertex.location, "spec.vertex.location", "europe-west1", report);
            let VertexSpec { project, location } = vertex.clone();
            return is_fine.then_some(Platform::Vertex { project, location });
        }
        if let Some(aws) = self.aws {
            let advice =
                "Bedrock is written with `dialect: bedrock`, or `dialect: anthropic` for Anthropic's models";
            let is_fine = is_speaker(&[Dialect::Bedrock, Dialect::Anthropic], "aws", advice, report);
            let is_fine = is_fine & check_part(&aws.region, "spec.aws.region", "eu-central-1", report);
            return is_fine.then(|| Platform::Bedrock { region: aws.region.clone() });
        }
        Some(Platform::Direct)
    }
}

/// `v1`, or `YYYY-MM-DD` with or without `-preview`.
fn check_api_version(version: &str, report: &mut Report) -> bool {
    let date = version.strip_suffix("-preview").unwrap_or(version);
    let is_date = date.len() == 10
        && date.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let is_fine = version == "v1" || is_date;
    if !is_fine {
        let message = "Azure's versions are `v1` or a date such as `2024-10-21` or `2025-04-01-preview`";
        report.error("spec.azure.api_version", "invalid_value", message);
    }
    is_fine
}

/// It becomes part of an address, so it has letters, digits and hyphens (a project also `:` and `.`).
fn check_part(text: &str, path: &str, example: &str, report: &mut Report) -> bool {
    let may_have = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || byte == b'-'
            || (path.ends_with("project") && b":.".contains(&byte))
    };
    let is_fine = !text.is_empty() && text.len() <= 63 && text.bytes().all(may_have);
    if !is_fine {
        let message = format!("1 to 63 lower-case letters, digits and hyphens, such as `{example}`");
        report.error(path, "invalid_value", message);
    }
    is_fine
}

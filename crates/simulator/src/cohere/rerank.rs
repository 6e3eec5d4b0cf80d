//! `POST /v2/rerank` and `POST /v1/rerank`: a document is as relevant as many of the query's words are in it. A model whose name
//! begins with `jina` answers in Jina's shape.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Arrived, Facts, Made, Parsed, Question, Refusal};
use crate::cohere::body;
use crate::ledger::Billed;
use crate::reply::{input, tokens_of};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RerankRequest {
    model: String,
    query: String,
    documents: Vec<Value>,
    top_n: Option<usize>,
    return_documents: Option<bool>,
    #[serde(rename = "max_tokens_per_doc")]
    _max_tokens_per_doc: Option<u64>,
    #[serde(rename = "max_chunks_per_doc")]
    _max_chunks_per_doc: Option<u64>,
    #[serde(rename = "relevant_spans")]
    _relevant_spans: Option<Value>,
    #[serde(rename = "rank_fields")]
    _rank_fields: Option<Vec<String>>,
    #[serde(rename = "truncation")]
    _truncation: Option<bool>,
    #[serde(rename = "priority")]
    _priority: Option<u64>,
    #[serde(skip)]
    is_first: bool,
}

/// Reads `POST /v2/rerank`, which neither returns documents nor takes any but texts.
pub(crate) fn read(arrived: &Arrived<'_>) -> Parsed {
    let request: RerankRequest = body(arrived)?;
    if request.return_documents.is_some() {
        return Err(Refusal::new(422, "unknown field: parameter 'return_documents' is not a valid field"));
    }
    if request.documents.iter().any(|document| !document.is_string()) {
        return Err(Refusal::new(400, "invalid request: documents must be a list of strings"));
    }
    request.checked()
}

/// Reads `POST /v1/rerank`.
pub(crate) fn read_first(arrived: &Arrived<'_>) -> Parsed {
    RerankRequest { is_first: true, ..body(arrived)? }.checked()
}

impl RerankRequest {
    fn checked(self) -> Parsed {
        if self.query.is_empty() {
            return Err(Refusal::new(400, "invalid request: query must be non-empty"));
        }
        if self.documents.is_empty() {
            return Err(Refusal::new(400, "invalid request: list of documents must not be empty"));
        }
        if self.top_n == Some(0) {
            return Err(Refusal::new(400, "invalid request: top_n must be at least 1"));
        }
        Ok(Box::new(self))
    }

    fn is_jina(&self) -> bool {
        self.model.starts_with("jina")
    }

    /// Positions and scores, the best first, as they came among equals.
    fn ranked(&self) -> Vec<(usize, f64)> {
        let query = words(&self.query);
        let score = |document: &Value| {
            let found = words(said(document));
            let hits = query.iter().filter(|word| found.contains(word)).count();
            let share = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            // Never quite certain, never quite hopeless.
            0.01 + 0.98 * share(hits) / share(query.len().max(1))
        };
        let mut ranked: Vec<(usize, f64)> = self.documents.iter().map(score).enumerate().collect();
        ranked.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        ranked.truncate(self.top_n.unwrap_or(usize::MAX));
        ranked
    }
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

fn said(document: &Value) -> &str {
    document.as_str().or_else(|| document.get("text")?.as_str()).unwrap_or_default()
}

impl Question for RerankRequest {
    fn model(&self) -> &str {
        &self.model
    }

    fn answer(&self, facts: &Facts<'_>) -> Result<Made, Refusal> {
        let returns = self.return_documents.unwrap_or(self.is_jina());
        let results = self.ranked().into_iter().map(|(index, score)| {
            let mut result = json!({"index": index, "relevance_score": score});
            if let (true, Some(members), Some(document)) =
                (returns, result.as_object_mut(), self.documents.get(index))
            {
                members.insert("document".to_owned(), json!({"text": said(document)}));
            }
            result
        });
        let results: Vec<Value> = results.collect();
        if self.is_jina() {
            let read = self.documents.iter().map(|document| tokens_of(said(document))).sum::<u64>();
            let billed = input(tokens_of(&self.query) + read, facts.behaviour);
            let mut answer = json!({"model": facts.model, "object": "list", "results": results});
            if let (true, Some(members)) = (facts.reports_usage(), answer.as_object_mut()) {
                let usage = json!({"total_tokens": billed.input, "prompt_tokens": billed.input});
                members.insert("usage".to_owned(), usage);
            }
            return Ok(Made::json(&answer, billed));
        }
        let version = if self.is_first { "1" } else { "2" };
        let mut meta = json!({"api_version": {"version": version}});
        if let (true, Some(members)) = (facts.reports_usage(), meta.as_object_mut()) {
            // A search is a query with up to a hundred documents.
            let units = self.documents.len().div_ceil(100);
            members.insert("billed_units".to_owned(), json!({"search_units": units}));
        }
        // Searches are billed, not tokens.
        Ok(Made::json(&json!({"id": facts.id(""), "results": results, "meta": meta}), Billed::default()))
    }
}

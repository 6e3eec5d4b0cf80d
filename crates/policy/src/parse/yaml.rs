//! The only module that knows the YAML library. JSON is read as the YAML that it is, so that it has positions as well.

use std::marker::PhantomData;

use serde::{Deserialize, Deserializer};
use serde_saphyr::{DuplicateKeyPolicy, Location, MergeKeyPolicy, Options, Spanned, options::AliasLimits};

use super::node::{Node, NodeKey, Position, Reading, Shape, ShapeVisitor};
use crate::limits;

/// Reads all documents; empty ones are left out. An error tells its place, its code and what is wrong.
pub(super) fn read(text: &str) -> Result<Vec<Node>, (Position, &'static str, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let documents: Vec<Located> =
        serde_saphyr::from_str_multiple_with_options(text, options()).map_err(|error| describe(&error))?;
    Ok(documents.into_iter().map(|located| located.0).collect())
}

fn options() -> Options {
    let mut alias_limits = AliasLimits::default();
    alias_limits.max_total_replayed_events = limits::YAML_REPLAYED_NODES;
    alias_limits.max_replay_stack_depth = 16;
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: limits::DOCUMENT_DEPTH,
            flow_nesting_limit: limits::DOCUMENT_DEPTH,
            max_documents: limits::RESOURCES + 1,
            max_events: 20_000_000,
            max_nodes: 10_000_000,
            max_aliases: limits::YAML_ALIASES,
            max_anchors: limits::YAML_ALIASES,
            max_total_scalar_bytes: limits::DOCUMENTS_BYTES,
        },
        alias_limits: alias_limits,
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Merge,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
        emit_comments: false,
    }
}

/// The library's words where an operator understands them, ours where they speak of the library.
fn describe(error: &serde_saphyr::Error) -> (Position, &'static str, String) {
    let position = error.location().map(position).unwrap_or_default();
    let error = error.without_snippet();
    let text = error.to_string();
    // The library ends its texts with the place, which diagnostics carry by themselves.
    let text = text.split(" at line ").next().unwrap_or(&text).lines().next().unwrap_or(&text);
    let (code, message) = match error {
        _ if text.contains("Depth {") || text.contains("recursion limit") => {
            ("too_deep", format!("a document nests at most {} levels deep", limits::DOCUMENT_DEPTH))
        }
        _ if text.contains("alias replay") => {
            ("too_large", format!("aliases repeat more than {} parts", limits::YAML_REPLAYED_NODES))
        }
        serde_saphyr::Error::Budget { .. } => ("too_large", format!("the file is too large: {text}")),
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_ref().map_or_else(|| "a key".to_owned(), |key| format!("the key `{key}`"));
            ("duplicate", format!("{key} appears twice"))
        }
        serde_saphyr::Error::RecursiveReferencesRequireWeakTypes { .. } => {
            ("syntax", "an alias refers to a part that it is itself in".to_owned())
        }
        serde_saphyr::Error::NonFiniteFloat { .. } => {
            ("invalid_value", "a number that is infinite or none at all is of no use here".to_owned())
        }
        _ => ("syntax", format!("not valid YAML or JSON: {text}")),
    };
    (position, code, message)
}

fn position(location: Location) -> Position {
    Position { line: location.line(), column: location.column() }
}

/// A node with its position.
struct Located(Node);

impl<'de> Deserialize<'de> for Located {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<AnyShape>::deserialize(deserializer)?;
        Ok(Located(Node { at: position(spanned.referenced), shape: spanned.value.0 }))
    }
}

impl From<Located> for Node {
    fn from(located: Located) -> Node {
        located.0
    }
}

struct AnyShape(Shape);

impl<'de> Deserialize<'de> for AnyShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor::<LocatedReading>(PhantomData)).map(AnyShape)
    }
}

struct LocatedReading;

impl Reading for LocatedReading {
    type Key = Spanned<String>;
    type Value = Located;
}

impl From<Spanned<String>> for NodeKey {
    fn from(spanned: Spanned<String>) -> NodeKey {
        NodeKey { at: position(spanned.referenced), text: spanned.value }
    }
}

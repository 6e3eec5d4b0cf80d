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

fn describe(error: &serde_saphyr::Error) -> (Position, &'static str, String) {
    let position = error.location().map(position).unwrap_or_default();
    let text = error.without_snippet().to_string();
    // The library ends its texts with the place, which diagnostics carry by themselves.
    let message = text.split(" at line ").next().unwrap_or(&text).lines().next().unwrap_or(&text).to_owned();
    let is_budget = matches!(
        error.without_snippet(),
        serde_saphyr::Error::Budget { .. }
            | serde_saphyr::Error::AliasReplayLimitExceeded { .. }
            | serde_saphyr::Error::AliasReplayStackDepthExceeded { .. }
    );
    let code = if is_budget { "too_large" } else { "syntax" };
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

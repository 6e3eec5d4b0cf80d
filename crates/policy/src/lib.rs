//! What may be authored and what it means.
//!
//! An operator writes *resources* (`Provider`, `Model`, `Route`, …); their JSON is the only serialized form, which the store
//! keeps, the stream carries and the auditor reads. [`compile()`] turns the resources of a group into an immutable [`Policy`].
//! Validation has three places: *form* ([`parse_documents`], [`parse_resource`]), *sense of one resource*
//! ([`Resource::check`]) and *sense together* ([`compile()`]).
//!
//! Deliberately absent: clocks, disks, environment, network, asynchronous code, and secrets. A resource holds at most a
//! [`SecretRef`], so everything here may be logged, compared and shown.

mod catalog;
mod compile;
pub mod compiled;
mod condition;
mod consumer;
mod diagnostic;
mod diff;
mod digest;
mod group;
mod key;
pub mod limits;
mod manifest;
mod model;
mod money;
mod name;
mod parse;
mod path;
mod pattern;
mod provider;
mod quota;
mod resource;
mod route;
mod schema;
mod secret;
mod text;
mod time;

pub use catalog::{Catalog, Change};
pub use compile::{Compiled, compile};
pub use compiled::Policy;
pub use condition::{CallerFacts, Condition, ConditionError, Facts, Lookup};
pub use consumer::ConsumerSpec;
pub use diagnostic::{Diagnostic, Severity, nearest};
pub use diff::{ApplyError, FieldDiff, Op, ResourceDiff, apply, diff};
pub use digest::Digest;
pub use group::{GroupSpec, Selector, UnlistedModels};
pub use key::KeySpec;
pub use manifest::{Entry, Manifest};
pub use model::{Capability, ModelSpec, TargetSpec};
pub use money::{NanoUsd, Prices, TokenCounts, Usd, UsdPerMillion};
pub use name::Name;
pub use parse::{Locations, Parsed, attach_locations, parse_documents, parse_located, parse_resource};
pub use pattern::{Pattern, Patterns};
pub use provider::{
    Auth, AuthSpec, AwsAuth, AwsSource, AwsSpec, AzureSpec, Clamp, Dialect, EntraAuth, EntraSource, Fetch,
    GoogleAuth, GoogleSource, HostPattern, MaxTokensField, ModelQuirks, OnUnsupported, OperationName,
    Platform, ProviderSpec, Quirks, ResponsesVia, StreamUsage, Timeouts, VertexSpec, preset_names,
};
pub use quota::{AppliesTo, Dimension, Limits, QuotaSpec};
pub use resource::{Kind, Resource, ResourceId, Spec};
pub use route::{
    BackoffSpec, FallbackSpec, RetriesSpec, RouteSpec, RouteTargetSpec, RuleSpec, StickyBy, Strategy,
};
pub use schema::json_schema;
pub use secret::SecretRef;
pub use time::{Span, Timestamp};

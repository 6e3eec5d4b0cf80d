//! One authored thing: `{kind, name, labels, spec}`. The only serialized shape of policy.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize, ser::SerializeStruct};
use serde_json::Value;

use crate::{
    ConsumerSpec, Diagnostic, Digest, GroupSpec, KeySpec, ModelSpec, Name, ProviderSpec, QuotaSpec,
    RouteSpec,
    diagnostic::{Report, hint},
    limits,
    parse::{FromNode, Node, NodeError},
};

/// Names the kinds once: a new kind is its own file, a line here, and its part of `compile`.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($spec:ty)),+ $(,)?) => {
        /// The kinds of resources, in the order in which they depend on each other.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: [Kind; [$(stringify!($kind)),+].len()] = [$(Kind::$kind),+];

            /// As it is written in documents.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Kind::$kind => stringify!($kind),)+
                }
            }

            /// The JSON Schema of the kind's spec.
            pub(crate) fn spec_schema(self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                match self {
                    $(Kind::$kind => generator.subschema_for::<$spec>(),)+
                }
            }
        }

        /// What a resource says, by kind.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Spec {
            $($(#[$doc])* $kind($spec),)+
        }

        impl Spec {
            /// The kind.
            pub const fn kind(&self) -> Kind {
                match self {
                    $(Spec::$kind(_) => Kind::$kind,)+
                }
            }

            pub(crate) fn from_node(kind: Kind, node: &Node) -> Result<Spec, NodeError> {
                match kind {
                    $(Kind::$kind => <$spec as FromNode>::from_node(node).map(Spec::$kind),)+
                }
            }

            fn check(&self, report: &mut Report) {
                match self {
                    $(Spec::$kind(spec) => spec.check(report),)+
                }
            }
        }

        impl Serialize for Spec {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Spec::$kind(spec) => spec.serialize(serializer),)+
                }
            }
        }
    };
}

kinds! {
    /// Where models are served.
    Provider(Box<ProviderSpec>),
    /// A public name and the targets that serve it.
    Model(ModelSpec),
    /// Which targets serve which calls.
    Route(RouteSpec),
    /// One application.
    Consumer(ConsumerSpec),
    /// A virtual key of a consumer.
    Key(KeySpec),
    /// How much whom.
    Quota(QuotaSpec),
    /// Which proxies get what.
    Group(GroupSpec),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    /// In any case, singular or plural: `routes` is `Route`.
    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let singular = lower.strip_suffix('s').unwrap_or(&lower);
        Kind::ALL
            .into_iter()
            .find(|kind| kind.as_str().to_ascii_lowercase() == singular)
            .ok_or_else(|| format!("unknown kind `{text}`{}", hint(text, Kind::ALL.map(Kind::as_str))))
    }
}

/// Which resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceId {
    /// Its kind.
    pub kind: Kind,
    /// Its name, unique within the kind.
    pub name: Name,
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl FromStr for ResourceId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('/').ok_or_else(|| format!("`{text}` is not `Kind/name`"))?;
        Ok(ResourceId { kind: kind.parse()?, name: name.parse()? })
    }
}

/// One authored thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Unique within the kind.
    pub name: Name,
    /// For groups to select by.
    pub labels: BTreeMap<String, String>,
    /// What it says.
    pub spec: Spec,
}

impl Resource {
    /// A resource without labels.
    pub const fn new(name: Name, spec: Spec) -> Resource {
        Resource { name, labels: BTreeMap::new(), spec }
    }

    /// The kind.
    pub const fn kind(&self) -> Kind {
        self.spec.kind()
    }

    /// Kind and name.
    pub fn id(&self) -> ResourceId {
        ResourceId { kind: self.kind(), name: self.name.clone() }
    }

    /// The one serialized form: JSON, keys sorted, no spaces. What is equal has equal bytes.
    pub fn canonical(&self) -> Vec<u8> {
        canonical_bytes(&self.to_value())
    }

    /// The digest of the canonical form.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.canonical())
    }

    /// The resource as a JSON tree.
    pub fn to_value(&self) -> Value {
        // Serializing strings, numbers, lists and maps with string keys into a tree has no way to fail.
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    /// What is wrong with this resource by itself.
    pub fn check(&self) -> Vec<Diagnostic> {
        let mut report = Report::new(self.id());
        self.check_name(&mut report);
        self.check_labels(&mut report);
        self.spec.check(&mut report);
        report.into_diagnostics()
    }

    fn check_name(&self, report: &mut Report) {
        if self.kind() == Kind::Model {
            return;
        }
        let odd = self.name.chars().find(|c| !c.is_ascii_alphanumeric() && !"._-".contains(*c));
        if let Some(odd) = odd {
            let message =
                format!("the name of a {} holds letters, digits and `. _ -`, not `{odd}`", self.kind());
            report.error("name", "invalid_value", message);
        }
    }

    fn check_labels(&self, report: &mut Report) {
        if self.labels.len() > limits::LABELS {
            report.error("labels", "too_large", format!("at most {} labels", limits::LABELS));
        }
        for (key, value) in &self.labels {
            let is_key = !key.is_empty()
                && key.len() <= limits::SHORT_TEXT_CHARS
                && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte));
            if !is_key {
                let message = format!(
                    "a label's key has 1 to {} letters, digits and `. _ / -`, unlike {key:?}",
                    limits::SHORT_TEXT_CHARS
                );
                report.error("labels", "invalid_value", message);
            } else if value.chars().count() > limits::SHORT_TEXT_CHARS || value.chars().any(char::is_control)
            {
                let message =
                    format!("the value of `{key}` has more than {} characters", limits::SHORT_TEXT_CHARS);
                report.error("labels", "invalid_value", message);
            }
        }
    }
}

impl Serialize for Resource {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has_labels = !self.labels.is_empty();
        let mut fields = serializer.serialize_struct("Resource", if has_labels { 4 } else { 3 })?;
        fields.serialize_field("kind", &self.kind())?;
        if has_labels {
            fields.serialize_field("labels", &self.labels)?;
        } else {
            fields.skip_field("labels")?;
        }
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("spec", &self.spec)?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Resource {
    /// As strict as [`crate::parse_resource`], with all findings in one message.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize_plain(deserializer)?;
        crate::parse::resource_from_node(&node, "").map_err(|diagnostics| {
            let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            serde::de::Error::custom(lines.join("; "))
        })
    }
}

/// JSON with sorted keys and no spaces, whatever the map type of `serde_json` is.
pub(crate) fn canonical_bytes(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_canonical(value, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| *key);
            out.push(b'{');
            for (position, (key, field)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_scalar(key, out);
                out.push(b':');
                write_canonical(field, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => write_scalar(value, out),
    }
}

fn write_scalar(value: &impl Serialize, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "a text or number was not written into memory");
}

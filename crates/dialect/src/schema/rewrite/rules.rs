//! What each subset knows.

/// What says nothing about values.
pub(super) const SILENT: &[&str] = &[
    "$schema",
    "$id",
    "$comment",
    "$anchor",
    "$defs",
    "definitions",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentMediaType",
    "default",
    "title",
    "propertyOrdering",
];
/// Bounds that can be said in words where a target does not hold to them.
pub(super) const BOUNDS: &[&str] = &[
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "contentEncoding",
];
/// Beside a reference, what only describes is left out.
pub(super) const TOLD: &[&str] =
    &["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"];

/// What a subset knows.
#[expect(clippy::struct_excessive_bools, reason = "a list of independent facts about a subset")]
pub(super) struct Rules {
    pub(super) keywords: &'static [&'static str],
    pub(super) formats: &'static [&'static str],
    pub(super) keeps_references: bool,
    pub(super) is_open_api: bool,
    /// Objects have no other properties than those that are named, and say so.
    pub(super) closes: bool,
    pub(super) requires_all: bool,
}

pub(super) const GEMINI: Rules = Rules {
    keywords: &[
        "type",
        "title",
        "description",
        "default",
        "format",
        "enum",
        "items",
        "properties",
        "required",
        "anyOf",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "pattern",
        "minimum",
        "maximum",
        "minProperties",
        "maxProperties",
    ],
    formats: &["date-time", "float", "double", "int32", "int64"],
    keeps_references: false,
    is_open_api: true,
    closes: false,
    requires_all: false,
};

pub(super) const OPENAI: Rules = Rules {
    keywords: &[
        "type",
        "title",
        "description",
        "format",
        "enum",
        "items",
        "properties",
        "required",
        "anyOf",
        "minItems",
        "maxItems",
        "pattern",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
    ],
    formats: &["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"],
    keeps_references: true,
    is_open_api: false,
    closes: true,
    requires_all: true,
};

pub(super) const ANTHROPIC: Rules = Rules {
    keywords: &[
        "type",
        "title",
        "description",
        "format",
        "enum",
        "items",
        "properties",
        "required",
        "anyOf",
        "minItems",
    ],
    formats: &["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"],
    keeps_references: true,
    is_open_api: false,
    closes: true,
    requires_all: false,
};

/// Gemini's newer schemas: what it does not know it passes over, so only what it would misread is rewritten.
pub(super) const GEMINI_JSON: Rules = Rules {
    keywords: &[],
    formats: &[],
    keeps_references: true,
    closes: false,
    requires_all: false,
    is_open_api: false,
};

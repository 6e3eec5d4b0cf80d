//! Rewriting a schema for a target.

use super::{
    Subset,
    merge::merge,
    tree::{Tree, get, put, take},
};
use crate::{Fault, canonical::Json, losses::Losses};

type Fields = Vec<(String, Tree)>;

/// What says nothing about values.
const SILENT: &[&str] = &[
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
const BOUNDS: &[&str] = &[
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
const TOLD: &[&str] =
    &["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"];

/// What a subset knows.
#[expect(clippy::struct_excessive_bools, reason = "a list of independent facts about a subset")]
struct Rules {
    keywords: &'static [&'static str],
    formats: &'static [&'static str],
    keeps_references: bool,
    is_open_api: bool,
    /// Objects have no other properties than those that are named, and say so.
    closes: bool,
    requires_all: bool,
}

const GEMINI: Rules = Rules {
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

const OPENAI: Rules = Rules {
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

const ANTHROPIC: Rules = Rules {
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
const GEMINI_JSON: Rules = Rules {
    keywords: &[],
    formats: &[],
    keeps_references: true,
    closes: false,
    requires_all: false,
    is_open_api: false,
};

/// Whether a schema for Gemini's newer subset has anything to be said in other words.
pub(super) fn is_needed(schema: &Json) -> bool {
    ["\"allOf\"", "\"const\""].iter().any(|keyword| schema.text().contains(keyword))
}

/// Rewrites the parts of one schema.
pub(super) struct Rewriter<'a> {
    root: &'a Tree,
    subset: Subset,
    rules: &'static Rules,
    losses: &'a mut Losses,
    /// The references that are being followed.
    following: Vec<String>,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(root: &'a Tree, subset: Subset, losses: &'a mut Losses) -> Self {
        let rules = match subset {
            Subset::GeminiOpenApi => &GEMINI,
            Subset::GeminiJson => &GEMINI_JSON,
            Subset::OpenAiStrict => &OPENAI,
            Subset::Anthropic => &ANTHROPIC,
        };
        Self { root, subset, rules, losses, following: Vec::new() }
    }

    /// Rewrites the whole.
    pub(super) fn root(mut self, place: &str) -> Result<Tree, Fault> {
        let root = self.root;
        let mut written = self.schema(root.clone(), place)?;
        if self.rules.keeps_references
            && let Tree::Object(fields) = &mut written
        {
            for name in ["$defs", "definitions"] {
                let Some(Tree::Object(inner)) = root.get(name) else { continue };
                let mut kept = Fields::with_capacity(inner.len());
                for (key, schema) in inner {
                    kept.push((key.clone(), self.schema(schema.clone(), &format!("{place}.{name}.{key}"))?));
                }
                put(fields, name, Tree::Object(kept));
            }
        }
        Ok(written)
    }

    fn refuse<T>(&self, place: &str, why: &str) -> Result<T, Fault> {
        Err(Fault::unsupported(format!("`{place}` cannot be said to this target: {why}")).at(place))
    }

    fn schema(&mut self, tree: Tree, place: &str) -> Result<Tree, Fault> {
        let fields = match tree {
            Tree::Object(fields) => fields,
            Tree::Bool(true) if self.subset == Subset::GeminiJson => return Ok(Tree::Bool(true)),
            Tree::Bool(_) => return self.refuse(place, "a value of any type"),
            _ => return Err(Fault::invalid(format!("`{place}` must be a schema")).at(place)),
        };
        let depth = self.following.len();
        let written = self.flattened(fields, place).and_then(|flat| match flat {
            Flat::Reference(reference) => Ok(reference),
            Flat::Fields(fields) => self.fields(fields, place),
        });
        self.following.truncate(depth);
        written
    }

    /// Resolves references that must not stay, and joins all of `allOf`.
    fn flattened(&mut self, mut fields: Fields, place: &str) -> Result<Flat, Fault> {
        loop {
            if let Some(reference) = take(&mut fields, "$ref") {
                let name = reference.as_str().unwrap_or_default().to_owned();
                fields.retain(|(name, _)| !matches!(name.as_str(), "$defs" | "definitions"));
                let is_told = fields.iter().all(|(name, _)| TOLD.contains(&name.as_str()));
                let stays = fields.is_empty() || is_told && self.following.contains(&name);
                if self.rules.keeps_references && stays {
                    return Ok(Flat::Reference(Tree::Object(vec![("$ref".to_owned(), reference)])));
                }
                let Tree::Object(found) = self.resolve(&name, place)? else {
                    return self.refuse(&format!("{place}.$ref"), "it does not lead to a schema");
                };
                self.following.push(name);
                self.merge(&mut fields, found, &format!("{place}.$ref"))?;
            } else if let Some(all) = take(&mut fields, "allOf") {
                let Tree::Array(all) = all else {
                    return self.refuse(&format!("{place}.allOf"), "it is no list");
                };
                if let ([Tree::Object(one)], true) =
                    (all.as_slice(), fields.iter().all(|(name, _)| TOLD.contains(&name.as_str())))
                {
                    // A reference with a description around it.
                    let told = std::mem::replace(&mut fields, one.clone());
                    told.into_iter().for_each(|(name, value)| put(&mut fields, &name, value));
                    continue;
                }
                for (index, schema) in all.into_iter().enumerate() {
                    let place = format!("{place}.allOf[{index}]");
                    let schema = self.inlined(schema, &place)?;
                    self.merge(&mut fields, schema, &place)?;
                }
            } else {
                return Ok(Flat::Fields(fields));
            }
        }
    }

    /// One schema of `allOf` without references at its top.
    fn inlined(&mut self, schema: Tree, place: &str) -> Result<Fields, Fault> {
        let Tree::Object(mut schema) = schema else { return self.refuse(place, "it is no object") };
        while let Some(reference) = take(&mut schema, "$ref") {
            let name = reference.as_str().unwrap_or_default().to_owned();
            let Tree::Object(found) = self.resolve(&name, place)? else {
                return self.refuse(&format!("{place}.$ref"), "it does not lead to a schema");
            };
            self.following.push(name);
            self.merge(&mut schema, found, place)?;
        }
        Ok(schema)
    }

    fn merge(&self, fields: &mut Fields, other: Fields, place: &str) -> Result<(), Fault> {
        let inner: Fields =
            other.into_iter().filter(|(name, _)| !matches!(name.as_str(), "$defs" | "definitions")).collect();
        match merge(fields, inner) {
            Ok(()) => Ok(()),
            Err(keyword) => {
                self.refuse(&format!("{place}.{keyword}"), "it cannot be joined with what else is asked")
            }
        }
    }

    fn resolve(&self, name: &str, place: &str) -> Result<Tree, Fault> {
        let place = format!("{place}.$ref");
        if self.following.iter().any(|known| known == name) {
            return self.refuse(&place, "it contains itself");
        }
        let Some(path) = name.strip_prefix('#') else {
            return self.refuse(&place, "it leads out of the schema");
        };
        let mut found = self.root;
        for step in path.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            match found.get(&step) {
                Some(inner) => found = inner,
                None => return self.refuse(&place, "it leads nowhere"),
            }
        }
        Ok(found.clone())
    }

    fn fields(&mut self, mut fields: Fields, place: &str) -> Result<Tree, Fault> {
        if let Some(value) = take(&mut fields, "const") {
            put(&mut fields, "enum", Tree::Array(vec![value]));
        }
        if let Some(options) = take(&mut fields, "oneOf") {
            // Weaker where two of them overlap: nothing that was accepted is lost.
            if get(&fields, "anyOf").is_some() {
                return self.refuse(&format!("{place}.oneOf"), "it stands beside `anyOf`");
            }
            put(&mut fields, "anyOf", options);
        }
        if self.subset == Subset::GeminiJson {
            return self.inner(fields, place);
        }
        // Some write Google's mark into plain JSON Schema.
        let marked = !self.rules.is_open_api && take(&mut fields, "nullable") == Some(Tree::Bool(true));
        let fields = self.typed(fields, place)?;
        let fields = if self.rules.is_open_api { self.enumerated(fields, place)? } else { fields };
        let mut written = self.kept(fields, place)?;
        if marked {
            or_null(&mut written);
        }
        Ok(written)
    }

    /// Rewrites what stands inside, and keeps the rest.
    fn inner(&mut self, fields: Fields, place: &str) -> Result<Tree, Fault> {
        let mut out = Fields::with_capacity(fields.len());
        for (name, value) in fields {
            let place = format!("{place}.{name}");
            let value = match (name.as_str(), value) {
                ("$defs" | "definitions", _) => continue,
                ("properties" | "patternProperties", Tree::Object(inner)) => self.each(inner, &place)?,
                ("anyOf" | "prefixItems", Tree::Array(items)) => self.all(items, &place)?,
                ("items" | "additionalProperties" | "not", value @ Tree::Object(_)) => {
                    self.schema(value, &place)?
                }
                (_, value) => value,
            };
            out.push((name, value));
        }
        Ok(Tree::Object(out))
    }

    fn each(&mut self, inner: Fields, place: &str) -> Result<Tree, Fault> {
        let mut out = Fields::with_capacity(inner.len());
        for (key, schema) in inner {
            let schema = self.schema(schema, &format!("{place}.{key}"))?;
            out.push((key, schema));
        }
        Ok(Tree::Object(out))
    }

    fn all(&mut self, items: Vec<Tree>, place: &str) -> Result<Tree, Fault> {
        let items = items.into_iter().enumerate();
        let items: Result<Vec<Tree>, Fault> =
            items.map(|(index, schema)| self.schema(schema, &format!("{place}[{index}]"))).collect();
        items.map(Tree::Array)
    }

    /// Gives a schema a type, if it has none but shows it, and tells a `null` among several apart.
    fn typed(&mut self, mut fields: Fields, place: &str) -> Result<Fields, Fault> {
        if get(&fields, "type").is_none() && get(&fields, "anyOf").is_none() {
            let kind = if get(&fields, "properties").is_some() {
                Some("object")
            } else if get(&fields, "items").is_some() {
                Some("array")
            } else if let Some(Tree::Array(values)) = get(&fields, "enum") {
                kind_of(values)
            } else {
                return self.refuse(place, "a value of any type");
            };
            if let Some(kind) = kind {
                fields.insert(0, ("type".to_owned(), Tree::text(kind)));
            }
        }
        if !self.rules.is_open_api {
            return Ok(fields);
        }
        let mut nullable = false;
        if let Some(Tree::Array(kinds)) = get(&fields, "type").cloned() {
            let kinds: Vec<Tree> = kinds.into_iter().filter(|kind| !is_null(kind, &mut nullable)).collect();
            match kinds.as_slice() {
                [one] => put(&mut fields, "type", one.clone()),
                several => {
                    take(&mut fields, "type");
                    let options = several.iter().map(|kind| one_of_kinds(kind, &fields)).collect();
                    fields.retain(|(name, _)| TOLD.contains(&name.as_str()));
                    put(&mut fields, "anyOf", Tree::Array(options));
                }
            }
        }
        if let Some(Tree::Array(options)) = take(&mut fields, "anyOf") {
            let is_null_option = |option: &Tree| option.get("type").and_then(Tree::as_str) == Some("null");
            let count = options.len();
            let mut options: Vec<Tree> =
                options.into_iter().filter(|option| !is_null_option(option)).collect();
            nullable |= options.len() < count;
            match (options.len(), options.pop()) {
                (1, Some(Tree::Object(one))) => match self.flattened(one, &format!("{place}.anyOf[0]"))? {
                    Flat::Fields(one) => {
                        self.merge(&mut fields, one, place)?;
                        fields = self.typed(fields, place)?;
                    }
                    Flat::Reference(_) => return self.refuse(place, "a reference"),
                },
                (_, last) => {
                    options.extend(last);
                    put(&mut fields, "anyOf", Tree::Array(options));
                }
            }
        }
        if get(&fields, "type").and_then(Tree::as_str) == Some("null") {
            return self.refuse(&format!("{place}.type"), "`null` alone");
        }
        if nullable {
            put(&mut fields, "nullable", Tree::Bool(true));
        }
        Ok(fields)
    }

    /// Only texts are enumerated there: `null` becomes a mark, and numbers a range where they leave no gap.
    fn enumerated(&mut self, mut fields: Fields, place: &str) -> Result<Fields, Fault> {
        let Some(Tree::Array(values)) = get(&fields, "enum").cloned() else { return Ok(fields) };
        let count = values.len();
        let values: Vec<Tree> = values.into_iter().filter(|value| *value != Tree::Null).collect();
        if values.len() < count {
            put(&mut fields, "nullable", Tree::Bool(true));
        }
        if values.iter().all(|value| value.as_str().is_some()) {
            put(&mut fields, "enum", Tree::Array(values));
            return Ok(fields);
        }
        let place = format!("{place}.enum");
        let mut numbers: Vec<i64> = values
            .iter()
            .filter_map(|value| match value {
                Tree::Number(number) => number.as_i64(),
                _ => None,
            })
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let has_no_gap =
            numbers.iter().zip(numbers.iter().skip(1)).all(|(a, b)| a.checked_add(1) == Some(*b));
        let is_both = values.contains(&Tree::Bool(true)) && values.contains(&Tree::Bool(false));
        match (numbers.first(), numbers.last()) {
            (Some(first), Some(last)) if numbers.len() == values.len() && has_no_gap => {
                take(&mut fields, "enum");
                put(&mut fields, "type", Tree::text("integer"));
                put(&mut fields, "minimum", Tree::Number((*first).into()));
                put(&mut fields, "maximum", Tree::Number((*last).into()));
                Ok(fields)
            }
            _ if is_both && values.len() == 2 => {
                take(&mut fields, "enum");
                Ok(fields)
            }
            _ => self.refuse(&place, "only texts can be enumerated"),
        }
    }

    /// Keeps what the target knows, says bounds in words, and refuses the rest.
    fn kept(&mut self, fields: Fields, place: &str) -> Result<Tree, Fault> {
        let is_object = get(&fields, "type").is_some_and(|kind| has_type(kind, "object"));
        let is_array = get(&fields, "type").is_some_and(|kind| has_type(kind, "array"));
        let is_integer = get(&fields, "type").is_some_and(|kind| has_type(kind, "integer"));
        if is_array && get(&fields, "items").is_none() {
            return self.refuse(&format!("{place}.items"), "the items of an array must be told");
        }
        let mut out = Fields::with_capacity(fields.len() + 2);
        let mut words: Vec<String> = Vec::new();
        for (name, value) in fields {
            let inner = format!("{place}.{name}");
            match (name.as_str(), value) {
                ("nullable", value) => put(&mut out, "nullable", value),
                ("type", Tree::String(kind)) if self.rules.is_open_api => {
                    put(&mut out, "type", Tree::String(kind.to_ascii_uppercase()));
                }
                ("properties", Tree::Object(properties)) => {
                    let properties = self.each(properties, &inner)?;
                    put(&mut out, "properties", properties);
                }
                ("items", value @ Tree::Object(_)) => {
                    let items = self.schema(value, &inner)?;
                    put(&mut out, "items", items);
                }
                ("anyOf", Tree::Array(options)) => {
                    let options = self.all(options, &inner)?;
                    put(&mut out, "anyOf", options);
                }
                ("additionalProperties", Tree::Bool(true)) if self.rules.closes => {
                    return self.refuse(&inner, "properties must have names there");
                }
                ("additionalProperties" | "unevaluatedProperties", Tree::Bool(_)) => {}
                ("additionalProperties" | "patternProperties", Tree::Object(_)) => {
                    return self.refuse(&inner, "properties must have names there");
                }
                ("exclusiveMinimum", Tree::Number(bound)) if is_integer && self.rules.is_open_api => {
                    put(&mut out, "minimum", moved(&bound, 1));
                }
                ("exclusiveMaximum", Tree::Number(bound)) if is_integer && self.rules.is_open_api => {
                    put(&mut out, "maximum", moved(&bound, -1));
                }
                ("uniqueItems", Tree::Bool(false)) => {}
                (name, value) if self.knows(name, &value) => put(&mut out, name, value),
                (name, value) if BOUNDS.contains(&name) => {
                    self.losses.default(&inner, "said in words");
                    words.push(format!("{name}: {}", serde_json::to_string(&value).unwrap_or_default()));
                }
                (name, _) if SILENT.contains(&name) => {}
                _ => return self.refuse(&inner, "there is no word for it"),
            }
        }
        describe(&mut out, &words);
        if is_object && get(&out, "properties").is_none() {
            return self.refuse(&format!("{place}.properties"), "the properties of an object must be told");
        }
        if is_object {
            self.close(&mut out, place);
        }
        Ok(Tree::Object(out))
    }

    fn knows(&self, name: &str, value: &Tree) -> bool {
        let known = self.rules.keywords.contains(&name);
        match (name, value) {
            ("format", Tree::String(format)) => known && self.rules.formats.contains(&format.as_str()),
            ("minItems", Tree::Number(count)) if self.subset == Subset::Anthropic => {
                count.as_u64().is_some_and(|count| count <= 1)
            }
            _ => known,
        }
    }

    /// Says which properties an object has, as far as the target wants it said.
    fn close(&mut self, out: &mut Fields, place: &str) {
        let names: Vec<String> = match get(out, "properties") {
            Some(Tree::Object(properties)) => properties.iter().map(|(name, _)| name.clone()).collect(),
            _ => Vec::new(),
        };
        if self.rules.is_open_api && names.len() > 1 {
            put(out, "propertyOrdering", Tree::Array(names.iter().map(|name| Tree::text(name)).collect()));
        }
        if self.rules.closes {
            put(out, "additionalProperties", Tree::Bool(false));
        }
        if !self.rules.requires_all {
            return;
        }
        let required = match get(out, "required") {
            Some(Tree::Array(required)) => required.clone(),
            _ => Vec::new(),
        };
        if let Some(Tree::Object(properties)) =
            out.iter_mut().find(|(name, _)| name == "properties").map(|(_, properties)| properties)
        {
            for (name, schema) in
                properties.iter_mut().filter(|(name, _)| !required.contains(&Tree::text(name)))
            {
                if or_null(schema) {
                    self.losses.default(&format!("{place}.properties.{name}"), "required, and may be null");
                }
            }
        }
        if names.is_empty() {
            return;
        }
        put(out, "required", Tree::Array(names.iter().map(|name| Tree::text(name)).collect()));
    }
}

enum Flat {
    /// A reference that stays.
    Reference(Tree),
    Fields(Fields),
}

/// The type of values that are all of one.
fn kind_of(values: &[Tree]) -> Option<&'static str> {
    let kind = |value: &Tree| match value {
        Tree::String(_) => Some("string"),
        Tree::Number(number) if number.is_f64() => Some("number"),
        Tree::Number(_) => Some("integer"),
        Tree::Bool(_) => Some("boolean"),
        _ => None,
    };
    let mut kinds = values.iter().filter(|value| **value != Tree::Null).map(kind);
    let first = kinds.next().flatten()?;
    (kinds.all(|kind| kind == Some(first)) && !values.contains(&Tree::Null)).then_some(first)
}

fn is_null(kind: &Tree, nullable: &mut bool) -> bool {
    let is_null = kind.as_str() == Some("null");
    *nullable |= is_null;
    is_null
}

fn has_type(kind: &Tree, name: &str) -> bool {
    match kind {
        Tree::String(kind) => kind == name,
        Tree::Array(kinds) => kinds.iter().any(|kind| kind.as_str() == Some(name)),
        _ => false,
    }
}

/// One type of several, with the keywords that are about it.
fn one_of_kinds(kind: &Tree, fields: &Fields) -> Tree {
    let about: &[&str] = match kind.as_str() {
        Some("string") => &["minLength", "maxLength", "pattern", "format"],
        Some("integer" | "number") => {
            &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]
        }
        Some("array") => &["items", "minItems", "maxItems", "uniqueItems"],
        Some("object") => {
            &["properties", "required", "additionalProperties", "minProperties", "maxProperties"]
        }
        _ => &[],
    };
    let kept = fields.iter().filter(|(name, _)| about.contains(&name.as_str())).cloned();
    Tree::Object([("type".to_owned(), kind.clone())].into_iter().chain(kept).collect())
}

fn moved(bound: &serde_json::Number, by: i64) -> Tree {
    match bound.as_i64().and_then(|bound| bound.checked_add(by)) {
        Some(bound) => Tree::Number(bound.into()),
        None => Tree::Number(bound.clone()),
    }
}

/// Adds bounds in words to a description, as Anthropic's SDK does.
fn describe(out: &mut Fields, words: &[String]) {
    if words.is_empty() {
        return;
    }
    let words = format!("{{{}}}", words.join(", "));
    let description = match get(out, "description").and_then(Tree::as_str) {
        Some(told) => format!("{told}\n\n{words}"),
        None => words,
    };
    put(out, "description", Tree::String(description));
}

/// Makes a schema accept `null`; tells whether it did not before.
fn or_null(schema: &mut Tree) -> bool {
    let Tree::Object(fields) = schema else { return false };
    let null = || Tree::Object(vec![("type".to_owned(), Tree::text("null"))]);
    if let Some((_, Tree::Array(options))) = fields.iter_mut().find(|(name, _)| name == "anyOf") {
        let has_null = options.contains(&null());
        if !has_null {
            options.push(null());
        }
        return !has_null;
    }
    match get(fields, "type").cloned() {
        Some(Tree::Array(kinds)) if has_type(&Tree::Array(kinds.clone()), "null") => return false,
        Some(Tree::String(kind)) if kind == "null" => return false,
        Some(Tree::String(kind)) => {
            put(fields, "type", Tree::Array(vec![Tree::String(kind), Tree::text("null")]))
        }
        Some(Tree::Array(mut kinds)) => {
            kinds.push(Tree::text("null"));
            put(fields, "type", Tree::Array(kinds));
        }
        _ => {
            let whole = std::mem::replace(schema, Tree::Null);
            *schema = Tree::Object(vec![("anyOf".to_owned(), Tree::Array(vec![whole, null()]))]);
            return true;
        }
    }
    if let Some((_, Tree::Array(values))) = fields.iter_mut().find(|(name, _)| name == "enum")
        && !values.contains(&Tree::Null)
    {
        values.push(Tree::Null);
    }
    true
}

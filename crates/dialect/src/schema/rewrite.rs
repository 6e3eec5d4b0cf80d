//! Rewriting a schema for a target.

mod flat;
mod kinds;
mod rules;

use flat::Flat;
use rules::{ANTHROPIC, BOUNDS, GEMINI, GEMINI_JSON, OPENAI, Rules, SILENT};

use super::{
    Subset,
    tree::{Tree, get, put, take},
};
use crate::{Fault, canonical::Json, losses::Losses};

type Fields = Vec<(String, Tree)>;

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

fn has_type(kind: &Tree, name: &str) -> bool {
    match kind {
        Tree::String(kind) => kind == name,
        Tree::Array(kinds) => kinds.iter().any(|kind| kind.as_str() == Some(name)),
        _ => false,
    }
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

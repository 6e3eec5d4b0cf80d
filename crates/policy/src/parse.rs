//! The door: text becomes resources that have the right form and make sense by themselves, or diagnostics that say where and
//! what to write instead. Files may be YAML or JSON with several documents; bodies from the wire and the store are JSON.

mod form;
mod node;
mod yaml;

use std::{borrow::Cow, collections::HashMap};

pub(crate) use form::{FromNode, NodeError};
pub(crate) use node::{Node, Position, Shape};

use crate::{
    Diagnostic, Kind, Name, Resource, ResourceId, Severity, Spec,
    diagnostic::{has_errors, hint},
    limits,
    path::{Path, Step},
};

/// A resource together with where its parts were written.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The resource.
    pub resource: Resource,
    /// Where its parts were written.
    pub locations: Locations,
}

/// Where the parts of a document were written.
#[derive(Debug, Clone)]
pub struct Locations {
    source: String,
    root: Position,
    parts: HashMap<String, Position>,
}

impl Locations {
    fn of(source: &str, node: &Node) -> Locations {
        let mut parts = HashMap::new();
        node.positions(&mut Path::default(), &mut parts);
        Locations { source: source.to_owned(), root: node.at, parts }
    }

    /// `file:line:column` of the part at `path`, or of the smallest known part around it.
    pub fn locate(&self, path: &str) -> String {
        let mut around = path;
        let position = loop {
            if let Some(position) = self.parts.get(around) {
                break *position;
            }
            match around.rfind(['.', '[']).and_then(|end| around.get(..end)) {
                Some(parent) => around = parent,
                None => break self.root,
            }
        };
        position.in_source(&self.source)
    }
}

/// Fills in where each finding about one of these resources was written.
pub fn attach_locations(diagnostics: &mut [Diagnostic], parsed: &[Parsed]) {
    let by_id: HashMap<String, &Locations> =
        parsed.iter().map(|parsed| (parsed.resource.id().to_string(), &parsed.locations)).collect();
    for diagnostic in diagnostics.iter_mut().filter(|diagnostic| diagnostic.location.is_none()) {
        if let Some(locations) = by_id.get(&diagnostic.resource) {
            diagnostic.location = Some(locations.locate(&diagnostic.path));
        }
    }
}

/// Reads a file of YAML or JSON documents; `source` is the file's name. All findings of all documents are reported at once.
pub fn parse_documents(source: &str, text: &str) -> Result<Vec<Resource>, Vec<Diagnostic>> {
    let nodes = read(source, text)?;
    collect(nodes.iter().map(|node| checked(node, source).map(|resource| (resource, node))), source)
        .map(|found| found.into_iter().map(|(resource, _)| resource).collect())
}

/// Like [`parse_documents`], and keeps where everything was written, for findings of [`crate::compile()`].
pub fn parse_located(source: &str, text: &str) -> Result<Vec<Parsed>, Vec<Diagnostic>> {
    let nodes = read(source, text)?;
    let found =
        collect(nodes.iter().map(|node| checked(node, source).map(|resource| (resource, node))), source)?;
    Ok(found
        .into_iter()
        .map(|(resource, node)| Parsed { resource, locations: Locations::of(source, node) })
        .collect())
}

/// Reads one resource from JSON as it comes from the wire, the store or a request's body.
pub fn parse_resource(body: &[u8]) -> Result<Resource, Vec<Diagnostic>> {
    if body.len() > limits::RESOURCE_BYTES {
        let message =
            format!("a resource has at most {} bytes, this has {}", limits::RESOURCE_BYTES, body.len());
        return Err(refusal("", "too_large", None, message));
    }
    let node = Node::from_json(body).map_err(|error| {
        let place = (error.line() > 0).then(|| format!("{}:{}", error.line(), error.column()));
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or(&text);
        let code = if text.contains("recursion limit") { "too_deep" } else { "syntax" };
        refusal("", code, place, format!("not valid JSON: {text}"))
    })?;
    checked(&node, "")
}

/// Reads one value from a file of ours.
pub(crate) fn read_value<T: FromNode>(text: &str) -> Result<T, String> {
    let (position, message) = match yaml::read(text) {
        Err((position, _, message)) => (position, message),
        Ok(nodes) => match nodes.as_slice() {
            [node] => return T::from_node(node).map_err(|error| error.into_diagnostic("", "").to_string()),
            _ => return Err("expected one document".to_owned()),
        },
    };
    Err(format!("{}: {message}", position.in_source("line")))
}

/// The documents of a file; a list at the top counts as that many documents.
fn read(source: &str, text: &str) -> Result<Vec<Node>, Vec<Diagnostic>> {
    if text.len() > limits::DOCUMENTS_BYTES {
        let message =
            format!("a file has at most {} bytes, this has {}", limits::DOCUMENTS_BYTES, text.len());
        return Err(refusal("", "too_large", Some(source.to_owned()), message));
    }
    let documents = yaml::read(text)
        .map_err(|(position, code, message)| refusal("", code, Some(position.in_source(source)), message))?;
    let mut nodes = Vec::with_capacity(documents.len());
    for document in documents {
        match document.shape {
            Shape::List(items) => nodes.extend(items),
            _ => nodes.push(document),
        }
    }
    if nodes.len() > limits::RESOURCES {
        let message = format!("at most {} resources, these are {}", limits::RESOURCES, nodes.len());
        return Err(refusal("", "too_large", Some(source.to_owned()), message));
    }
    Ok(nodes)
}

/// Gathers resources or all findings; a resource that is written twice is a finding too.
fn collect<'n>(
    results: impl Iterator<Item = Result<(Resource, &'n Node), Vec<Diagnostic>>>,
    source: &str,
) -> Result<Vec<(Resource, &'n Node)>, Vec<Diagnostic>> {
    let mut found: Vec<(Resource, &Node)> = Vec::new();
    let mut seen: HashMap<ResourceId, Position> = HashMap::new();
    let mut diagnostics = Vec::new();
    for result in results {
        match result {
            Err(mut more) => diagnostics.append(&mut more),
            Ok((resource, node)) => {
                if let Some(first) = seen.insert(resource.id(), node.at) {
                    let message = format!("it is written twice, first at {}", first.in_source(source));
                    let place = Some(node.at.in_source(source));
                    diagnostics.append(&mut refusal(&resource.id().to_string(), "duplicate", place, message));
                }
                found.push((resource, node));
            }
        }
    }
    if diagnostics.is_empty() { Ok(found) } else { Err(diagnostics) }
}

/// A resource that has the right form and makes sense by itself.
fn checked(node: &Node, source: &str) -> Result<Resource, Vec<Diagnostic>> {
    let resource = resource_from_node(node, source)?;
    let mut diagnostics = resource.check();
    if !has_errors(&diagnostics) {
        return Ok(resource);
    }
    if !source.is_empty() {
        let locations = Locations::of(source, node);
        for diagnostic in &mut diagnostics {
            diagnostic.location = Some(locations.locate(&diagnostic.path));
        }
    }
    Err(diagnostics)
}

fn refusal(
    resource: &str,
    code: &'static str,
    location: Option<String>,
    message: impl Into<String>,
) -> Vec<Diagnostic> {
    vec![Diagnostic {
        severity: Severity::Error,
        resource: resource.to_owned(),
        path: String::new(),
        location,
        code: Cow::Borrowed(code),
        message: message.into(),
    }]
}

const ENVELOPE: [&str; 4] = ["kind", "name", "labels", "spec"];

/// The form alone; [`Resource::check`] comes after.
pub(crate) fn resource_from_node(node: &Node, source: &str) -> Result<Resource, Vec<Diagnostic>> {
    let Shape::Map(fields) = &node.shape else {
        let message = format!("expected a resource `{{kind, name, spec}}`, found {}", node.shape.describe());
        return Err(refusal("", "wrong_type", node.at.known(source), message));
    };
    let field = |name: &str| fields.iter().find(|(key, _)| key.text == name).map(|(_, value)| value);
    let mut errors: Vec<NodeError> = Vec::new();
    for (key, _) in fields {
        if !ENVELOPE.contains(&key.text.as_str()) {
            let message = format!("unknown field `{}`{}", key.text, hint(&key.text, ENVELOPE));
            errors
                .push(NodeError::new("unknown_field", message).at(key.at).under(Step::Key(key.text.clone())));
        }
    }
    let kind = required(field("kind"), "kind", node, kind_from_node);
    let name = required(field("name"), "name", node, Name::from_node);
    let labels = field("labels").map_or_else(
        || Ok(std::collections::BTreeMap::new()),
        |labels| {
            FromNode::from_node(labels).map_err(|error: NodeError| error.under(Step::Key("labels".into())))
        },
    );
    let spec = match &kind {
        Ok(kind) => required(field("spec"), "spec", node, |spec| Spec::from_node(*kind, spec)).map(Some),
        Err(_) => Ok(None),
    };
    let resource = describe(kind.as_ref().ok(), name.as_ref().ok());
    match (kind, name, labels, spec) {
        (Ok(_), Ok(name), Ok(labels), Ok(Some(spec))) if errors.is_empty() => {
            Ok(Resource { name, labels, spec })
        }
        (kind, name, labels, spec) => {
            errors.extend([kind.err(), name.err(), labels.err(), spec.err()].into_iter().flatten());
            Err(errors.into_iter().map(|error| error.into_diagnostic(&resource, source)).collect())
        }
    }
}

fn required<T>(
    field: Option<&Node>,
    name: &'static str,
    around: &Node,
    read: impl FnOnce(&Node) -> Result<T, NodeError>,
) -> Result<T, NodeError> {
    match field {
        None => Err(NodeError::new("missing_field", format!("missing field `{name}`")).at(around.at)),
        Some(node) => read(node).map_err(|error| error.under(Step::Key(name.to_owned()))),
    }
}

fn kind_from_node(node: &Node) -> Result<Kind, NodeError> {
    let Shape::Text(text) = &node.shape else {
        let message = format!("expected a kind, found {}", node.shape.describe());
        return Err(NodeError::new("wrong_type", message).at(node.at));
    };
    let exact = Kind::ALL.into_iter().find(|kind| kind.as_str() == text);
    exact.ok_or_else(|| {
        let message = format!("unknown kind `{text}`{}", hint(text, Kind::ALL.map(Kind::as_str)));
        NodeError::new("unknown_kind", message).at(node.at)
    })
}

fn describe(kind: Option<&Kind>, name: Option<&Name>) -> String {
    match (kind, name) {
        (Some(kind), Some(name)) => format!("{kind}/{name}"),
        (Some(kind), None) => kind.to_string(),
        (None, Some(name)) => name.to_string(),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests;

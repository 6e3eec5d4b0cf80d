//! A schema without references that must not stay and without `allOf`.

use super::{Fields, Rewriter, rules::TOLD};
use crate::{
    Fault,
    schema::{
        merge::merge,
        tree::{Tree, put, take},
    },
};

/// What is left of a schema.
pub(super) enum Flat {
    /// A reference that stays.
    Reference(Tree),
    Fields(Fields),
}

impl Rewriter<'_> {
    /// Resolves references that must not stay, and joins all of `allOf`.
    pub(super) fn flattened(&mut self, mut fields: Fields, place: &str) -> Result<Flat, Fault> {
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
    pub(super) fn inlined(&mut self, schema: Tree, place: &str) -> Result<Fields, Fault> {
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

    pub(super) fn merge(&self, fields: &mut Fields, other: Fields, place: &str) -> Result<(), Fault> {
        let inner: Fields =
            other.into_iter().filter(|(name, _)| !matches!(name.as_str(), "$defs" | "definitions")).collect();
        match merge(fields, inner) {
            Ok(()) => Ok(()),
            Err(keyword) => {
                self.refuse(&format!("{place}.{keyword}"), "it cannot be joined with what else is asked")
            }
        }
    }

    pub(super) fn resolve(&self, name: &str, place: &str) -> Result<Tree, Fault> {
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
}

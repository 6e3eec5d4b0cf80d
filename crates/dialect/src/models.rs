//! The list of models, as each dialect's SDK reads it. Which models a caller may see is not known here.

use bytes::Bytes;

use crate::{
    Dialect, civil,
    json::{ObjectWriter, object},
};

/// A model that may be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its public name.
    pub name: String,
    /// Unix seconds since when it is offered.
    pub created: u64,
}

/// The body of `GET /v1/models`.
#[must_use]
pub fn encode_models(dialect: Dialect, models: &[ModelEntry]) -> Bytes {
    if dialect == Dialect::Gemini {
        let write = |w: &mut ObjectWriter<'_>| {
            w.array("models", |list| {
                models.iter().for_each(|model| list.object(|w| write_model(dialect, model, w)))
            });
        };
        return object(write).into();
    }
    object(|w| {
        if dialect != Dialect::Anthropic {
            w.string("object", "list");
        }
        w.array("data", |data| {
            for model in models {
                data.object(|w| write_model(dialect, model, w));
            }
        });
        if dialect == Dialect::Anthropic {
            w.bool("has_more", false);
            w.opt_string("first_id", models.first().map(|model| model.name.as_str()));
            w.opt_string("last_id", models.last().map(|model| model.name.as_str()));
        }
    })
    .into()
}

/// The body of `GET /v1/models/{name}`.
#[must_use]
pub fn encode_model(dialect: Dialect, model: &ModelEntry) -> Bytes {
    object(|w| write_model(dialect, model, w)).into()
}

fn write_model(dialect: Dialect, model: &ModelEntry, w: &mut ObjectWriter<'_>) {
    match dialect {
        Dialect::OpenAi | Dialect::Responses | Dialect::Bedrock | Dialect::Cohere => {
            w.string("id", &model.name);
            w.string("object", "model");
            w.number("created", model.created);
            w.string("owned_by", "frontdoor");
        }
        Dialect::Gemini => {
            w.string("name", &format!("models/{}", model.name));
            w.string("version", "");
            w.string("displayName", &model.name);
            w.array("supportedGenerationMethods", |list| {
                ["generateContent", "countTokens", "embedContent", "batchEmbedContents"]
                    .iter()
                    .for_each(|method| list.string(method));
            });
        }
        Dialect::Anthropic => {
            w.string("type", "model");
            w.string("id", &model.name);
            w.string("display_name", &model.name);
            w.string("created_at", &civil::rfc3339(model.created));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ModelEntry, encode_model, encode_models};
    use crate::Dialect;

    #[test]
    fn the_list_has_the_shape_each_sdk_reads() {
        let models = [ModelEntry { name: "a/b".into(), created: 0 }];
        assert_eq!(
            encode_models(Dialect::OpenAi, &models),
            r#"{"object":"list","data":[{"id":"a/b","object":"model","created":0,"owned_by":"frontdoor"}]}"#
        );
        assert_eq!(
            encode_models(Dialect::Anthropic, &models),
            concat!(
                r#"{"data":[{"type":"model","id":"a/b","display_name":"a/b","created_at":"1970-01-01T00:00:00Z"}],"#,
                r#""has_more":false,"first_id":"a/b","last_id":"a/b"}"#
            )
        );
        assert_eq!(
            encode_models(Dialect::Anthropic, &[]),
            r#"{"data":[],"has_more":false,"first_id":null,"last_id":null}"#
        );
    }

    #[test]
    fn the_list_of_a_gemini_caller_has_names_with_their_path() {
        let models = [ModelEntry { name: "a".into(), created: 0 }];
        let model = concat!(
            r#"{"name":"models/a","version":"","displayName":"a","supportedGenerationMethods":"#,
            r#"["generateContent","countTokens","embedContent","batchEmbedContents"]}"#
        );
        assert_eq!(encode_models(Dialect::Gemini, &models), format!("{{\"models\":[{model}]}}"));
        assert_eq!(encode_model(Dialect::Gemini, &models[0]), model);
        assert_eq!(encode_models(Dialect::Gemini, &[]), r#"{"models":[]}"#);
    }

    #[test]
    fn one_model_is_told_as_in_the_list() {
        let model = ModelEntry { name: "m".into(), created: 7 };
        assert_eq!(
            encode_model(Dialect::OpenAi, &model),
            r#"{"id":"m","object":"model","created":7,"owned_by":"frontdoor"}"#
        );
    }
}

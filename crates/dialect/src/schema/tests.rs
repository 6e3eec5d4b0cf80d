use proptest::prelude::{Just, any, prop, prop_assert, prop_oneof, proptest};
use proptest::strategy::{BoxedStrategy, Strategy};
use serde_json::{Value, json};

use super::{Subset, from_gemini, rewrite};
use crate::{Dialect, Fault, TargetShape, canonical::Json, losses::Losses};

fn losses() -> Losses {
    Losses::new(Dialect::OpenAi, &TargetShape::new(Dialect::Gemini, "m"))
}

fn try_rewrite(schema: &Value, subset: Subset) -> Result<Value, Fault> {
    let schema = Json::parse(&schema.to_string()).unwrap();
    let written = rewrite(&schema, subset, "schema", &mut losses())?;
    Ok(serde_json::from_str(written.text()).unwrap())
}

fn check(subset: Subset, schema: &Value, expected: &Value) {
    assert_eq!(&try_rewrite(schema, subset).unwrap(), expected);
}

fn gemini(schema: &Value, expected: &Value) {
    check(Subset::GeminiOpenApi, schema, expected);
}

#[test]
fn references_are_put_in_place_for_older_gemini() {
    let schema = json!({"type": "object", "properties": {"home": {"$ref": "#/$defs/place", "description": "where"}},
        "$defs": {"place": {"type": "string", "title": "Place"}}});
    let home = json!({"description": "where", "type": "STRING", "title": "Place"});
    gemini(&schema, &json!({"type": "OBJECT", "properties": {"home": home}}));
}

#[test]
fn a_schema_that_contains_itself_is_refused_by_name_where_references_do_not_stay() {
    let tree = json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}}});
    let fault = try_rewrite(&tree, Subset::GeminiOpenApi).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("schema.properties.children.items.$ref"));
    for subset in [Subset::OpenAiStrict, Subset::Anthropic] {
        let written = try_rewrite(&tree, subset).unwrap();
        assert_eq!(
            written["$defs"]["node"]["properties"]["children"]["items"],
            json!({"$ref": "#/$defs/node"})
        );
    }
}

#[test]
fn all_of_becomes_one() {
    let schema = json!({"allOf": [
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"properties": {"b": {"type": "integer", "minimum": 1}}, "required": ["b"]}]});
    let expected = json!({"type": "OBJECT", "required": ["a", "b"], "propertyOrdering": ["a", "b"],
        "properties": {"a": {"type": "STRING"}, "b": {"type": "INTEGER", "minimum": 1}}});
    gemini(&schema, &expected);
    let fault =
        try_rewrite(&json!({"allOf": [{"type": "string"}, {"type": "integer"}]}), Subset::GeminiOpenApi);
    assert_eq!(fault.unwrap_err().param.as_deref(), Some("schema.allOf[1].type"));
}

#[test]
fn a_constant_is_a_choice_of_one_and_null_a_mark() {
    gemini(&json!({"const": "x"}), &json!({"type": "STRING", "enum": ["x"]}));
    gemini(&json!({"type": ["string", "null"]}), &json!({"type": "STRING", "nullable": true}));
    gemini(
        &json!({"anyOf": [{"type": "integer"}, {"type": "null"}], "default": null, "title": "N"}),
        &json!({"default": null, "title": "N", "type": "INTEGER", "nullable": true}),
    );
    gemini(
        &json!({"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}),
        &json!({"anyOf": [{"type": "INTEGER"}, {"type": "STRING"}], "nullable": true}),
    );
    gemini(
        &json!({"type": "string", "enum": ["a", null]}),
        &json!({"type": "STRING", "enum": ["a"], "nullable": true}),
    );
}

#[test]
fn numbers_are_enumerated_as_a_range_or_not_at_all() {
    gemini(&json!({"enum": [2, 1, 3]}), &json!({"type": "INTEGER", "minimum": 1, "maximum": 3}));
    gemini(&json!({"type": "boolean", "enum": [true, false]}), &json!({"type": "BOOLEAN"}));
    let fault =
        try_rewrite(&json!({"type": "object", "properties": {"n": {"enum": [1, 5]}}}), Subset::GeminiOpenApi);
    assert_eq!(fault.unwrap_err().param.as_deref(), Some("schema.properties.n.enum"));
}

#[test]
fn additional_properties_are_not_mentioned_to_gemini_and_formats_only_if_known() {
    let schema = json!({"type": "object", "additionalProperties": false, "$schema": "x", "properties": {
        "at": {"type": "string", "format": "date-time"}, "mail": {"type": "string", "format": "email"},
        "n": {"type": "integer", "exclusiveMinimum": 0}}});
    let expected = json!({"type": "OBJECT", "propertyOrdering": ["at", "mail", "n"], "properties": {
        "at": {"type": "STRING", "format": "date-time"},
        "mail": {"type": "STRING", "description": "{format: \"email\"}"},
        "n": {"type": "INTEGER", "minimum": 1}}});
    gemini(&schema, &expected);
}

#[test]
fn what_cannot_be_said_is_refused_with_the_place_of_the_keyword() {
    let object = |field: Value| json!({"type": "object", "properties": {"a": field}});
    for (field, place) in [
        (json!({"type": "array"}), "schema.properties.a.items"),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            "schema.properties.a.additionalProperties",
        ),
        (json!({"type": "string", "not": {"enum": ["x"]}}), "schema.properties.a.not"),
        (json!({"type": "object"}), "schema.properties.a.properties"),
        (json!({}), "schema.properties.a"),
        (
            json!({"type": "array", "items": {"type": "string"}, "prefixItems": []}),
            "schema.properties.a.prefixItems",
        ),
        (json!({"$ref": "other.json"}), "schema.properties.a.$ref"),
    ] {
        let fault = try_rewrite(&object(field), Subset::GeminiOpenApi).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some(place), "{fault}");
        assert_eq!(fault.class, crate::FaultClass::Unsupported);
    }
}

#[test]
fn where_openai_is_strict_every_property_is_required_and_no_other_allowed() {
    let schema = json!({"type": "object", "required": ["a"], "properties": {
        "a": {"type": "string", "minLength": 2}, "b": {"type": "integer"}, "c": {"enum": ["x"], "type": "string"}}});
    let expected = json!({"type": "object", "required": ["a", "b", "c"], "additionalProperties": false, "properties": {
        "a": {"type": "string", "description": "{minLength: 2}"},
        "b": {"type": ["integer", "null"]},
        "c": {"type": ["string", "null"], "enum": ["x", null]}}});
    check(Subset::OpenAiStrict, &schema, &expected);
}

#[test]
fn anthropic_gets_bounds_in_words() {
    let schema = json!({"type": "object", "properties": {
        "n": {"type": "integer", "minimum": 1, "maximum": 10, "description": "A number"},
        "l": {"type": "array", "items": {"type": "string"}, "minItems": 1}}});
    let expected = json!({"type": "object", "additionalProperties": false, "properties": {
        "n": {"type": "integer", "description": "A number\n\n{maximum: 10, minimum: 1}"},
        "l": {"type": "array", "items": {"type": "string"}, "minItems": 1}}});
    check(Subset::Anthropic, &schema, &expected);
    let mut losses = losses();
    rewrite(&Json::parse(&schema.to_string()).unwrap(), Subset::Anthropic, "s", &mut losses).unwrap();
    assert!(losses.defaulted.contains(&("s.properties.n.minimum".to_owned(), "said in words".to_owned())));
}

#[test]
fn newer_gemini_keeps_a_schema_as_it_was_written() {
    let schema = r##"{ "type":"object","properties":{"z":{"$ref":"#/$defs/a"},"b":{"type":"number"}},"$defs":{"a":{"type":"string"}} }"##;
    let schema = Json::parse(schema).unwrap();
    assert_eq!(rewrite(&schema, Subset::GeminiJson, "s", &mut losses()).unwrap().text(), schema.text());
    let written = try_rewrite(
        &json!({"allOf": [{"$ref": "#/$defs/a"}], "description": "d", "$defs": {"a": {"const": 1}}}),
        Subset::GeminiJson,
    );
    assert_eq!(written.unwrap(), json!({"description": "d", "enum": [1], "$defs": {"a": {"enum": [1]}}}));
}

#[test]
fn a_schema_in_googles_words_is_plain_json_schema() {
    let google = json!({"type": "OBJECT", "propertyOrdering": ["b", "a"], "required": ["a"], "properties": {
        "a": {"type": "STRING", "nullable": true, "enum": ["x"], "format": "enum"},
        "b": {"type": "ARRAY", "items": {"type": "INTEGER", "format": "int32"}, "min_items": "2"},
        "c": {"any_of": [{"type": "NUMBER"}, {"type": "STRING"}], "nullable": true}}});
    let plain = from_gemini(&Json::parse(&google.to_string()).unwrap(), "p").unwrap();
    let expected = concat!(
        r#"{"type":"object","required":["a"],"properties":{"#,
        r#""b":{"items":{"format":"int32","type":"integer"},"minItems":2,"type":"array"},"#,
        r#""a":{"enum":["x",null],"type":["string","null"]},"#,
        r#""c":{"anyOf":[{"type":"number"},{"type":"string"},{"type":"null"}]}}}"#
    );
    let order = |text: &str| text.find("\"b\":{").unwrap() < text.find("\"a\":{").unwrap();
    assert!(order(plain.text()));
    let (plain, expected): (Value, Value) =
        (serde_json::from_str(plain.text()).unwrap(), serde_json::from_str(expected).unwrap());
    assert_eq!(plain, expected);
}

/// Whether a value fits a schema, in JSON Schema's words or in Google's.
fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        return fits(root, root.pointer(reference.strip_prefix('#').unwrap()).unwrap(), value);
    }
    if value.is_null() && schema["nullable"] == true {
        return true;
    }
    let all = |name: &str| schema[name].as_array().cloned().unwrap_or_default();
    let kinds = if schema["type"].is_string() { vec![schema["type"].clone()] } else { all("type") };
    let is = |kind: &Value| match kind.as_str().unwrap().to_ascii_lowercase().as_str() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    };
    let bound = |name: &str, holds: fn(f64, f64) -> bool| match (schema[name].as_f64(), value.as_f64()) {
        (Some(bound), Some(value)) => holds(value, bound),
        _ => true,
    };
    let properties = schema["properties"].as_object();
    (kinds.is_empty() || kinds.iter().any(is))
        && (schema["enum"].is_null() || all("enum").contains(value))
        && (schema["const"].is_null() || schema["const"] == *value)
        && bound("minimum", |value, bound| value >= bound)
        && bound("maximum", |value, bound| value <= bound)
        && all("allOf").iter().all(|schema| fits(root, schema, value))
        && (schema["anyOf"].is_null() || all("anyOf").iter().any(|schema| fits(root, schema, value)))
        && (schema["items"].is_null()
            || value
                .as_array()
                .is_none_or(|items| items.iter().all(|item| fits(root, &schema["items"], item))))
        && value.as_object().is_none_or(|fields| {
            all("required").iter().all(|name| fields.contains_key(name.as_str().unwrap()))
                && fields.iter().all(|(name, value)| match properties.and_then(|known| known.get(name)) {
                    Some(schema) => fits(root, schema, value),
                    None => schema["additionalProperties"] != false,
                })
        })
}

/// A schema and values that fit it.
fn schemas() -> BoxedStrategy<(Value, Vec<Value>)> {
    let leaf = prop_oneof![
        prop::collection::vec("[a-z]{0,4}", 1..3).prop_map(|texts| {
            (json!({"type": "string", "description": "t"}), texts.into_iter().map(Value::from).collect())
        }),
        prop::collection::hash_set("[a-z]{1,3}", 1..4).prop_map(|texts| {
            let texts: Vec<Value> = texts.into_iter().map(Value::from).collect();
            (json!({"enum": texts}), texts)
        }),
        "[a-z]{1,3}".prop_map(|text| (json!({"const": text}), vec![json!(text)])),
        (-5..5_i64, 0..9_i64).prop_map(|(least, more)| {
            (
                json!({"type": "integer", "minimum": least, "maximum": least + more}),
                vec![json!(least), json!(least + more)],
            )
        }),
        Just((json!({"type": "boolean"}), vec![json!(true), json!(false)])),
        Just((json!({"$ref": "#/$defs/shared"}), vec![json!("shared")])),
        Just((json!({"type": ["number", "null"]}), vec![json!(1.5), Value::Null])),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        let object = (prop::collection::vec((inner.clone(), any::<bool>()), 1..4), any::<bool>());
        prop_oneof![
            inner.clone().prop_map(|(schema, values)| {
                (json!({"type": "array", "items": schema}), vec![json!(values), json!([])])
            }),
            inner.clone().prop_map(|(schema, mut values)| {
                values.push(Value::Null);
                (json!({"anyOf": [schema, {"type": "null"}]}), values)
            }),
            (inner.clone(), inner).prop_map(|((a, mut values), (b, more))| {
                values.extend(more);
                (json!({"anyOf": [a, b]}), values)
            }),
            object.prop_map(|(fields, splits)| of_fields(&fields, splits)),
        ]
    })
    .prop_map(|(schema, values)| {
        let schema = json!({"type": "object", "properties": {"it": schema}, "required": ["it"],
            "$defs": {"shared": {"type": "string"}}});
        (schema, values.into_iter().map(|value| json!({"it": value})).collect())
    })
    .boxed()
}

/// An object, or the same as two of which both are asked; its values have all properties or the required ones.
fn of_fields(fields: &[((Value, Vec<Value>), bool)], splits: bool) -> (Value, Vec<Value>) {
    let (mut properties, mut required) = (json!({}), Vec::new());
    let (mut most, mut least) = (json!({}), json!({}));
    for (place, ((schema, values), is_required)) in fields.iter().enumerate() {
        let name = format!("p{place}");
        properties[&name] = schema.clone();
        most[&name] = values[0].clone();
        if *is_required {
            least[&name] = values[values.len() - 1].clone();
            required.push(name);
        }
    }
    let whole = json!({"type": "object", "properties": properties, "required": required});
    let other = json!({"type": "object", "properties": {"q": {"type": "string"}}});
    (if splits { json!({"allOf": [whole, other]}) } else { whole }, vec![most, least])
}

proptest! {
    #[test]
    fn what_fits_a_schema_fits_it_rewritten((schema, values) in schemas()) {
        for subset in [Subset::GeminiOpenApi, Subset::GeminiJson, Subset::Anthropic] {
            let Ok(written) = try_rewrite(&schema, subset) else { continue };
            for value in &values {
                prop_assert!(fits(&schema, &schema, value), "the sample {value} does not fit {schema}");
                prop_assert!(fits(&written, &written, value), "{value} fits {schema} but not {written}");
            }
        }
    }

    #[test]
    fn what_fits_a_strict_schema_fits_the_one_it_was_made_of_but_for_null((schema, values) in schemas()) {
        let Ok(written) = try_rewrite(&schema, Subset::OpenAiStrict) else { return Ok(()) };
        for value in values.iter().filter(|value| fits(&written, &written, value)) {
            prop_assert!(fits(&schema, &schema, value));
        }
        // It is as strict as OpenAI wants it.
        let text = written.to_string();
        prop_assert!(!text.contains("allOf") && !text.contains("const") && text.contains("\"additionalProperties\":false"));
    }

    #[test]
    fn any_json_as_a_schema_never_panics(text in "[\\[\\]{}\",:a-z$#/0-9 ]{0,80}") {
        if let Ok(schema) = Json::parse(&text) {
            for subset in [Subset::GeminiOpenApi, Subset::GeminiJson, Subset::Anthropic, Subset::OpenAiStrict] {
                let _ = rewrite(&schema, subset, "s", &mut losses());
            }
            let _ = from_gemini(&schema, "s");
        }
    }
}

mod in_calls {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use crate::{Call, Dialect, Fault, Operation, Outbound, TargetShape, encode_call};

    fn send(schema: &Value, dialect: Dialect, model: &str) -> Result<Outbound, Fault> {
        let body = json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}},
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]});
        let call = Call::decode((Dialect::OpenAi, Operation::Chat), Bytes::from(body.to_string())).unwrap();
        encode_call(&call, &TargetShape::new(dialect, model))
    }

    fn written(outbound: &Outbound) -> Value {
        serde_json::from_slice(&outbound.body).unwrap()
    }

    #[test]
    fn a_schema_goes_in_the_words_of_each_target() {
        let schema = json!({"type": "object", "properties": {"a": {"const": "x"}}, "required": ["a"]});
        let newer = written(&send(&schema, Dialect::Gemini, "gemini-2.5-pro").unwrap());
        assert_eq!(newer["generationConfig"]["responseMimeType"], "application/json");
        assert_eq!(
            newer["generationConfig"]["responseJsonSchema"],
            json!({"type": "object", "properties": {"a": {"enum": ["x"]}}, "required": ["a"]})
        );
        let older = written(&send(&schema, Dialect::Gemini, "gemini-1.5-pro").unwrap());
        let expected = json!({"type": "OBJECT", "properties": {"a": {"type": "STRING", "enum": ["x"]}}, "required": ["a"]});
        assert_eq!(older["generationConfig"]["responseSchema"], expected);
        assert_eq!(older["tools"], json!([{"functionDeclarations": [{"name": "f"}]}]));
        let anthropic = written(&send(&schema, Dialect::Anthropic, "claude-sonnet-4-5").unwrap());
        assert_eq!(
            anthropic["output_config"]["format"]["schema"],
            json!({"type": "object", "properties": {"a": {"type": "string", "enum": ["x"]}}, "required": ["a"],
                "additionalProperties": false})
        );
    }

    #[test]
    fn a_keyword_without_a_word_is_refused_with_its_place_in_the_call() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "object", "additionalProperties": {"type": "string"}}}});
        let place = "response_format.json_schema.schema.properties.a.additionalProperties";
        for (dialect, model) in
            [(Dialect::Gemini, "gemini-1.5-pro"), (Dialect::Anthropic, "claude-sonnet-4-5")]
        {
            let fault = send(&schema, dialect, model).unwrap_err();
            assert_eq!(fault.param.as_deref(), Some(place), "{fault}");
        }
        // The same dialect changes nothing.
        let same = written(&send(&schema, Dialect::OpenAi, "m").unwrap());
        assert_eq!(same["response_format"]["json_schema"]["schema"], schema);
    }

    #[test]
    fn openai_is_strict_where_it_can_be_and_says_so_where_not() {
        let call = |schema: Value| {
            let body = json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}],
                "output_config": {"format": {"type": "json_schema", "schema": schema}}});
            let call =
                Call::decode((Dialect::Anthropic, Operation::Chat), Bytes::from(body.to_string())).unwrap();
            encode_call(&call, &TargetShape::new(Dialect::OpenAi, "m")).unwrap()
        };
        let strict = call(json!({"type": "object", "properties": {"a": {"type": "string"}}}));
        let format = written(&strict)["response_format"]["json_schema"].clone();
        assert_eq!(format["strict"], true);
        assert_eq!(format["schema"]["required"], json!(["a"]));
        let open = json!({"type": "object", "properties": {}, "additionalProperties": true});
        let loose = call(open.clone());
        let format = written(&loose)["response_format"]["json_schema"].clone();
        assert_eq!((&format["strict"], &format["schema"]), (&json!(false), &open));
        let told = ("output_config.format.schema.additionalProperties".to_owned(), "not strict".to_owned());
        assert!(loose.defaulted.contains(&told), "{:?}", loose.defaulted);
    }
}

use super::{parse_documents, parse_resource};
use crate::limits;

#[test]
fn several_documents_become_resources() {
    let text = "kind: Provider\nname: openai\nspec:\n  dialect: openai\n  base_url: https://api.openai.com/v1\n  credential: env:OPENAI_API_KEY\n---\nkind: Model\nname: gpt-*\nspec: {targets: [{provider: openai, prices: {input: 0.15, output: 0.6}}]}\n";
    let resources = parse_documents("x.yaml", text).unwrap();
    assert_eq!(
        String::from_utf8(resources[1].canonical()).unwrap(),
        r#"{"kind":"Model","name":"gpt-*","spec":{"targets":[{"prices":{"input":0.15,"output":0.6},"provider":"openai"}]}}"#
    );
}

#[test]
fn nesting_in_any_notation_is_refused_and_ends_nothing() {
    let depth = 50_000;
    for (open, close) in [
        ("[", "]"),
        ("{a: ", "}"),
        ("{[", "]: 1}"),
        ("- ", ""),
        ("? ", ""),
        ("- - ", ""),
        ("[[], ", "]"),
        ("!a [", "]"),
        ("&a [", "]"),
        ("{? [", "] : x}"),
    ] {
        let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        for text in [nested.clone(), format!("kind: Model\nname: x\nspec: {nested}"), format!("{nested}: 1")]
        {
            assert!(parse_documents("deep", &text).is_err(), "{open}");
        }
        assert!(parse_resource(nested.as_bytes()).is_err(), "{open}");
    }
    let indented: String = (0..2000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    assert!(parse_documents("deep", &indented).is_err());
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let body = vec![b' '; limits::RESOURCE_BYTES + 1];
    assert_eq!(parse_resource(&body).unwrap_err()[0].code, "too_large");
    let text = " ".repeat(limits::DOCUMENTS_BYTES + 1);
    assert_eq!(parse_documents("big.yaml", &text).unwrap_err()[0].code, "too_large");
}

#[test]
fn empty_documents_are_no_resources() {
    for text in ["", "# nothing\n", "---\n---\n", "\u{feff}", "[]", "null"] {
        assert_eq!(parse_documents("empty", text).unwrap(), [], "{text:?}");
    }
}

#[test]
fn the_same_document_from_yaml_and_json_is_the_same_resource() {
    let yaml = "kind: Quota\nname: a\nspec:\n  limits: {concurrency: 5}\n";
    let json = r#"{"spec":{"limits":{"concurrency":5}},"name":"a","kind":"Quota","labels":{}}"#;
    let resource = parse_resource(json.as_bytes()).unwrap();
    assert_eq!(parse_documents("a.yaml", yaml).unwrap(), std::slice::from_ref(&resource));
    assert_eq!(parse_documents("a.json", json).unwrap(), std::slice::from_ref(&resource));
    assert_eq!(parse_documents("a.json", &format!("[{json}]")).unwrap(), [resource]);
}

#[test]
fn json_escapes_mean_the_same_in_a_file_and_in_a_body() {
    let json = r#"{"kind":"Consumer","name":"a","spec":{"organisation":"\u00e9\/\ud83d\ude00","team":"t","models":["*"]}}"#;
    assert_eq!(parse_documents("a.json", json).unwrap(), [parse_resource(json.as_bytes()).unwrap()]);
}

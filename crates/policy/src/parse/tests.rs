use super::parse_documents;

#[test]
fn several_documents_become_resources() {
    let text = "kind: Provider\nname: openai\nspec:\n  dialect: openai\n  base_url: https://api.openai.com/v1\n  credential: env:OPENAI_API_KEY\n---\nkind: Model\nname: gpt-*\nspec: {targets: [{provider: openai, prices: {input: 0.15, output: 0.6}}]}\n";
    let resources = parse_documents("x.yaml", text).unwrap();
    assert_eq!(
        String::from_utf8(resources[1].canonical()).unwrap(),
        r#"{"kind":"Model","name":"gpt-*","spec":{"targets":[{"prices":{"input":0.15,"output":0.6},"provider":"openai"}]}}"#
    );
}

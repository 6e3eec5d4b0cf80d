use std::collections::BTreeSet;

use super::{FILES, PRESETS, preset_names};
use crate::{
    Auth, Catalog, Diagnostic, Dialect, Name, OperationName, Platform, compile, compiled::Provider,
    parse_documents,
};

/// What a provider with this spec means.
fn compiled(spec: &str) -> Result<Provider, Vec<Diagnostic>> {
    let text = format!("{{kind: Provider, name: p, spec: {spec}}}");
    let catalog: Catalog = parse_documents("test", &text)?.into_iter().map(Into::into).collect();
    let group = Name::default_group();
    let policy = compile(&group, 1, &catalog.select(&group))?.policy;
    Ok(policy.providers().next().unwrap().as_ref().clone())
}

/// A spec with the preset and what it asks for.
fn smallest(name: &str) -> String {
    let preset = PRESETS[name].as_ref().unwrap();
    let needs: String = preset.needs.iter().map(|(field, example)| format!(", {field}: {example}")).collect();
    format!("{{preset: {name}{needs}}}")
}

#[test]
fn every_preset_is_read_and_is_a_provider_once_its_needs_are_met() {
    for name in preset_names() {
        let preset = PRESETS[name].as_ref().unwrap_or_else(|reason| panic!("{name}: {reason}"));
        assert!(preset.spec.dialect.is_some(), "{name} does not say how it speaks");
        let is_somewhere = preset.spec.base_url.is_some() || !preset.needs.is_empty();
        assert!(is_somewhere, "{name} neither says where it is nor asks for it");
        let secret = preset.spec.credential.as_ref();
        assert!(preset.spec.preset.is_none() && secret.is_none(), "{name} says what only an author can");
        let provider = compiled(&smallest(name)).unwrap_or_else(|findings| panic!("{name}: {findings:?}"));
        assert!(provider.base_url.starts_with("http"), "{name}");
        assert!(!provider.base_url.ends_with('/'), "{name}");
    }
}

#[test]
fn a_preset_asks_for_what_only_the_author_knows() {
    for name in preset_names() {
        let needs: BTreeSet<String> =
            PRESETS[name].as_ref().unwrap().needs.keys().map(|field| format!("spec.{field}")).collect();
        let findings = compiled(&format!("{{preset: {name}}}")).err().unwrap_or_default();
        let asked: BTreeSet<String> = findings.iter().map(|finding| finding.path.clone()).collect();
        assert_eq!(asked, needs, "{name}");
        assert!(findings.iter().all(|finding| finding.message.contains("write `")), "{findings:?}");
    }
}

#[test]
fn every_preset_names_the_documentation_it_was_written_from() {
    for (name, text) in FILES {
        let comment: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(comment.iter().any(|line| line.contains("https://")), "{name}");
        assert!(text.lines().count() < 60, "{name}: a vendor is a few lines of data");
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("presets");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    assert_eq!(files, preset_names().collect::<Vec<_>>(), "every file is named in the list, in order");
}

#[test]
fn what_the_author_writes_counts_and_the_preset_says_the_rest() {
    let provider = compiled(
        "{preset: mistral, base_url: 'https://eu.example/v1/', credential: 'env:KEY', timeouts: {total: 5s},
          quirks: {unsupported: [user], developer_role: true}, max_tokens_field: max_completion_tokens}",
    )
    .unwrap();
    assert_eq!(provider.base_url, "https://eu.example/v1");
    assert_eq!(provider.quirks.unsupported.as_deref(), Some(&["user".to_owned()][..]));
    assert_eq!(provider.quirks.developer_role, Some(true));
    assert_eq!(provider.quirks.required_tool_choice.as_deref(), Some("any"));
    assert_eq!(provider.quirks.tool_call_id_length, Some(9));
    assert_eq!(provider.max_tokens_field, Some(crate::MaxTokensField::MaxCompletionTokens));
}

#[test]
fn a_cloud_preset_signs_in_unless_a_plain_key_is_given() {
    let signed = compiled("{preset: bedrock, aws: {region: us-west-2}}").unwrap();
    assert!(matches!(signed.auth, Some(Auth::Aws(_))));
    assert_eq!(signed.base_url, "https://bedrock-runtime.us-west-2.amazonaws.com");
    assert_eq!(signed.platform, Platform::Bedrock { region: "us-west-2".to_owned() });
    let keyed = compiled("{preset: bedrock, aws: {region: us-west-2}, credential: 'env:KEY'}").unwrap();
    assert!(keyed.auth.is_none() && keyed.credential.is_some());
    let other = "{preset: bedrock, aws: {region: us-west-2}, auth: {aws: {source: instance}}}";
    let Some(Auth::Aws(aws)) = compiled(other).unwrap().auth else { panic!("no auth") };
    assert_eq!(aws.source, crate::AwsSource::Instance);
}

#[test]
fn a_misspelt_preset_is_answered_with_the_nearest_or_with_all() {
    let message = |name: &str| compiled(&format!("{{preset: {name}}}")).unwrap_err().remove(0).message;
    assert_eq!(message("mistrall"), "`mistrall` is not known; did you mean `mistral`?");
    let all = message("somebody");
    assert!(preset_names().all(|name| all.contains(name)), "{all}");
}

#[test]
fn vendors_differ_as_their_documentation_says() {
    let quirks = |name: &str| compiled(&smallest(name)).unwrap().quirks;
    assert_eq!(quirks("mistral").rename.unwrap()["seed"], "random_seed");
    assert_eq!(quirks("groq").only.unwrap()["n"], [serde_json::json!(1)]);
    assert!(quirks("groq").unsupported.unwrap().contains(&"messages.name".to_owned()));
    assert_eq!(quirks("cerebras").operations.unwrap(), [OperationName::Chat]);
    assert_eq!(quirks("ollama").image_urls, Some(false));
    assert_eq!(compiled("{preset: perplexity}").unwrap().dialect, Dialect::Responses);
    let xai = quirks("xai");
    let refuses = |model: &str, field: &str| {
        xai.for_model(model).unsupported.iter().flatten().any(|name| name == field)
    };
    assert!(
        refuses("grok-4", "stop") && refuses("grok-4", "reasoning_effort") && refuses("grok-4", "logit_bias")
    );
    assert!(refuses("grok-4.3", "stop") && !refuses("grok-4.3", "reasoning_effort"));
    assert!(!refuses("grok-4-fast-non-reasoning", "stop") && refuses("grok-2", "logit_bias"));
}

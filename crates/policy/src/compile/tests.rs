use std::{sync::Arc, time::Duration};

use super::compile;
use crate::{
    Capability, Catalog, Name, OnUnsupported, Policy, Resource, Strategy, UnlistedModels,
    compiled::{Key, QuotaSubject},
    parse_documents,
};

fn policy(text: &str) -> Policy {
    let catalog: Catalog = parse_documents("test", text).unwrap().into_iter().map(Arc::new).collect();
    let group = Name::default_group();
    compile(&group, 3, &catalog.select(&group)).unwrap().policy
}

const WORLD: &str = "
- {kind: Provider, name: p, spec: {dialect: openai, base_url: 'https://a'}}
- {kind: Provider, name: q, spec: {dialect: anthropic, base_url: 'https://b/v1'}}
- {kind: Model, name: gpt-5, spec: {targets: [{provider: p}, {provider: q, model: other, weight: 3}], capabilities: [tools, chat]}}
- {kind: Model, name: openai/*, spec: {targets: [{provider: p}]}}
- {kind: Model, name: openai/gpt-*, spec: {targets: [{provider: q, model: fixed}]}}
- {kind: Model, name: claude, spec: {targets: [{provider: q}]}}
- {kind: Consumer, name: bot, labels: {tier: gold}, spec: {organisation: acme, team: search, models: ['gpt-*', 'openai/*']}}
- {kind: Consumer, name: web, spec: {organisation: acme, team: ads, application: site, models: ['*']}}
- kind: Key
  name: k_bot
  spec: {consumer: bot, hash: '0101010101010101010101010101010101010101010101010101010101010101', created: '2026-01-01T00:00:00Z',
         expires: '2026-01-02T00:00:00Z', models: [gpt-5, 'openai/gpt-*']}
- kind: Key
  name: k_web
  spec: {consumer: web, hash: '0202020202020202020202020202020202020202020202020202020202020202', created: '2026-01-01T00:00:00Z', revoked: true}
";

fn key(policy: &Policy, byte: u8) -> Arc<Key> {
    Arc::clone(policy.key(&[byte; 32]).unwrap())
}

#[test]
fn a_name_means_the_exact_model_or_the_longest_pattern() {
    let policy = policy(WORLD);
    let meant = |asked: &str| {
        policy.model(asked).map(|found| {
            let target = &found.model.targets[0];
            let upstream = target.upstream_name(asked, found.star.as_deref()).into_owned();
            (found.model.name.to_string(), upstream)
        })
    };
    assert_eq!(meant("gpt-5"), Some(("gpt-5".to_owned(), "gpt-5".to_owned())));
    assert_eq!(meant("openai/o3"), Some(("openai/*".to_owned(), "o3".to_owned())));
    assert_eq!(meant("openai/gpt-5"), Some(("openai/gpt-*".to_owned(), "fixed".to_owned())));
    assert_eq!(meant("unknown"), None);
    assert_eq!(meant("öpenai/"), None);
}

#[test]
fn a_key_is_found_by_its_hash_and_narrows_what_its_consumer_may() {
    let policy = policy(WORLD);
    assert!(policy.key(&[9; 32]).is_none());
    let (bot, web) = (key(&policy, 1), key(&policy, 2));
    assert_eq!(bot.expires_ms, Some(1_767_312_000_000));
    assert!(web.revoked && !bot.revoked);
    assert_eq!((bot.consumer.application.as_str(), web.consumer.application.as_str()), ("bot", "site"));
    assert!(policy.permits(&bot, "gpt-5") && policy.permits(&bot, "openai/gpt-9"));
    assert!(
        !policy.permits(&bot, "gpt-4")
            && !policy.permits(&bot, "openai/o3")
            && !policy.permits(&bot, "claude")
    );
    assert!(policy.permits(&web, "whatever"));
}

#[test]
fn only_permitted_names_are_listed_or_suggested() {
    let policy = policy(WORLD);
    let (bot, web) = (key(&policy, 1), key(&policy, 2));
    let names = |key: &Key| -> Vec<String> {
        policy.visible_models(key).into_iter().map(|model| model.name.to_string()).collect()
    };
    assert_eq!(names(&bot), ["gpt-5"]);
    assert_eq!(names(&web), ["claude", "gpt-5"]);
    assert_eq!(policy.nearest(&bot, "cluade", 3), Vec::<String>::new());
    assert_eq!(policy.nearest(&web, "cluade", 3), ["claude"]);
}

#[test]
fn routes_come_by_order_then_name_and_only_for_their_models() {
    let policy = policy(&format!(
        "{WORLD}
- {{kind: Route, name: b, spec: {{rules: [{{}}]}}}}
- {{kind: Route, name: a, spec: {{models: ['gpt-*', gpt-5], rules: [{{}}]}}}}
- {{kind: Route, name: z, spec: {{order: -1, models: [gpt-5], rules: [{{}}]}}}}
- {{kind: Route, name: y, spec: {{order: 1, models: [claude], rules: [{{}}]}}}}
"
    ));
    let names = |asked: &str| -> Vec<String> {
        policy.routes_for(asked).map(|route| route.name.to_string()).collect()
    };
    assert_eq!(names("gpt-5"), ["z", "a", "b"]);
    assert_eq!(names("gpt-6"), ["a", "b"]);
    assert_eq!(names("claude"), ["b", "y"]);
    assert_eq!(names("other"), ["b"]);
}

#[test]
fn a_rule_has_its_targets_resolved_and_its_defaults_filled_in() {
    let policy = policy(&format!(
        "{WORLD}
- kind: Route
  name: r
  spec:
    rules:
      - name: first
        when: stream
        strategy: weighted
        targets: [{{model: gpt-5, provider: q, weight: 7}}, {{model: openai/o3}}]
        fallbacks: [{{model: claude}}]
        retries: {{attempts: 5, backoff: {{base: 5s}}}}
      - {{}}
"
    ));
    let route = policy.routes().next().unwrap();
    let (first, second) = (&route.rules[0], &route.rules[1]);
    assert_eq!((first.label.as_str(), second.label.as_str()), ("first", "2"));
    let targets = first.targets.as_ref().unwrap();
    let only: Vec<String> = targets[0].targets().map(|target| target.provider.name.to_string()).collect();
    assert_eq!((only, targets[0].weight), (vec!["q".to_owned()], Some(7)));
    assert_eq!((targets[1].model.name.as_str(), targets[1].star.as_deref()), ("openai/*", Some("o3")));
    assert_eq!(first.fallbacks[0].model.name.as_str(), "claude");
    assert_eq!((first.retries.attempts, first.retries.per_target), (5, 2));
    assert_eq!(
        (first.retries.backoff_base, first.retries.backoff_max),
        (Duration::from_secs(5), Duration::from_secs(5))
    );
    assert!(second.when.is_none() && second.targets.is_none() && second.strategy == Strategy::Priority);
}

#[test]
fn quotas_limit_whom_they_name_for_the_models_they_name() {
    let policy = policy(&format!(
        "{WORLD}
- {{kind: Quota, name: all, spec: {{limits: {{concurrency: 1}}}}}}
- {{kind: Quota, name: gpt, spec: {{models: ['gpt-*'], limits: {{concurrency: 1}}}}}}
- {{kind: Quota, name: key, spec: {{applies_to: {{key: k_bot}}, limits: {{concurrency: 1}}}}}}
- {{kind: Quota, name: team, spec: {{applies_to: {{organisation: acme, team: search}}, limits: {{concurrency: 1}}}}}}
- {{kind: Quota, name: app, spec: {{applies_to: {{application: site}}, limits: {{concurrency: 1}}}}}}
"
    ));
    let names = |byte: u8, asked: &str| -> Vec<String> {
        let key = key(&policy, byte);
        policy
            .quotas_for(&QuotaSubject::from(key.as_ref()), asked)
            .map(|quota| quota.name.to_string())
            .collect()
    };
    assert_eq!(names(1, "gpt-5"), ["all", "gpt", "key", "team"]);
    assert_eq!(names(2, "claude"), ["all", "app"]);
}

#[test]
fn a_changed_amount_keeps_the_quota_s_identity_and_a_changed_scope_does_not() {
    let identity = |spec: &str| {
        policy(&format!("{WORLD}\n- {{kind: Quota, name: a, spec: {spec}}}"))
            .quotas()
            .next()
            .unwrap()
            .identity
    };
    let one = identity("{per: [team], limits: {concurrency: 1}}");
    assert_eq!(one, identity("{per: [team], limits: {concurrency: 2, requests_per_minute: 5}}"));
    assert_ne!(one, identity("{per: [key], limits: {concurrency: 1}}"));
    assert_ne!(one, identity("{per: [team], models: ['gpt-*'], limits: {concurrency: 1}}"));
}

#[test]
fn the_group_s_own_settings_are_part_of_its_policy() {
    let one = policy(WORLD);
    let other =
        policy(&format!("{WORLD}\n- {{kind: Group, name: default, spec: {{unlisted_models: hide}}}}"));
    assert_eq!(
        (one.group.unlisted_models, other.group.unlisted_models),
        (UnlistedModels::Refuse, UnlistedModels::Hide)
    );
    assert_ne!(one.digest, other.digest);
    assert_eq!(one.version, 3);
}

#[test]
fn what_a_model_can_do_is_known_or_not_known() {
    let policy = policy(WORLD);
    let capabilities = policy.model("gpt-5").unwrap().model.capabilities.unwrap();
    assert!(capabilities.contains(Capability::Tools) && !capabilities.contains(Capability::Images));
    assert!(policy.model("claude").unwrap().model.capabilities.is_none());
}

#[test]
fn a_provider_s_fingerprint_changes_only_with_the_provider() {
    let fingerprint = |text: &str| policy(text).provider("p").unwrap().fingerprint;
    assert_eq!(fingerprint(WORLD), fingerprint(&WORLD.replace("weight: 3", "weight: 4")));
    assert_ne!(fingerprint(WORLD), fingerprint(&WORLD.replace("https://a", "https://c")));
}

#[test]
fn an_empty_policy_is_a_policy() {
    let policy = compile(&Name::default_group(), 0, &[]).unwrap().policy;
    assert!(policy.model("x").is_none() && policy.routes_for("x").next().is_none());
}

#[test]
fn too_many_resources_are_refused_with_a_finding() {
    let resource =
        Arc::new(parse_documents("x", "{kind: Group, name: default, spec: {}}").unwrap().remove(0));
    let many: Vec<Arc<Resource>> = std::iter::repeat_n(resource, crate::limits::RESOURCES + 1).collect();
    let findings = compile(&Name::default_group(), 1, &many).unwrap_err();
    assert_eq!(findings[0].code, "too_large");
}

#[test]
fn a_resource_given_twice_or_of_another_group_is_refused() {
    let resources: Vec<Arc<Resource>> = parse_documents("x", "{kind: Group, name: other, spec: {}}")
        .unwrap()
        .into_iter()
        .map(Arc::new)
        .collect();
    let twice = [Arc::clone(&resources[0]), Arc::clone(&resources[0])];
    assert!(compile(&Name::default_group(), 1, &resources).is_err());
    assert_eq!(compile(&"other".parse().unwrap(), 1, &twice).unwrap_err()[0].code, "duplicate");
}

/// A version as large as is promised: routes with conditions of their own, and models, consumers, keys and quotas.
fn large() -> Catalog {
    let mut documents = vec![
        r#"{"kind":"Provider","name":"p","spec":{"dialect":"openai","base_url":"https://a"}}"#.to_owned(),
    ];
    for n in 0..4000 {
        documents.push(format!(
            r#"{{"kind":"Model","name":"model-{n}","spec":{{"targets":[{{"provider":"p"}}]}}}}"#
        ));
        let when = format!("caller.team == 't{}'", n % 500);
        documents.push(format!(
            r#"{{"kind":"Route","name":"r{n}","spec":{{"models":["model-{n}","m{n}-*"],"rules":[{{"when":"{when}","targets":[{{"model":"model-{n}"}}]}},{{}}]}}}}"#
        ));
        documents.push(format!(
            r#"{{"kind":"Consumer","name":"c{n}","spec":{{"organisation":"o","team":"t{n}","models":["model-*","model-{n}"]}}}}"#
        ));
        documents.push(format!(
            r#"{{"kind":"Key","name":"k{n}","spec":{{"consumer":"c{n}","hash":"{n:064}","created":"2026-01-01T00:00:00Z"}}}}"#
        ));
        documents.push(format!(
            r#"{{"kind":"Quota","name":"q{n}","spec":{{"applies_to":{{"team":"t{n}","application":"c{n}"}},"limits":{{"concurrency":1}}}}}}"#
        ));
    }
    documents.iter().map(|document| Arc::new(crate::parse_resource(document.as_bytes()).unwrap())).collect()
}

#[test]
fn twenty_thousand_resources_compile() {
    let catalog = large();
    let group = Name::default_group();
    let compiled = compile(&group, 1, &catalog.select(&group)).unwrap();
    // Only that no model is meant by the second pattern of each route.
    assert_eq!((catalog.len(), compiled.warnings.len()), (20_001, 4000));
    let policy = compiled.policy;
    assert_eq!(
        policy.routes_for("model-77").map(|route| route.name.to_string()).collect::<Vec<_>>(),
        ["r77"]
    );
    assert_eq!(policy.routes_for("m77-x").count(), 1);
    let subject = QuotaSubject { organisation: "o", team: "t9", application: "c9", key: "k9" };
    assert_eq!(policy.quotas_for(&subject, "model-9").count(), 1);
}

#[test]
fn a_providers_own_api_is_for_consumers_that_are_given_it_and_keys_that_are_not_narrowed() {
    let key_of = |name: &str, byte: u8, models: &str| {
        let hash = format!("{byte:02x}").repeat(32);
        format!(
            "- {{kind: Key, name: {name}, spec: {{consumer: bot, hash: '{hash}', created: '2026-01-01T00:00:00Z'{models}}}}}\n"
        )
    };
    let world = "
- {kind: Provider, name: openai, spec: {preset: openai}}
- {kind: Provider, name: bedrock-eu, spec: {preset: bedrock, aws: {region: eu-central-1}}}
- {kind: Model, name: m, spec: {targets: [{provider: openai}]}}
- {kind: Consumer, name: bot, spec: {organisation: acme, team: search, models: ['*'], providers: ['bedrock-*']}}
- {kind: Consumer, name: web, spec: {organisation: acme, team: ads, models: ['*']}}
- {kind: Key, name: w, spec: {consumer: web, hash: '0404040404040404040404040404040404040404040404040404040404040404', created: '2026-01-01T00:00:00Z'}}
"
    .to_owned()
        + &key_of("whole", 1, "")
        + &key_of("narrow", 2, ", models: [m]")
        + &key_of("every", 3, ", models: ['*']");
    let policy = policy(&world);
    let may = |byte: u8, provider: &str| policy.permits_provider(&key(&policy, byte), provider);
    assert!(may(1, "bedrock-eu") && may(3, "bedrock-eu"));
    assert!(!may(1, "openai") && !may(2, "bedrock-eu") && !may(4, "bedrock-eu"));
    assert!(policy.provider("openai").is_some() && policy.provider("nobody").is_none());
}

#[test]
fn a_rule_says_more_than_a_provider_about_what_a_target_cannot_do() {
    let policy = policy(
        "
- {kind: Provider, name: p, spec: {preset: groq, on_unsupported: drop}}
- {kind: Provider, name: q, spec: {preset: groq}}
- {kind: Model, name: m, spec: {targets: [{provider: p}, {provider: q}], capabilities: [rerank, moderation]}}
- {kind: Route, name: r, spec: {rules: [{when: stream, on_unsupported: refuse}, {}]}}
",
    );
    let of = |name: &str| policy.provider(name).unwrap().on_unsupported;
    assert_eq!((of("p"), of("q")), (OnUnsupported::Drop, OnUnsupported::Refuse));
    let rules: Vec<_> =
        policy.routes().flat_map(|route| &route.rules).map(|rule| rule.on_unsupported).collect();
    assert_eq!(rules, [Some(OnUnsupported::Refuse), None]);
    let can = policy.model("m").unwrap().model.capabilities.unwrap();
    assert!(can.contains(Capability::Rerank) && can.contains(Capability::Moderation));
    assert!(!can.contains(Capability::Speech) && !can.contains(Capability::Tools));
}

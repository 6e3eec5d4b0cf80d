//! Laws that hold for every resource and every catalog, and that no input breaks the door.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::{num::NonZeroU32, sync::Arc};

use frontdoor_policy::{
    AppliesTo, AuthSpec, AwsAuth, AwsSource, AwsSpec, Capability, Catalog, Change, Clamp, ConsumerSpec,
    Dialect, Digest, Dimension, FallbackSpec, Fetch, GroupSpec, KeySpec, Kind, Limits, Manifest, ModelSpec,
    Name, OnUnsupported, OperationName, Pattern, Patterns, Prices, ProviderSpec, Quirks, QuotaSpec, Resource,
    RouteSpec, RouteTargetSpec, RuleSpec, SecretRef, Selector, Span, Spec, StickyBy, Strategy as Choice,
    TargetSpec, Timeouts, Timestamp, UnlistedModels, UsdPerMillion, apply, compile, diff, parse_documents,
    parse_resource,
};
use proptest::{collection, option, prelude::*, sample::select};

fn name() -> impl Strategy<Value = Name> {
    "[a-c][a-c0-9._-]{0,3}".prop_map(|text| text.parse().unwrap())
}

fn patterns() -> impl Strategy<Value = Patterns> {
    let pattern = "[a-c][a-c0-9./:@-]{0,3}\\*?".prop_map(|text| text.parse::<Pattern>().unwrap());
    collection::vec(pattern, 1..3).prop_map(|patterns| patterns.into_iter().collect())
}

fn text() -> impl Strategy<Value = String> {
    "[a-zé\"\\\\]{1,5}"
}

fn prices() -> impl Strategy<Value = Prices> {
    let price = || {
        (0..=1_000_000_000_000_000u64).prop_map(|nano| UsdPerMillion::from_nano_per_million(nano).unwrap())
    };
    (price(), price(), option::of(price()), option::of(price())).prop_map(
        |(input, output, cache_read, reasoning)| Prices {
            input,
            output,
            cache_read,
            cache_write: None,
            reasoning,
            per_request: None,
        },
    )
}

fn timeouts() -> impl Strategy<Value = Timeouts> {
    let span = || option::of((1..60_000u64).prop_map(Span::from_millis));
    (span(), span()).prop_map(|(connect, idle)| Timeouts { connect, idle, ..Timeouts::default() })
}

fn provider() -> impl Strategy<Value = Spec> {
    let headers = collection::btree_map("x-[a-c.]{1,3}", "[ -~]{0,5}", 0..3);
    let credential = select(vec!["env:KEY", "file:/run/x", "sealed:x"])
        .prop_map(|text| text.parse::<SecretRef>().unwrap());
    let plain = (any::<bool>(), option::of(credential), headers, timeouts()).prop_map(
        |(http2, credential, headers, timeouts)| {
            Spec::Provider(Box::new(ProviderSpec {
                dialect: Some(if http2 { Dialect::OpenAi } else { Dialect::Anthropic }),
                base_url: Some("https://example.com/v1".to_owned()),
                credential,
                headers,
                timeouts,
                http2,
                ..ProviderSpec::default()
            }))
        },
    );
    prop_oneof![plain, vendor()]
}

/// A provider of a vendor, in a cloud or not, that differs from what its preset says.
fn vendor() -> impl Strategy<Value = Spec> {
    let region = AwsSpec { region: "eu-central-1".to_owned() };
    let keyed = AwsAuth { source: AwsSource::Profile, profile: Some("é".to_owned()), ..AwsAuth::default() };
    let known = select(vec![
        ProviderSpec { preset: Some("groq".to_owned()), ..ProviderSpec::default() },
        ProviderSpec { preset: Some("bedrock".to_owned()), aws: Some(region), ..ProviderSpec::default() },
    ]);
    let drop = select(vec![None, Some(OnUnsupported::Refuse), Some(OnUnsupported::Drop)]);
    let hosts = collection::vec(select(vec!["*", "a.example", "*.b.example"]), 1..3);
    let fetch = option::of((hosts, option::of(1..9u64))).prop_map(|fetch| {
        fetch.map(|(hosts, max_bytes)| Fetch {
            hosts: hosts.into_iter().map(|host| host.parse().unwrap()).collect(),
            max_bytes,
        })
    });
    (known, quirks(), drop, fetch, any::<bool>()).prop_map(
        move |(mut spec, quirks, on_unsupported, fetch, is_profile)| {
            if is_profile && spec.aws.is_some() {
                spec.auth = Some(AuthSpec { aws: Some(keyed.clone()), ..AuthSpec::default() });
            }
            Spec::Provider(Box::new(ProviderSpec { quirks, on_unsupported, fetch, ..spec }))
        },
    )
}

fn quirks() -> impl Strategy<Value = Quirks> {
    let field = || select(vec!["n", "stop", "messages.name"]).prop_map(str::to_owned);
    let number = || {
        prop_oneof![-1_000_000_000..1_000_000_000i32, 0..10i32]
            .prop_map(f64::from)
            .prop_map(|whole| whole / 1e5)
    };
    let clamp = (number(), number()).prop_map(|(one, other)| Clamp {
        min: serde_json::Number::from_f64(one.min(other)),
        max: serde_json::Number::from_f64(one.max(other)),
    });
    let value = prop_oneof![
        any::<i64>().prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
        text().prop_map(serde_json::Value::from),
    ];
    let only = collection::btree_map(field(), collection::vec(value, 1..3), 0..3);
    let operations =
        select(vec![vec![OperationName::Chat], vec![OperationName::Rerank, OperationName::Speech]]);
    (
        option::of(collection::vec(field(), 0..3)),
        option::of(only),
        option::of(collection::btree_map(field(), clamp, 0..3)),
        option::of(operations),
    )
        .prop_map(|(unsupported, only, clamp, operations)| Quirks {
            unsupported,
            only,
            clamp,
            operations,
            ..Quirks::default()
        })
}

fn model() -> impl Strategy<Value = Spec> {
    let target = (name(), option::of(text()), option::of(1..9u32), option::of(prices()))
        .prop_map(|(provider, model, weight, prices)| TargetSpec { provider, model, weight, prices });
    let capabilities =
        select(vec![vec![], vec![Capability::Tools], vec![Capability::Chat, Capability::JsonSchema]]);
    let window = option::of(1000..9000u32);
    (collection::vec(target, 1..4), window, option::of(capabilities)).prop_map(
        |(targets, window, capabilities)| {
            let context_window = window.and_then(NonZeroU32::new);
            Spec::Model(ModelSpec { targets, context_window, max_output_tokens: None, capabilities })
        },
    )
}

fn route() -> impl Strategy<Value = Spec> {
    let target = (name(), option::of(name()), option::of(1..9u32))
        .prop_map(|(model, provider, weight)| RouteTargetSpec { model, provider, weight });
    let fallback =
        (name(), option::of(name())).prop_map(|(model, provider)| FallbackSpec { model, provider });
    let targets = option::of(collection::vec(target, 1..3));
    let when =
        option::of(select(vec!["stream", "tokens > 5", "caller.team == 'é\"'"]).prop_map(str::to_owned));
    let rule = (when, any::<bool>(), targets, collection::vec(fallback, 0..2), timeouts()).prop_map(
        |(when, is_sticky, targets, fallbacks, timeouts)| RuleSpec {
            when,
            strategy: is_sticky.then_some(Choice::Sticky),
            sticky_by: if is_sticky {
                vec![StickyBy::Conversation, StickyBy::Tag("a.b".to_owned())]
            } else {
                vec![]
            },
            targets,
            fallbacks,
            timeouts,
            ..RuleSpec::default()
        },
    );
    (option::of(patterns()), -2..3i32, collection::vec(rule, 1..4))
        .prop_map(|(models, order, rules)| Spec::Route(RouteSpec { models, order, rules }))
}

fn consumer() -> impl Strategy<Value = Spec> {
    (text(), text(), option::of(text()), patterns(), option::of(patterns())).prop_map(
        |(organisation, team, application, models, providers)| {
            Spec::Consumer(ConsumerSpec { organisation, team, application, models, providers })
        },
    )
}

fn key() -> impl Strategy<Value = Spec> {
    (name(), any::<[u8; 32]>(), 0..9_000_000_000_000u64, any::<bool>(), option::of(patterns())).prop_map(
        |(consumer, hash, created, revoked, models)| {
            let created = Timestamp::from_unix_millis(created).unwrap();
            Spec::Key(KeySpec {
                consumer,
                hash: Digest(hash),
                created,
                expires: None,
                models,
                revoked,
                note: None,
            })
        },
    )
}

fn quota() -> impl Strategy<Value = Spec> {
    let per = select(vec![vec![], vec![Dimension::Team], vec![Dimension::Key, Dimension::Model]]);
    (option::of(text()), option::of(name()), per, 1..9u32, option::of(patterns())).prop_map(
        |(team, key, per, limit, models)| {
            let applies_to = AppliesTo { team, key, ..AppliesTo::default() };
            let limits = Limits { concurrency: NonZeroU32::new(limit), ..Limits::default() };
            Spec::Quota(QuotaSpec { applies_to, per, models, limits })
        },
    )
}

fn group() -> impl Strategy<Value = Spec> {
    let selector =
        collection::btree_map("[ab]", "[ab]", 1..2).prop_map(|labels| Selector { kinds: None, labels });
    (option::of(collection::vec(selector, 1..3)), any::<bool>()).prop_map(|(select, hides)| {
        Spec::Group(GroupSpec { select, unlisted_models: hides.then_some(UnlistedModels::Hide) })
    })
}

fn resource() -> impl Strategy<Value = Resource> {
    let spec = prop_oneof![provider(), model(), route(), consumer(), key(), quota(), group()];
    (name(), collection::btree_map("[ab]", "[ab]", 0..3), spec).prop_map(|(name, labels, spec)| Resource {
        name,
        labels,
        spec,
    })
}

fn catalog() -> impl Strategy<Value = Catalog> {
    collection::vec(resource(), 0..12).prop_map(|resources| resources.into_iter().map(Arc::new).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_resource_is_read_back_from_its_canonical_form(resource in resource()) {
        let bytes = resource.canonical();
        let again = parse_resource(&bytes).unwrap();
        prop_assert_eq!(&again, &resource);
        prop_assert_eq!(again.canonical(), bytes.clone());
        // JSON is YAML, and serde's own way agrees.
        let text = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(&parse_documents("x", &text).unwrap(), std::slice::from_ref(&resource));
        prop_assert_eq!(&serde_json::from_str::<Resource>(&text).unwrap(), &resource);
    }

    #[test]
    fn applying_a_difference_gives_the_new_catalog(old in catalog(), new in catalog()) {
        let changes = diff(&old, &new);
        prop_assert_eq!(apply(&old, &changes).unwrap(), new.clone());
        prop_assert_eq!(changes.is_empty(), old == new);
        let text = serde_json::to_string(&changes).unwrap();
        prop_assert_eq!(serde_json::from_str::<Vec<frontdoor_policy::ResourceDiff>>(&text).unwrap(), changes);
    }

    #[test]
    fn changes_to_the_same_resources_differ_only_where_they_differ(old in catalog(), spec in route(), other in route()) {
        let put = |spec: &Spec| Change::Put(Arc::new(Resource::new("r".parse().unwrap(), spec.clone())));
        let (before, after) = (old.with(&[put(&spec)]), old.with(&[put(&other)]));
        let changes = diff(&before, &after);
        prop_assert!(changes.len() <= 1);
        prop_assert_eq!(apply(&before, &changes).unwrap(), after);
    }

    #[test]
    fn a_difference_does_not_apply_to_something_else(old in catalog(), new in catalog(), other in catalog()) {
        // Whatever happens, what comes out is never silently wrong: it is the new catalog in every part that changed.
        let changes = diff(&old, &new);
        if let Ok(applied) = apply(&other, &changes) {
            for change in &changes {
                prop_assert_eq!(applied.get(&change.resource), new.get(&change.resource));
            }
        }
    }

    #[test]
    fn a_group_without_selectors_gets_everything_but_other_groups(catalog in catalog()) {
        for group in catalog.groups() {
            let selected = catalog.select(&group);
            let manifest = Manifest::of(&group, selected.iter().map(AsRef::as_ref));
            prop_assert_eq!(&catalog.manifest(&group), &manifest);
            prop_assert_eq!(Manifest::parse(&manifest.canonical()).unwrap(), manifest);
            prop_assert!(selected.iter().all(|resource| resource.kind() != Kind::Group || resource.name == group));
        }
        let everything = catalog.iter().filter(|(id, _)| id.kind != Kind::Group).count();
        let unknown: Name = "not-authored".parse().unwrap();
        prop_assert_eq!(catalog.select(&unknown).len(), everything);
    }

    #[test]
    fn compiling_anything_that_parses_ends_in_a_policy_or_findings(catalog in catalog()) {
        for group in catalog.groups() {
            match compile(&group, 7, &catalog.select(&group)) {
                Ok(compiled) => prop_assert_eq!(compiled.policy.digest, catalog.manifest(&group).digest()),
                Err(findings) => prop_assert!(!findings.is_empty()),
            }
        }
    }

    #[test]
    fn no_bytes_break_the_door(bytes in collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_resource(&bytes);
        let _ = parse_documents("x", &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_damage_to_a_document_breaks_the_door(resource in resource(), at in any::<prop::sample::Index>(), byte: u8, cut: bool) {
        let mut bytes = resource.canonical();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let _ = parse_resource(&bytes);
        let _ = parse_documents("x", &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_yaml_breaks_the_door(
        parts in collection::vec(select(vec![
            "kind", ": ", "\n", "  ", "- ", "Model", "name", "spec", "{", "}", "[", "]", "&a ", "*a", "<<", "'", "\"", "|", ">", "---", "#",
            "!", "!!str ", "~", "1", "targets", "? ", ",", "\t", "%YAML 1.2\n", "é", "\u{feff}", "...",
        ]), 0..30),
    ) {
        let _ = parse_documents("x", &parts.concat());
    }
}

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use dialect::{Call, Dialect, Operation};
use http::{HeaderMap, HeaderName, HeaderValue};
use policy::Span;

use super::*;
use crate::frontend::Tags;
use crate::scene;
use crate::upstream::{Live, Parts, ReadEnv};

const MODELS: &str = r#"
kind: Provider
name: a
spec: {dialect: openai, base_url: "http://127.0.0.1:9/v1"}
---
kind: Provider
name: b
spec: {dialect: anthropic, base_url: "http://127.0.0.1:9"}
---
kind: Model
name: chat
spec: {targets: [{provider: a, model: up-a}, {provider: b, model: up-b}]}
---
kind: Model
name: priced
spec:
  targets:
    - {provider: a, model: none}
    - {provider: a, model: dear, prices: {input: 10, output: 30}}
    - {provider: b, model: cheap, prices: {input: 1, output: 2}}
---
kind: Model
name: narrow
spec: {targets: [{provider: a, model: narrow}], context_window: 100, capabilities: [streaming]}
---
kind: Model
name: able
spec: {targets: [{provider: b, model: able}], capabilities: [tools, images, streaming]}
---
kind: Model
name: vectors
spec: {targets: [{provider: a, model: vec-a}, {provider: b, model: vec-b}], capabilities: [embeddings]}
---
kind: Model
name: "open/*"
spec: {targets: [{provider: a}]}
---
kind: Consumer
name: first
labels: {tier: gold}
spec: {organisation: org, team: support, models: ["*"]}
---
kind: Key
name: k_one
spec: {consumer: first, hash: HASH, created: "2026-01-01T00:00:00Z"}
"#;

/// Made once: reading the machine's roots is slow.
static TLS: LazyLock<Arc<rustls::ClientConfig>> =
    LazyLock::new(|| Arc::new(crate::upstream::trust().unwrap()));

/// What was decided: provider/upstream name in order, and everything for the record.
struct Outcome {
    plan: Result<Plan, Failure>,
    decided: Decided,
}

impl Outcome {
    fn order(&self) -> Vec<&str> {
        let plan = self.plan.as_ref().unwrap();
        plan.targets.iter().map(|planned| planned.upstream_model.as_str()).collect()
    }

    fn reason(&self, upstream_model: &str) -> &str {
        let found = self.decided.candidates.iter().find(|one| one.upstream_model == upstream_model);
        &found.unwrap().reason
    }
}

fn ask(routes: &str, inbound: &Inbound) -> Outcome {
    ask_by(routes, inbound, &mut || 0.5)
}

fn ask_by(routes: &str, inbound: &Inbound, random: &mut dyn FnMut() -> f64) -> Outcome {
    let documents = format!("{}\n{routes}", MODELS.replace("HASH", &scene::hash("fd_one")));
    let policy = scene::compile(1, &documents);
    let clock = lifecycle::Clock::manual(0);
    let parts =
        Parts { clock: clock.clone(), lanes: 1, tls: Arc::clone(&TLS), read_env: ReadEnv::new(|_| None) };
    let live = Live::build(&policy, None, &parts).unwrap();
    let key = policy.keys().next().unwrap();
    let matched = policy.model(&inbound.call.envelope.model).unwrap();
    let question = Question {
        policy: &policy,
        live: &live,
        caller: &Caller::new(key, inbound),
        matched: &matched,
        inbound,
        needs: Needs::of(&inbound.call),
        now: clock.now(),
    };
    let (plan, decided) = question.answer(random);
    Outcome { plan, decided }
}

fn route(rules: &str) -> String {
    format!("---\nkind: Route\nname: r\nspec: {{rules: [{rules}]}}\n")
}

fn chat(model: &str) -> Inbound {
    scene::inbound(model, "")
}

fn with_header(mut inbound: Inbound, name: &'static str, value: &'static str) -> Inbound {
    inbound.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    inbound
}

const TOOLS: &str = r#","tools":[{"type":"function","function":{"name":"f","parameters":{}}}]"#;

#[test]
fn without_a_route_the_models_own_targets_serve_in_order() {
    let outcome = ask("", &chat("chat"));
    assert_eq!(outcome.order(), ["up-a", "up-b"]);
    assert_eq!((outcome.decided.route.as_str(), outcome.decided.strategy), ("", "priority"));
    let ranks: Vec<u32> = outcome.decided.candidates.iter().map(|one| one.rank).collect();
    assert_eq!(ranks, [1, 2]);
}

#[test]
fn what_a_star_stands_for_goes_upstream() {
    assert_eq!(ask("", &chat("open/gpt-9")).order(), ["gpt-9"]);
}

#[test]
fn the_first_rule_whose_condition_holds_decides() {
    let tagged = Inbound { tags: Tags::from([("project", "x")]), ..chat("chat") };
    for (condition, inbound, holds) in [
        ("caller.team == 'support'", chat("chat"), true),
        ("caller.labels.tier == 'gold' && caller.application == 'first'", chat("chat"), true),
        ("caller.team == 'sales'", chat("chat"), false),
        ("tags.project == 'x'", tagged, true),
        ("model.startsWith('ch')", chat("chat"), true),
        ("headers['x-feature'] == 'on'", with_header(chat("chat"), "x-feature", "on"), true),
        ("tools > 0", scene::inbound("chat", TOOLS), true),
        ("tools > 0", chat("chat"), false),
        ("stream", scene::inbound("chat", r#","stream":true"#), true),
        ("tokens < 100 && modality == 'text'", chat("chat"), true),
    ] {
        let rule =
            format!("{{name: chosen, when: \"{condition}\", targets: [{{model: able}}]}}, {{name: rest}}");
        let outcome = ask(&route(&rule), &inbound);
        let expected = if holds { ("chosen", vec!["able"]) } else { ("rest", vec!["up-a", "up-b"]) };
        assert_eq!((outcome.decided.rule.as_str(), outcome.order()), expected, "{condition}");
    }
}

#[test]
fn a_condition_that_cannot_be_computed_is_not_taken_and_recorded() {
    let rules =
        "{name: broken, when: \"headers['x-missing'] == 'on'\", targets: [{model: able}]}, {name: rest}";
    let outcome = ask(&route(rules), &chat("chat"));
    assert_eq!(outcome.decided.rule, "rest");
    let reasons: Vec<&str> = outcome
        .decided
        .candidates
        .iter()
        .map(|one| one.reason.as_ref())
        .filter(|r| r.contains("rule"))
        .collect();
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].contains("`broken`") && reasons[0].contains("cannot be computed"), "{reasons:?}");
}

#[test]
fn a_rules_targets_come_first_then_its_fallbacks_each_target_once() {
    let rules = "{targets: [{model: chat, provider: b}, {model: able}, {model: able}], fallbacks: [{model: chat}, {model: priced, provider: b}]}";
    let outcome = ask(&route(rules), &chat("chat"));
    assert_eq!(outcome.order(), ["up-b", "able", "up-a", "cheap"]);
    assert_eq!(outcome.reason("up-a"), "fallback");
    let doubles =
        outcome.decided.candidates.iter().filter(|one| one.reason == "rejected: named already").count();
    assert_eq!(doubles, 2);
}

#[test]
fn a_target_that_lacks_what_the_call_needs_is_rejected_with_the_reason() {
    let rules = "{targets: [{model: narrow}, {model: able}]}";
    let outcome = ask(&route(rules), &scene::inbound("chat", TOOLS));
    assert_eq!(outcome.order(), ["able"]);
    assert_eq!(outcome.reason("narrow"), "rejected: the model does not have the capability `tools`");

    let long = format!(r#","max_tokens":{}"#, 200);
    let outcome = ask(&route(rules), &scene::inbound("chat", &long));
    assert_eq!(outcome.order(), ["able"]);
    assert!(outcome.reason("narrow").contains("context window of 100"));
}

#[test]
fn when_the_call_is_why_nothing_can_serve_the_caller_is_told_so() {
    let outcome = ask("", &scene::inbound("narrow", TOOLS));
    let failure = outcome.plan.unwrap_err();
    assert_eq!((failure.code, failure.status), (code::NO_TARGET, 400));
    assert!(failure.message.contains("`tools`"), "{failure}");
    assert_eq!(outcome.decided.candidates[0].rank, 0);
}

#[test]
fn embeddings_go_only_where_they_exist() {
    let body = Bytes::from_static(br#"{"model":"vectors","input":"hello"}"#);
    let call = Call::decode((Dialect::OpenAi, Operation::Embeddings), body).unwrap();
    let inbound = Inbound::new(call, HeaderMap::new(), Tags::default());
    let outcome = ask("", &inbound);
    assert_eq!(outcome.order(), ["vec-a"]);
    assert!(outcome.reason("vec-b").contains("embeddings"));

    let failure = ask("", &chat("vectors")).plan.unwrap_err();
    assert!(failure.message.contains("`chat`"), "{failure}");
}

#[test]
fn the_cheapest_comes_first_and_the_unpriced_last() {
    let outcome = ask(&route("{strategy: cheapest}"), &chat("priced"));
    assert_eq!(outcome.order(), ["cheap", "dear", "none"]);
    assert_eq!(outcome.decided.strategy, "cheapest");
    assert!(outcome.reason("cheap").contains("USD"));
}

#[test]
fn weights_of_a_rule_replace_those_of_the_model() {
    let rules = "{strategy: weighted, targets: [{model: chat, provider: a, weight: 1}, {model: chat, provider: b, weight: 9}]}";
    let mut generator = fastrand::Rng::with_seed(3);
    let mut first = 0;
    for _ in 0..60 {
        let outcome = ask_by(&route(rules), &chat("chat"), &mut || generator.f64());
        first += u32::from(outcome.order()[0] == "up-b");
    }
    assert!((48..60).contains(&first), "{first}");
}

#[test]
fn a_conversation_stays_with_its_target_as_it_grows() {
    let rule = route("{strategy: sticky, sticky_by: [conversation]}");
    let turn = |first: &str, more: &str| {
        let body = format!(
            r#"{{"model":"chat","messages":[{{"role":"system","content":"be kind"}},{{"role":"user","content":"{first}"}}{more}]}}"#
        );
        let call = Call::decode((Dialect::OpenAi, Operation::Chat), Bytes::from(body)).unwrap();
        Inbound::new(call, HeaderMap::new(), Tags::default())
    };
    let later = r#",{"role":"assistant","content":"yes"},{"role":"user","content":"and now?"}"#;
    let mut used = std::collections::BTreeSet::new();
    for number in 0..20 {
        let first = format!("question {number}");
        let begun = ask(&rule, &turn(&first, ""));
        let grown = ask(&rule, &turn(&first, later));
        assert_eq!(begun.order(), grown.order());
        used.insert(begun.order()[0].to_owned());
    }
    assert_eq!(used.len(), 2);
}

#[test]
fn a_call_with_nothing_to_stick_to_goes_as_written() {
    let rule = route("{strategy: sticky, sticky_by: [\"tag:session\"]}");
    let outcome = ask(&rule, &chat("chat"));
    assert_eq!(outcome.order(), ["up-a", "up-b"]);
    assert_eq!(outcome.reason("up-a"), "nothing to stick to; as written");
    let session = Inbound { tags: Tags::from([("session", "s-1")]), ..chat("chat") };
    assert_eq!(ask(&rule, &session).reason("up-a"), "sticky by hash");
}

#[test]
fn timeouts_and_retries_are_the_rules() {
    let rules = "{timeouts: {first_byte: 7s}, retries: {attempts: 5, per_target: 1, budget_percent: 50}}";
    let plan = ask(&route(rules), &chat("chat")).plan.unwrap();
    assert_eq!(plan.timeouts.first_byte, Some(Span::from_millis(7_000)));
    assert_eq!((plan.retries.attempts, plan.retries.per_target, plan.retries.budget_percent), (5, 1, 50));
    assert_eq!(plan.retries.base, Duration::from_millis(100));
}

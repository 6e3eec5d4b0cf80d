use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{CallerFacts, Condition, ConditionError, Facts};

/// A call of team `search` for `gpt-5` with a few tags and headers.
fn ask(source: &str) -> Result<bool, ConditionError> {
    let condition = Condition::compile(source).unwrap_or_else(|problem| panic!("{source}: {problem}"));
    let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    };
    let labels = texts(&[("tier", "gold"), ("odd.name", "x")]);
    let tags = texts(&[("project", "apollo"), ("a.b", "dotted")]);
    let headers = texts(&[("x-feature", "beta"), ("authorization", "Bearer planted")]);
    condition.evaluate(&Facts {
        caller: CallerFacts {
            organisation: "acme",
            team: "search",
            application: "bot",
            key: "k_1",
            labels: &labels,
        },
        tags: &tags,
        model: "gpt-5",
        headers: &headers,
        modality: "text",
        tools: 2,
        stream: true,
        tokens: 1200,
    })
}

#[test]
fn a_condition_asks_for_every_fact() {
    for source in [
        "caller.team == 'search'",
        "caller.organisation == 'acme' && caller.application == 'bot' && caller.key == 'k_1'",
        "caller.labels.tier == 'gold'",
        "caller.labels['odd.name'] == 'x'",
        "tags.project == 'apollo'",
        "tags['a.b'] == 'dotted'",
        "'project' in tags && !('missing' in tags)",
        "has(tags.project) && !has(tags.missing)",
        "has(tags.missing) ? tags.missing == 'x' : true",
        "model.startsWith('gpt-') && model.endsWith('5') && model.contains('t-')",
        "headers['x-feature'] == 'beta'",
        "modality == 'text'",
        "tools > 0",
        "stream",
        "tokens + 1 == 1201",
        "tokens / 2 < 1000 && tokens % 2 == 0",
        "double(tokens) * 1.5 > 1000.0",
        "model in ['gpt-5', 'gpt-5-mini']",
        "['gpt', 'claude'].exists(prefix, model.startsWith(prefix))",
        "['gpt'].all(p, model.startsWith(p))",
        "['a', 'gpt-5'].exists_one(m, m == model)",
        "['a', 'gpt-5'].filter(m, m == model).size() == 1",
        "size(['a', 'b'].map(x, x + '!')) == 2",
        "size(model) == 5 && model.size() == 5",
        "model.matches('^gpt-[0-9]+$') && !matches(model, '^claude')",
        "{'gpt-5': 1000}[model] < tokens",
        "tags.missing == 'x' || model == 'gpt-5'",
        "int('12') == 12 && string(tools) == '2'",
        "caller.team == 'ads' ? false : tokens >= 1200",
    ] {
        assert_eq!(ask(source), Ok(true), "{source}");
    }
}

#[test]
fn what_the_call_does_not_have_is_missing_and_not_false() {
    for source in ["tags.missing == 'x'", "tags.missing != 'x'", "!(tags['missing'] == 'x')"] {
        assert_eq!(ask(source), Err(ConditionError::Missing("missing".to_owned())), "{source}");
    }
}

#[test]
fn credentials_are_hidden_even_if_the_name_is_computed() {
    assert_eq!(ask("('author' + 'ization') in headers"), Ok(false));
    let error = ask("headers['author' + 'ization'].contains('planted')").unwrap_err();
    assert_eq!(error, ConditionError::Missing("authorization".to_owned()));
}

#[test]
fn a_failure_does_not_repeat_what_the_call_holds() {
    for source in [
        "int(tags.project) == 1",
        "tokens / (tools - 2) == 1",
        "[1, 2][tools] == 1",
        "-9223372036854775807 - tokens == 1",
    ] {
        let error = ask(source).unwrap_err();
        assert!(
            matches!(&error, ConditionError::Failed(text) if !text.contains("apollo")),
            "{source}: {error}"
        );
    }
}

#[test]
fn what_is_not_a_boolean_or_not_known_is_refused_with_advice() {
    for (source, advice) in [
        ("1 + 1", "gives a whole number"),
        ("'yes'", "gives a text"),
        ("model", "gives a text"),
        ("tags.project", "gives a text"),
        ("tags", "`tags` as a whole"),
        ("[true]", "gives a list"),
        ("stream ? 'a' : 'b'", "gives a text"),
        ("null", "gives null"),
        ("size(model)", "gives a whole number"),
        ("['a'].filter(x, x == model)", "gives a list"),
        ("team == 'search'", "`team` is not known"),
        ("modle == 'x'", "did you mean `model`?"),
        ("caller.taem == 'x'", "did you mean `team`?"),
        ("caller == 'x'", "name one of its fields"),
        ("tokens > '5'", "`>` cannot take a whole number and a text"),
        ("tokens == '5'", "never equal"),
        ("model in [1, 2]", "each element is a whole number"),
        ("model in 'gpt'", "`in` takes a list"),
        ("tokens + 0.5 > 1.0", "convert with"),
        ("tokens + 1u > 1u", "convert with"),
        ("model && stream", "`&&` takes a boolean, not a text"),
        ("!tokens", "`!` takes a boolean"),
        ("model.upper() == 'X'", "`upper` is not a function"),
        ("model.startswith('x')", "did you mean `startsWith`?"),
        ("now() > 5", "not"),
        ("model.matches('(')", "regular expression"),
        ("model.matches(tags.project)", "written out"),
        ("model.matches('\\\\w{5000}{5000}')", "regular expression"),
        ("headers['X-Feature'] == 'x'", "headers['x-feature']"),
        ("headers['authorization'] == 'x'", "credential"),
        ("has(headers.cookie)", "credential"),
        ("tags.exists(t, t == 'x')", "cannot go through `tags`"),
        ("['a'].exists(x, ['b'].exists(y, x == y))", "loop within a loop"),
        ("optional.of(1).hasValue()", "not a function"),
        ("optional.none() == 1", "optional"),
        ("caller['team'] == 'x'", "after a dot"),
        ("type(model) == string", "not"),
    ] {
        let problem = Condition::compile(source).expect_err(source);
        assert!(problem.contains(advice), "{source}: {problem}");
    }
}

#[test]
fn what_does_not_parse_is_refused_with_its_place() {
    for (source, place) in [
        ("model ==", "at character"),
        ("", ""),
        ("a\n  && (b", "at line 2"),
        ("model == 'x' )", "at character"),
    ] {
        let problem = Condition::compile(source).expect_err(source);
        assert!(problem.contains("not valid CEL") && problem.contains(place), "{source}: {problem}");
    }
}

#[test]
fn a_condition_too_long_or_too_deep_is_refused_and_ends_nothing() {
    let deep = |open: &str, close: &str| format!("{}true{}", open.repeat(500), close.repeat(500));
    for source in [
        "a".repeat(5000),
        deep("[", "]"),
        format!("{}1 == 1", "1 + ".repeat(1000)),
        format!("tags{} == 'x'", ".a".repeat(2000)),
        format!("{}true", "true ? true : ".repeat(250)),
        format!("model{} == 'x'", "[0]".repeat(1000)),
        format!("{}true{}", "[1].exists(x, ".repeat(100), ")".repeat(100)),
    ] {
        assert!(Condition::compile(&source).is_err(), "{}", source.chars().take(40).collect::<String>());
    }
}

#[test]
fn brackets_and_signs_alone_do_not_count_and_end_nothing() {
    assert_eq!(ask(&format!("{}stream", "!".repeat(4000))), Ok(true));
    let _ = Condition::compile(&format!("{}1 == 1", "-".repeat(4000)));
    assert_eq!(ask(&format!("{}stream{}", "(".repeat(60), ")".repeat(60))), Ok(true));
    let _ = Condition::compile(&format!("{}stream{}", "(".repeat(2000), ")".repeat(2000)));
}

#[test]
fn a_long_list_of_alternatives_is_not_deep() {
    let source = (0..150).map(|n| format!("model == 'model-{n}'")).collect::<Vec<_>>().join(" || ");
    assert_eq!(ask(&source), Ok(false));
}

#[test]
fn the_deepest_condition_is_answered_on_less_than_a_worker_s_stack() {
    let source = format!("{}1 > 0", "1 + ".repeat(29));
    let answer = std::thread::Builder::new()
        .stack_size(1536 * 1024)
        .spawn(move || ask(&source))
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(answer, Ok(true));
}

proptest! {
    #[test]
    fn no_text_makes_the_compiler_panic(
        text in "\\PC{0,40}",
        tokens in proptest::collection::vec(proptest::sample::select(vec![
            "model", "tags", ".", "x", "[", "]", "(", ")", "'a'", "1", "==", "&&", "!", "in", "has", ",", "{", "}", ":", "?", "-", "1.5",
            "caller", "exists", "matches", "headers", "u", "\\", "\"",
        ]), 0..14),
    ) {
        let _ = (Condition::compile(&text), Condition::compile(&tokens.join(" ")), Condition::compile(&tokens.concat()));
    }
}

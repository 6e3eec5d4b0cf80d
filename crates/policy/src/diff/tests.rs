use std::sync::Arc;

use serde_json::json;

use super::{Op, apply, diff};
use crate::{Catalog, parse_documents};

fn catalog(text: &str) -> Catalog {
    parse_documents("test", text).unwrap().into_iter().map(Arc::new).collect()
}

fn route(rules: &str) -> Catalog {
    catalog(&format!("{{kind: Route, name: r, spec: {{rules: {rules}}}}}"))
}

#[test]
fn an_update_tells_the_fields_and_what_they_were() {
    let old =
        route("[{when: stream, strategy: weighted, targets: [{model: a, weight: 1}]}, {strategy: cheapest}]");
    let new = route("[{when: stream, targets: [{model: a, weight: 2}]}]");
    let changes = diff(&old, &new);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].op, Op::Updated);
    assert_eq!(
        serde_json::to_value(&changes[0].fields).unwrap(),
        json!([
            {"path": "spec.rules[0].strategy", "before": "weighted"},
            {"path": "spec.rules[0].targets[0].weight", "before": 1, "after": 2},
            {"path": "spec.rules[1]", "before": {"strategy": "cheapest"}},
        ])
    );
}

#[test]
fn what_is_created_or_deleted_is_told_whole() {
    let (none, some) = (Catalog::new(), route("[{}]"));
    let created = diff(&none, &some);
    assert_eq!((created[0].op, created[0].fields[0].path.as_str()), (Op::Created, ""));
    assert_eq!(created[0].fields[0].after.as_ref().unwrap()["kind"], "Route");
    assert_eq!(apply(&some, &diff(&some, &none)).unwrap(), none);
}

#[test]
fn a_difference_from_another_beginning_is_refused() {
    let changes = diff(&route("[{strategy: cheapest}]"), &route("[{strategy: weighted}]"));
    let error = apply(&route("[{strategy: least_latency}]"), &changes).unwrap_err();
    assert!(error.to_string().contains("Route/r: `spec.rules[0].strategy`"), "{error}");
    assert!(apply(&Catalog::new(), &changes).unwrap_err().to_string().contains("does not exist"));
    let created = diff(&Catalog::new(), &route("[{}]"));
    assert!(apply(&route("[{}]"), &created).unwrap_err().to_string().contains("exists already"));
}

#[test]
fn a_difference_that_leads_to_nonsense_is_refused() {
    let old = route("[{strategy: cheapest}]");
    let mut changes = diff(&old, &route("[{strategy: weighted}]"));
    changes[0].fields[0].after = Some(json!("dearest"));
    assert!(apply(&old, &changes).unwrap_err().to_string().contains("dearest"));
    changes[0].fields[0].path = "spec..".to_owned();
    assert!(apply(&old, &changes).is_err());
}

//! The admin API over real sockets: what it does, and what it refuses with what words.

mod door;
mod reads;
mod world;
mod writes;

use std::collections::BTreeSet;

use http::Method;

use self::world::World;
use super::routes;

#[tokio::test]
async fn every_route_served_is_described_and_every_described_one_is_served() {
    let world = World::start().await;
    let document = world.anonymous(Method::GET, "/openapi.json").send().await.expect_status(200).json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut described = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            described.insert((method.clone(), path.clone()));
            let filled = path
                .replace("{kind}", "Model")
                .replace("{version}", "1")
                .replace("{other}", "1")
                .replace("{name}", "absent/or/not")
                .replace("{id}", "absent");
            let method: Method = method.to_ascii_uppercase().parse().unwrap();
            let reply = world.anonymous(method, &filled).send().await;
            let is_open = operation["security"] == serde_json::json!([]);
            assert_eq!(reply.status.as_u16(), if is_open { 200 } else { 401 }, "{path}");
        }
    }
    let served: BTreeSet<_> = routes()
        .iter()
        .map(|route| (route.operation.method.key().to_owned(), route.operation.path.to_owned()))
        .collect();
    assert_eq!(served, described);
    world.stop().await;
}

#[tokio::test]
async fn every_reference_in_the_description_leads_somewhere() {
    let world = World::start().await;
    let document = world.anonymous(Method::GET, "/openapi.json").send().await.json();
    let mut pending = vec![&document];
    let mut seen = 0;
    while let Some(value) = pending.pop() {
        if let Some(target) = value.get("$ref").and_then(serde_json::Value::as_str) {
            let pointer = target.strip_prefix('#').unwrap_or_else(|| panic!("{target} is not local"));
            assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
            seen += 1;
        }
        match value {
            serde_json::Value::Object(object) => pending.extend(object.values()),
            serde_json::Value::Array(items) => pending.extend(items),
            _ => {}
        }
    }
    assert!(seen > 20, "{seen}");
    let ids: Vec<_> = routes().iter().map(|route| route.operation.id).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "operation ids are unique");
    world.stop().await;
}

use std::sync::Arc;

use super::{Catalog, Change};
use crate::{Kind, Name, Resource, ResourceId, parse_documents};

fn catalog(text: &str) -> Catalog {
    parse_documents("test", text).unwrap().into_iter().map(Arc::new).collect()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn selected(catalog: &Catalog, group: &str) -> Vec<String> {
    catalog.select(&name(group)).iter().map(|resource| resource.id().to_string()).collect()
}

const TWO_REGIONS: &str = "
- {kind: Provider, name: p, labels: {region: eu}, spec: {dialect: openai, base_url: 'https://a'}}
- {kind: Provider, name: q, spec: {dialect: openai, base_url: 'https://b'}}
- {kind: Consumer, name: c, labels: {region: eu}, spec: {organisation: o, team: t, models: ['*']}}
- {kind: Consumer, name: d, spec: {organisation: o, team: t, models: ['*']}}
- {kind: Key, name: k1, spec: {consumer: c, hash: '0000000000000000000000000000000000000000000000000000000000000001', created: '2026-01-01T00:00:00Z'}}
- {kind: Key, name: k2, spec: {consumer: d, hash: '0000000000000000000000000000000000000000000000000000000000000002', created: '2026-01-01T00:00:00Z'}}
- {kind: Group, name: eu, spec: {select: [{labels: {region: eu}}]}}
- {kind: Group, name: providers, spec: {select: [{kinds: [Provider]}, {kinds: [Consumer], labels: {region: us}}]}}
";

#[test]
fn a_group_gets_what_it_selects_and_keys_follow_their_consumers() {
    let catalog = catalog(TWO_REGIONS);
    assert_eq!(selected(&catalog, "eu"), ["Provider/p", "Consumer/c", "Key/k1", "Group/eu"]);
    assert_eq!(selected(&catalog, "providers"), ["Provider/p", "Provider/q", "Group/providers"]);
}

#[test]
fn the_default_group_exists_unauthored_and_gets_everything() {
    let catalog = catalog(TWO_REGIONS);
    assert_eq!(catalog.groups(), [name("default"), name("eu"), name("providers")]);
    assert_eq!(selected(&catalog, "default").len(), 6);
    assert_eq!(Catalog::new().groups(), [name("default")]);
}

#[test]
fn a_change_leaves_the_catalog_before_it_as_it_was_and_shares_the_rest() {
    let before = catalog(TWO_REGIONS);
    let id = ResourceId { kind: Kind::Provider, name: name("p") };
    let after = before.with(&[Change::Delete(id.clone()), Change::Delete(id.clone())]);
    assert!(before.get(&id).is_some() && after.get(&id).is_none());
    let other = ResourceId { kind: Kind::Provider, name: name("q") };
    assert!(Arc::ptr_eq(before.get(&other).unwrap(), after.get(&other).unwrap()));
    assert!(Arc::ptr_eq(before.body(&other).unwrap(), after.body(&other).unwrap()));
}

#[test]
fn equal_content_has_an_equal_digest_whatever_the_way_there() {
    let one = catalog(TWO_REGIONS);
    let mut reversed: Vec<Arc<Resource>> = one.iter().map(|(_, resource)| Arc::clone(resource)).collect();
    reversed.reverse();
    let other: Catalog = reversed.into_iter().collect();
    assert_eq!(one.manifest(&name("eu")).digest(), other.manifest(&name("eu")).digest());
    assert_ne!(one.manifest(&name("eu")).digest(), one.manifest(&name("default")).digest());
    assert_eq!(one.whole_manifest().entries.len(), 8);
}

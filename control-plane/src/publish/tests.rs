//! Promises of the publisher.

use std::time::Duration;

use lifecycle::{Clock, Tasks};
use policy::{Change, Name};
use tokio::sync::watch;
use tokio::time::Instant;

use super::*;
use crate::catalog::Snapshot;
use crate::history;

const PROVIDER: &str = "kind: Provider
name: openai
spec: {dialect: openai, base_url: 'https://api.openai.com/v1'}
";

fn model(name: &str, provider: &str) -> String {
    format!("kind: Model\nname: {name}\nspec: {{targets: [{{provider: {provider}}}]}}\n")
}

/// A snapshot of these documents.
pub(crate) fn snapshot(version: u64, documents: &[String]) -> Arc<Snapshot> {
    let resources = policy::parse_documents("test.yaml", &documents.join("---\n")).unwrap();
    let changes: Vec<Change> =
        resources.into_iter().map(|resource| Change::Put(Arc::new(resource))).collect();
    snapshot_of(version, Catalog::new().with(&changes))
}

/// A snapshot of a catalog.
pub(crate) fn snapshot_of(version: u64, catalog: Catalog) -> Arc<Snapshot> {
    let head = history::Head {
        version,
        commit_id: format!("commit-{version}"),
        manifest_digest: String::new(),
        history_tip: String::new(),
    };
    Arc::new(Snapshot {
        version,
        commit_id: head.commit_id.clone(),
        manifest_digest: String::new(),
        catalog,
        head,
        manifest: history::Manifest::default(),
    })
}

fn group(name: &str) -> Name {
    name.parse().unwrap()
}

fn good(version: u64) -> Arc<Snapshot> {
    snapshot(version, &[PROVIDER.to_owned(), model(&format!("m{version}"), "openai")])
}

/// A publisher over a catalog that the test moves.
fn started(first: Arc<Snapshot>) -> (watch::Sender<Arc<Snapshot>>, Publisher) {
    let (catalog, snapshots) = watch::channel(first);
    let publisher = start(snapshots, &Tasks::new(), Clock::tokio(1_000));
    (catalog, publisher)
}

async fn version_of(versions: &mut GroupVersions, version: u64) -> Arc<Published> {
    let is_there =
        |published: &Option<Arc<Published>>| published.as_ref().is_some_and(|found| found.version >= version);
    versions.wait_for(is_there).await.unwrap().clone().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_version_is_published_with_its_manifest_and_every_body_in_it() {
    let (_catalog, publisher) = started(good(1));
    let published = version_of(&mut publisher.group(&group("default")), 1).await;

    assert_eq!(Digest::of(&published.manifest), published.digest);
    let manifest = Manifest::parse(&published.manifest).unwrap();
    assert_eq!(manifest.entries.len(), 2);
    for entry in &manifest.entries {
        let body = &published.bodies[&entry.sha256];
        assert_eq!((Digest::of(body), body.len() as u64), (entry.sha256, entry.size));
        assert_eq!(policy::parse_resource(body).unwrap().name, entry.name);
    }
    assert!(publisher.problems().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_published_once_five_milliseconds_after_its_end() {
    let (catalog, publisher) = started(good(1));
    let mut versions = publisher.group(&group("default"));
    version_of(&mut versions, 1).await;

    let began = Instant::now();
    for version in 2..=10 {
        catalog.send_replace(good(version));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    versions.mark_unchanged();
    let published = version_of(&mut versions, 2).await;
    assert_eq!(published.version, 10);
    assert!(began.elapsed() < Duration::from_millis(30), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_burst_without_end_is_published_every_hundred_milliseconds() {
    let (catalog, publisher) = started(good(1));
    let mut versions = publisher.group(&group("default"));
    version_of(&mut versions, 1).await;

    let began = Instant::now();
    let mut seen = Vec::new();
    for version in 2..=200 {
        catalog.send_replace(good(version));
        tokio::time::sleep(Duration::from_millis(2)).await;
        if versions.has_changed().unwrap() {
            let version = versions.borrow_and_update().as_ref().unwrap().version;
            seen.push((version, began.elapsed().as_millis()));
        }
    }
    assert!((2..=5).contains(&seen.len()), "{seen:?}");
    assert!(seen[0].1 <= 110, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_compile_keeps_the_last_good_version_and_raises_an_alarm() {
    let (catalog, publisher) = started(good(1));
    let mut versions = publisher.group(&group("default"));
    version_of(&mut versions, 1).await;

    catalog.send_replace(snapshot(2, &[PROVIDER.to_owned(), model("m", "nobody")]));
    let mut heads = publisher.heads();
    heads.wait_for(|head| *head == 2).await.unwrap();
    assert_eq!(versions.borrow().as_ref().unwrap().version, 1);
    let problems = publisher.problems();
    assert_eq!((problems[0].group.as_str(), problems[0].version, problems[0].keeps), ("default", 2, Some(1)));
    assert!(problems[0].diagnostics[0].to_string().contains("nobody"), "{:?}", problems[0].diagnostics);

    catalog.send_replace(good(3));
    version_of(&mut versions, 3).await;
    assert!(publisher.problems().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_group_that_does_not_compile_does_not_hold_up_the_others() {
    let eu = "kind: Group\nname: eu\nspec: {select: [{kinds: [Model]}]}\n".to_owned();
    let (_catalog, publisher) = started(snapshot(1, &[PROVIDER.to_owned(), model("m", "openai"), eu]));
    version_of(&mut publisher.group(&group("default")), 1).await;
    publisher.heads().wait_for(|head| *head == 1).await.unwrap();

    let problems = publisher.problems();
    assert_eq!((problems[0].group.as_str(), problems[0].keeps), ("eu", None));
    assert!(publisher.group(&group("eu")).borrow().is_none());
}

#[tokio::test(start_paused = true)]
async fn equal_content_is_published_under_the_new_number_and_shares_its_bytes() {
    let documents = [PROVIDER.to_owned(), model("m", "openai")];
    let (catalog, publisher) = started(snapshot(1, &documents));
    let mut versions = publisher.group(&group("default"));
    let first = version_of(&mut versions, 1).await;
    catalog.send_replace(snapshot(2, &documents));
    let second = version_of(&mut versions, 2).await;

    assert_eq!(first.digest, second.digest);
    assert!(Arc::ptr_eq(&first.bodies, &second.bodies));
}

#[tokio::test(start_paused = true)]
async fn bodies_that_did_not_change_share_their_bytes_with_the_version_before() {
    let first = snapshot(1, &[PROVIDER.to_owned(), model("a", "openai")]);
    let (catalog, publisher) = started(first);
    let mut versions = publisher.group(&group("default"));
    let first = version_of(&mut versions, 1).await;
    catalog.send_replace(snapshot(2, &[PROVIDER.to_owned(), model("a", "openai"), model("b", "openai")]));
    let second = version_of(&mut versions, 2).await;

    let new = second.lacking_from(&first);
    assert_eq!(new.len(), 1);
    for (digest, body) in first.bodies.iter() {
        assert_eq!(body.as_ptr(), second.bodies[digest].as_ptr());
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_does_not_exist_waits_and_a_deleted_one_keeps_what_it_has() {
    let eu = "kind: Group\nname: eu\nspec: {}\n".to_owned();
    let (catalog, publisher) = started(good(1));
    let mut versions = publisher.group(&group("eu"));
    version_of(&mut publisher.group(&group("default")), 1).await;
    assert!(versions.borrow().is_none());

    catalog.send_replace(snapshot(2, &[PROVIDER.to_owned(), eu]));
    version_of(&mut versions, 2).await;

    catalog.send_replace(good(3));
    publisher.heads().wait_for(|head| *head == 3).await.unwrap();
    assert_eq!(versions.borrow().as_ref().unwrap().version, 2);
    assert_eq!(publisher.problems()[0].diagnostics[0].code, "group_deleted");
}

#[tokio::test(start_paused = true)]
async fn asking_for_groups_that_nobody_made_leaves_nothing_behind() {
    let (_catalog, publisher) = started(good(1));
    for number in 0..1_000 {
        drop(publisher.group(&group(&format!("g{number}"))));
    }
    assert!(publisher.shared.groups.lock().len() <= 2);
}

#[tokio::test(start_paused = true)]
async fn the_empty_store_publishes_nothing_and_an_older_version_replaces_nothing() {
    let (catalog, publisher) = started(snapshot_of(0, Catalog::new()));
    let mut versions = publisher.group(&group("default"));
    catalog.send_replace(good(5));
    version_of(&mut versions, 5).await;
    assert_eq!(versions.borrow().as_ref().unwrap().version, 5);

    catalog.send_replace(good(4));
    publisher.heads().wait_for(|head| *head == 4).await.unwrap();
    assert_eq!(versions.borrow().as_ref().unwrap().version, 5);
}

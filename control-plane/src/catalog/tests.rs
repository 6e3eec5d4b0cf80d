//! The snapshot follows the store, whatever the watch does, and what cannot be loaded never replaces what was.

use serde_json::json;

use super::testing::{Core, Deaf, delete, memory, model, provider, put};
use super::*;
use crate::history::{Alongside, Body, CommitOutcome, NewCommit};

const SOON: Duration = Duration::from_secs(5);

/// Commits past admission, as a release with other ideas might.
async fn commit_raw(core: &Core, entries: &[(&str, &str, &[u8])]) {
    let bodies: Vec<Body> = entries.iter().map(|(_, _, body)| Body::of(body.to_vec())).collect();
    history::upload_blobs(core.store.as_ref(), &bodies).await.unwrap();
    let manifest =
        Manifest::new(entries.iter().zip(&bodies).map(|((kind, name, bytes), body)| ManifestEntry {
            kind: (*kind).to_owned(),
            name: (*name).to_owned(),
            sha256: body.sha256.clone(),
            size: u64::try_from(bytes.len()).unwrap(),
        }));
    let head = history::read_head(core.store.as_ref()).await.unwrap();
    let new = NewCommit {
        commit_id: format!("raw-{}", head.version),
        author: "raw".to_owned(),
        message: "raw".to_owned(),
        time_ms: 1,
        changes: Vec::new(),
        manifest,
        alongside: Alongside::default(),
    };
    let outcome = history::commit(core.store.as_ref(), &head, new).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed { .. }));
}

#[tokio::test]
async fn a_store_without_history_is_told_apart_from_an_empty_policy() {
    let error = start(memory(), &Tasks::new(), Clock::system()).await.unwrap_err();
    assert!(matches!(error, CatalogError::History(HistoryError::NotInitialised)), "{error:?}");
    assert_eq!(Core::alone().await.catalog.newest().version, 0);
}

#[tokio::test]
async fn what_one_control_plane_commits_every_other_one_reads() {
    let store = memory();
    let (one, other) = (Core::on(Arc::clone(&store)).await, Core::on(store).await);
    one.apply(vec![put(&provider("sim")), put(&model("small", "sim"))]).await.unwrap();
    one.apply(vec![delete("Model/small")]).await.unwrap();
    let snapshot = other.catalog.reach(2, SOON).await.unwrap();
    assert_eq!(snapshot.catalog.len(), 1);
    assert_eq!(snapshot.head, one.catalog.newest().head);
    let id = "Provider/sim".parse().unwrap();
    assert_eq!(snapshot.digest_of(&id).unwrap(), snapshot.catalog.digest(&id).unwrap().to_string());
}

#[tokio::test]
async fn a_restart_reads_the_same_policy() {
    let store = memory();
    let before = Core::on(Arc::clone(&store)).await;
    before.apply(vec![put(&provider("sim")), put(&model("small", "sim"))]).await.unwrap();
    let after = Core::on(store).await;
    assert_eq!(after.catalog.newest().head, before.catalog.newest().head);
    assert!(policy::diff(&before.catalog.newest().catalog, &after.catalog.newest().catalog).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_version_the_watch_never_told_of_is_found_within_a_minute() {
    let store = memory();
    let deaf = Core::on(Deaf::over(&store)).await;
    let speaker = Core::on(store).await;
    speaker.apply(vec![put(&provider("sim"))]).await.unwrap();
    assert_eq!(deaf.catalog.newest().version, 0);
    assert!(deaf.catalog.reach(1, CHECK_EVERY + Duration::from_secs(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_leaves_the_last_good_version_and_is_read_again_when_it_is_back() {
    let store = memory();
    let flaky = Deaf::over(&store);
    let follower = Core::on(Arc::<Deaf>::clone(&flaky)).await;
    let speaker = Core::on(store).await;
    speaker.apply(vec![put(&provider("sim"))]).await.unwrap();
    flaky.set_down(true);
    assert!(follower.catalog.refresh().await.is_err());
    let behind = follower.catalog.reach(1, Duration::from_secs(300)).await.unwrap_err();
    assert_eq!(behind, Behind { wanted: 1, newest: 0 });
    flaky.set_down(false);
    assert!(follower.catalog.reach(1, CHECK_EVERY * 2).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_version_this_release_does_not_understand_leaves_the_last_good_one() {
    let core = Core::alone().await;
    core.apply(vec![put(&provider("sim"))]).await.unwrap();
    commit_raw(
        &core,
        &[("Provider", "sim", br#"{"kind":"Provider","name":"sim","spec":{"from":"the future"}}"#)],
    )
    .await;
    let error = core.catalog.refresh().await.unwrap_err();
    assert!(error.to_string().contains("Provider/sim"), "{error}");
    assert!(core.catalog.reach(2, Duration::from_secs(300)).await.is_err());
    assert_eq!(core.catalog.newest().version, 1);

    // A later good version is taken.
    let good = resource_bytes(&provider("sim"));
    commit_raw(&core, &[("Provider", "sim", &good)]).await;
    assert!(core.catalog.reach(3, Duration::from_secs(300)).await.is_ok());
}

#[tokio::test]
async fn a_body_under_another_name_is_not_taken_for_the_resource() {
    let core = Core::alone().await;
    let body = resource_bytes(&provider("other"));
    commit_raw(&core, &[("Provider", "sim", &body)]).await;
    let error = core.catalog.refresh().await.unwrap_err();
    assert!(error.to_string().contains("that of Provider/other"), "{error}");
}

#[tokio::test]
async fn any_older_version_can_be_read() {
    let core = Core::alone().await;
    for n in 1..=7_u64 {
        let mut document = provider("sim");
        document["labels"] = json!({"n": n.to_string()});
        core.apply(vec![put(&document)]).await.unwrap();
    }
    for version in [3, 1, 7, 0, 3] {
        let snapshot = core.catalog.at(version).await.unwrap();
        assert_eq!(snapshot.version, version);
        let found = snapshot.catalog.get(&"Provider/sim".parse().unwrap());
        let label = found.map(|resource| resource.labels["n"].clone());
        assert_eq!(label, (version > 0).then(|| version.to_string()));
    }
    assert!(matches!(core.catalog.at(8).await, Err(CatalogError::NoSuchVersion(8))));
}

fn resource_bytes(document: &serde_json::Value) -> Vec<u8> {
    testing::resource(document).canonical()
}

//! Leases: their keys live exactly as long as they do.

use super::*;

const TTL: Duration = Duration::from_secs(2);

fn leased(key: &str, lease: LeaseId) -> Txn {
    Txn { puts: vec![Put::leased(key, "x", lease)], ..Txn::named("leased") }
}

on_every_store! {
    async fn a_lease_that_is_not_kept_alive_takes_its_keys_along(rig: &Rig) {
        let lease = rig.store.grant_lease(TTL).await.expect("granted");
        let last = committed(&*rig.store, leased("/l/a", lease)).await;
        committed(&*rig.store, put("/l/stays", "x")).await;
        let mut watch = rig.store.watch("/l/a", last + 1);
        rig.outlive(TTL).await;
        let (_, events) = next_batch(&mut watch).await;
        assert_eq!(events, [Event::Deleted { key: "/l/a".to_owned() }]);
        assert_eq!(list_all(&*rig.store, "/l/").await.expect("readable").entries.len(), 1);
        assert!(matches!(rig.store.keep_alive(lease).await, Err(StoreError::LeaseNotFound(found)) if found == lease));
        assert!(matches!(rig.store.txn(leased("/l/b", lease)).await, Err(StoreError::LeaseNotFound(found)) if found == lease));
    }

    async fn a_lease_that_is_kept_alive_lives_on(rig: &Rig) {
        let lease = rig.store.grant_lease(TTL).await.expect("granted");
        committed(&*rig.store, leased("/l/a", lease)).await;
        for _ in 0..3 {
            rig.outlive(TTL * 6 / 10).await;
            rig.store.keep_alive(lease).await.expect("alive");
        }
        let entry = rig.store.get("/l/a", None).await.expect("readable").expect("present");
        assert_eq!(entry.lease, Some(lease));
    }

    async fn a_revoked_lease_takes_its_keys_along_at_one_revision(rig: &Rig) {
        let lease = rig.store.grant_lease(TTL * 100).await.expect("granted");
        let other = rig.store.grant_lease(TTL * 100).await.expect("granted");
        committed(&*rig.store, leased("/l/a", lease)).await;
        committed(&*rig.store, leased("/l/b", lease)).await;
        let last = committed(&*rig.store, leased("/l/c", other)).await;
        let mut watch = rig.store.watch("/l/", last + 1);
        rig.store.revoke_lease(lease).await.expect("revoked");
        let (revision, events) = next_batch(&mut watch).await;
        assert_eq!(revision, last + 1);
        assert_eq!(events.iter().map(Event::key).collect::<Vec<_>>(), ["/l/a", "/l/b"]);
        assert!(matches!(rig.store.revoke_lease(lease).await, Err(StoreError::LeaseNotFound(found)) if found == lease));
        assert!(value(&*rig.store, "/l/c", None).await.is_some());
    }

    async fn a_put_without_a_lease_frees_the_key(rig: &Rig) {
        let lease = rig.store.grant_lease(TTL * 100).await.expect("granted");
        committed(&*rig.store, leased("/l/a", lease)).await;
        committed(&*rig.store, put("/l/a", "kept")).await;
        rig.store.revoke_lease(lease).await.expect("revoked");
        assert_eq!(value(&*rig.store, "/l/a", None).await, Some(Bytes::from("kept")));
    }

    async fn a_put_under_another_lease_moves_the_key_to_it(rig: &Rig) {
        let first = rig.store.grant_lease(TTL * 100).await.expect("granted");
        let second = rig.store.grant_lease(TTL * 100).await.expect("granted");
        committed(&*rig.store, leased("/l/a", first)).await;
        committed(&*rig.store, leased("/l/a", second)).await;
        rig.store.revoke_lease(first).await.expect("revoked");
        assert!(value(&*rig.store, "/l/a", None).await.is_some());
        rig.store.revoke_lease(second).await.expect("revoked");
        assert_eq!(value(&*rig.store, "/l/a", None).await, None);
    }

    async fn a_lease_of_no_length_or_without_an_end_is_refused_alike(rig: &Rig) {
        for ttl in [Duration::ZERO, Duration::from_millis(999), Duration::MAX] {
            match rig.store.grant_lease(ttl).await {
                Err(StoreError::Limit(found)) => assert_eq!(found, LimitExceeded::LeaseTtl { found: ttl }),
                other => panic!("{ttl:?} was not refused: {other:?}"),
            }
        }
    }
}

//! Elections: one leader at a time, and none that acts after its end.

use super::*;
use crate::store::election::campaign;

const TTL: Duration = Duration::from_secs(2);

on_every_store! {
    async fn one_of_two_candidates_leads_and_the_other_leaves_no_ghost(rig: &Rig) {
        let first = campaign(&*rig.store, "publisher", "one", TTL * 100).await.expect("a working store").expect("won");
        assert_eq!(campaign(&*rig.store, "publisher", "two", TTL * 100).await.expect("a working store"), None);
        assert!(first.keep(&*rig.store).await.expect("a working store"));
        first.resign(&*rig.store).await.expect("resigned");
        assert_eq!(value(&*rig.store, &keys::leader("publisher"), None).await, None, "nobody was queued behind");
        assert!(campaign(&*rig.store, "publisher", "two", TTL * 100).await.expect("a working store").is_some());
    }

    async fn a_leader_whose_lease_ended_changes_nothing_any_more(rig: &Rig) {
        let deposed = campaign(&*rig.store, "publisher", "one", TTL).await.expect("a working store").expect("won");
        let act = |leader: &super::super::election::Leadership, value: &str| Txn {
            compares: vec![leader.fence()],
            puts: vec![Put::new("/act", value.to_owned())],
            ..Txn::named("act")
        };
        committed(&*rig.store, act(&deposed, "one")).await;
        let mut watch = rig.store.watch(keys::LEADERS, rig.store.list("/act", Page::first(), None).await.expect("readable").revision + 1);
        rig.outlive(TTL).await;
        next_batch(&mut watch).await;
        assert!(!deposed.keep(&*rig.store).await.expect("a working store"));
        assert_eq!(rig.store.txn(act(&deposed, "one, late")).await.expect("a working store"), TxnOutcome::Conflict);
        let leader = campaign(&*rig.store, "publisher", "two", TTL * 100).await.expect("a working store").expect("won");
        assert_eq!(rig.store.txn(act(&deposed, "one, later")).await.expect("a working store"), TxnOutcome::Conflict);
        committed(&*rig.store, act(&leader, "two")).await;
    }
}

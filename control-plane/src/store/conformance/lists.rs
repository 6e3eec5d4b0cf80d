//! Lists: paged, at one revision, whatever their size and whatever is written meanwhile.

use super::*;

/// Writes `count` keys of `size` bytes each below `prefix`.
async fn fill(store: &dyn Store, prefix: &str, count: usize, size: usize) {
    let keys: Vec<_> = (0..count).map(|n| format!("{prefix}{n:05}")).collect();
    for chunk in keys.chunks(MAX_WRITES) {
        let puts = chunk.iter().map(|key| Put::new(key, vec![b'x'; size])).collect();
        committed(store, Txn { puts, ..Txn::named("fill") }).await;
    }
}

on_every_store! {
    async fn ten_thousand_keys_are_paged_at_one_revision_while_they_change(rig: &Rig) {
        fill(&*rig.store, "/n/", 10_000, 600).await;
        committed(&*rig.store, put("/o", "behind the prefix")).await;
        let first = rig.store.list("/n/", Page::first(), None).await.expect("readable");
        let (revision, mut next) = (first.revision, first.next.clone());
        let mut entries = first.entries;
        assert_eq!(entries.len(), MAX_PAGE);
        while let Some(after) = next {
            // Pages still to come lose a key, gain a key and see one changed.
            committed(&*rig.store, delete("/n/09999")).await;
            committed(&*rig.store, put("/n/09998x", "new")).await;
            committed(&*rig.store, put("/n/09998", "changed")).await;
            let page = rig.store.list("/n/", Page::after(after), Some(revision)).await.expect("readable");
            assert_eq!(page.revision, revision);
            entries.extend(page.entries);
            next = page.next;
        }
        let expected: Vec<_> = (0..10_000).map(|n| format!("/n/{n:05}")).collect();
        assert!(entries.iter().map(|entry| &entry.key).eq(&expected), "every key once, in order");
        assert!(entries.iter().all(|entry| entry.value.len() == 600 && entry.modified <= revision));
        let bytes: usize = entries.iter().map(|entry| entry.value.len()).sum();
        assert!(bytes > 4 * 1024 * 1024);
    }

    async fn a_page_of_large_values_ends_early_and_goes_on(rig: &Rig) {
        let large = MAX_VALUE_BYTES - 1024;
        for n in 0..40 {
            committed(&*rig.store, put(&format!("/large/{n:02}"), vec![0; large])).await;
        }
        let all = list_all(&*rig.store, "/large/").await.expect("readable");
        assert_eq!(all.entries.len(), 40);
        assert!(all.entries.is_sorted_by(|a, b| a.key < b.key));
        assert_eq!(all.next, None);
    }

    async fn a_page_says_whether_there_is_more(rig: &Rig) {
        fill(&*rig.store, "/p/", 3, 1).await;
        let page = async |limit, after: Option<&str>| {
            let page = Page { limit, after: after.map(str::to_owned) };
            let listing = rig.store.list("/p/", page, None).await.expect("readable");
            (listing.entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>(), listing.next)
        };
        assert_eq!(page(2, None).await, (vec!["/p/00000".to_owned(), "/p/00001".to_owned()], Some("/p/00001".to_owned())));
        assert_eq!(page(2, Some("/p/00001")).await, (vec!["/p/00002".to_owned()], None));
        assert_eq!(page(3, None).await.1, None);
        assert_eq!(page(0, None).await.0.len(), 1, "a page holds at least one key");
        assert_eq!(page(9, Some("/p/00002")).await, (vec![], None));
        assert_eq!(page(9, Some("/a")).await.0.len(), 3, "a key before the prefix starts at its beginning");
    }

    async fn a_prefix_lists_what_begins_with_it_and_nothing_else(rig: &Rig) {
        for key in ["/a", "/a/", "/a/b", "/a/é", "/a/\u{10ffff}", "/a0", "/b"] {
            committed(&*rig.store, put(key, "x")).await;
        }
        let below = list_all(&*rig.store, "/a/").await.expect("readable");
        assert_eq!(below.entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["/a/", "/a/b", "/a/é", "/a/\u{10ffff}"]);
        assert_eq!(list_all(&*rig.store, "/none/").await.expect("readable").entries, []);
    }
}

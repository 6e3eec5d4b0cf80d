//! Tokens: found by hash alone, revoked at once, never kept as text.

use super::*;
use crate::catalog::testing::{Deaf, memory};

const NOW_MS: u64 = 1_800_000_000_000;

async fn start(store: &Arc<dyn Store>, first: Option<&str>) -> Result<(Access, Option<String>), AccessError> {
    let first: Option<Secret> = first.map(|text| text.parse().unwrap());
    Access::start(Arc::clone(store), first.as_ref(), None, &Tasks::new(), Clock::tokio(NOW_MS)).await
}

#[tokio::test]
async fn the_first_start_makes_a_token_and_later_ones_do_not() {
    let store = memory();
    let (access, made) = start(&store, None).await.unwrap();
    let text = made.unwrap();
    assert!(text.starts_with(TOKEN_PREFIX) && text.len() == 47, "{text}");
    assert_eq!(access.authenticate(&text).unwrap().name(), "admin");
    let (again, made) = start(&store, None).await.unwrap();
    assert_eq!(made, None);
    assert!(again.authenticate(&text).is_ok());
}

#[tokio::test]
async fn a_given_token_is_let_in_however_often_it_is_given() {
    let store = memory();
    for _ in 0..3 {
        let (access, made) = start(&store, Some("fda_given")).await.unwrap();
        assert_eq!(made, None);
        assert_eq!(access.authenticate("fda_given").unwrap().name(), "admin");
        assert_eq!(access.list().len(), 1);
    }
    let (access, _) = start(&store, Some("another-one")).await.unwrap();
    assert!(access.authenticate("another-one").is_ok() && access.authenticate("fda_given").is_ok());
}

#[tokio::test]
async fn a_revoked_token_does_not_come_back_with_a_restart() {
    let store = memory();
    let (access, _) = start(&store, Some("fda_given")).await.unwrap();
    access.create("other").await.unwrap();
    let id = access.list().iter().find(|token| token.name == "admin").unwrap().id.clone();
    access.revoke(&id).await.unwrap();
    let error = start(&store, Some("fda_given")).await.unwrap_err();
    assert!(error.to_string().contains("was revoked"), "{error}");
}

#[tokio::test]
async fn nothing_but_the_whole_token_is_a_token() {
    let store = memory();
    let (access, made) = start(&store, None).await.unwrap();
    let text = made.unwrap();
    let hash = hex::encode(Sha256::digest(text.as_bytes()));
    for wrong in [
        "",
        "fda_",
        text.trim_end_matches(char::is_alphanumeric),
        &format!("{text}x"),
        &text.to_uppercase(),
        &hash,
    ] {
        assert_eq!(access.authenticate(wrong), Err(Denied::Invalid), "{wrong:?}");
    }
}

#[tokio::test]
async fn the_store_holds_hashes_and_never_a_token() {
    let store = memory();
    let (access, made) = start(&store, None).await.unwrap();
    let new = access.create("ci").await.unwrap();
    let everything = list_all(store.as_ref(), keys::ROOT).await.unwrap();
    let everything = format!("{:?}", everything.entries);
    for text in [made.unwrap(), new.text.clone()] {
        assert!(!everything.contains(&text));
        assert!(!format!("{new:?} {access:?}").contains(&text));
    }
}

#[tokio::test]
async fn a_token_revoked_elsewhere_is_refused_here_as_soon_as_the_news_arrives() {
    let store = memory();
    let (one, _) = start(&store, Some("fda_admin")).await.unwrap();
    let made = one.create("ci").await.unwrap();
    let (other, _) = start(&store, Some("fda_admin")).await.unwrap();
    assert!(other.authenticate(&made.text).is_ok());
    one.revoke(&made.token.id).await.unwrap();
    assert_eq!(one.authenticate(&made.text), Err(Denied::Invalid));
    let news = async {
        while other.authenticate(&made.text).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), news).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_revocation_the_watch_missed_is_found_by_the_next_full_reading() {
    let store = memory();
    let (speaker, _) = start(&store, Some("fda_admin")).await.unwrap();
    let made = speaker.create("ci").await.unwrap();
    let deaf: Arc<dyn Store> = Deaf::over(&store);
    let (access, _) = start(&deaf, Some("fda_admin")).await.unwrap();
    speaker.revoke(&made.token.id).await.unwrap();
    tokio::time::sleep(CONFIRM_EVERY + Duration::from_secs(1)).await;
    assert_eq!(access.authenticate(&made.text), Err(Denied::Invalid));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_confirmed_lets_nobody_in_after_a_while() {
    let store = memory();
    let flaky = Deaf::over(&store);
    let shared: Arc<dyn Store> = Arc::<Deaf>::clone(&flaky);
    let (access, _) = start(&shared, Some("fda_admin")).await.unwrap();
    flaky.set_down(true);
    tokio::time::sleep(TRUSTED_FOR - Duration::from_secs(60)).await;
    assert!(access.authenticate("fda_admin").is_ok(), "a short outage locks nobody out");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(access.authenticate("fda_admin"), Err(Denied::Unconfirmed));
    flaky.set_down(false);
    tokio::time::sleep(CONFIRM_EVERY + RETRY_AFTER).await;
    assert!(access.authenticate("fda_admin").is_ok());
}

#[tokio::test]
async fn a_kept_token_opens_a_new_store_but_no_store_that_has_tokens() {
    let kept: Secret = "fda_kept-by-an-earlier-start".parse().unwrap();
    let begin = |store: Arc<dyn Store>, kept: Secret| async move {
        Access::start(store, None, Some(&kept), &Tasks::new(), Clock::tokio(NOW_MS)).await.unwrap()
    };
    let new = memory();
    let (access, made) = begin(Arc::clone(&new), kept.clone()).await;
    assert!(made.is_none() && access.authenticate(kept.reveal()).is_ok());

    let other = "fda_another".parse().unwrap();
    let (access, made) = begin(new, other).await;
    assert!(made.is_none() && access.authenticate("fda_another").is_err());
}

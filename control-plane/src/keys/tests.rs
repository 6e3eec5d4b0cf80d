//! Keys: random, hashed under the pepper, and told once.

use super::*;
use crate::catalog::testing::memory;

const NOW_MS: u64 = 1_800_000_000_000;

fn order() -> KeyOrder {
    KeyOrder { consumer: "chat".to_owned(), ..KeyOrder::default() }
}

#[tokio::test]
async fn all_control_planes_of_a_store_share_one_pepper() {
    let store = memory();
    let (one, other) = tokio::join!(Pepper::load(store.as_ref()), Pepper::load(store.as_ref()));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one, other);
    assert_eq!(Pepper::load(store.as_ref()).await.unwrap(), one);
    assert_ne!(Pepper::load(memory().as_ref()).await.unwrap(), one);
    assert_eq!(format!("{one:?}"), "Pepper(…)");
}

#[tokio::test]
async fn a_damaged_pepper_is_told_instead_of_replaced() {
    let store = memory();
    let mut txn = Txn::named("test");
    txn.puts.push(Put::new(keys::PEPPER, "short"));
    store.txn(txn).await.unwrap();
    let error = Pepper::load(store.as_ref()).await.unwrap_err();
    assert!(error.to_string().contains("5 bytes"), "{error}");
}

#[test]
fn the_hash_is_hmac_sha_256_of_the_whole_key() {
    // RFC 4231, test case 2, with the key padded to 32 bytes as HMAC does itself.
    let mut pepper = [0; 32];
    pepper[..4].copy_from_slice(b"Jefe");
    let hash = Pepper(pepper).hash("what do ya want for nothing?");
    assert_eq!(hash, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

#[test]
fn a_key_is_random_and_only_its_hash_is_in_the_resource() {
    let pepper = Pepper([7; 32]);
    let (one, other) = (mint(&pepper, order(), NOW_MS).unwrap(), mint(&pepper, order(), NOW_MS).unwrap());
    assert_ne!(one.text, other.text);
    assert_ne!(one.resource.name, other.resource.name);
    assert!(one.text.starts_with(KEY_PREFIX) && one.text.len() == 46);
    let kept = String::from_utf8(one.resource.canonical()).unwrap();
    assert!(kept.contains(&pepper.hash(&one.text)) && !kept.contains(&one.text), "{kept}");
    assert!(kept.contains("2027-01-15T08:00:00Z"), "{kept}");
    assert!(!format!("{one:?}").contains(&one.text));
}

#[test]
fn a_key_that_has_expired_already_is_not_made() {
    let pepper = Pepper([7; 32]);
    let with =
        |expires: &str| mint(&pepper, KeyOrder { expires: Some(expires.to_owned()), ..order() }, NOW_MS);
    assert!(with("2030-01-01T00:00:00Z").is_ok());
    assert!(matches!(with("2020-01-01T00:00:00Z"), Err(MintError::Invalid(_) | MintError::Expired(_))));
    assert!(matches!(with("tomorrow"), Err(MintError::Invalid(_))));
}

use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tokio::time::advance;

use super::*;

fn credential(reference: &str, read_env: ReadEnv) -> Credential {
    Credential::new(reference.parse().unwrap(), "Bearer ", read_env)
}

fn no_env() -> ReadEnv {
    ReadEnv::new(|_| None)
}

#[tokio::test(start_paused = true)]
async fn a_variable_is_read_once_and_its_header_is_sensitive() {
    let reads = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&reads);
    let read_env = ReadEnv::new(move |name| {
        counter.fetch_add(1, Ordering::Relaxed);
        (name == "KEY").then(|| "sk-secret".to_owned())
    });
    let credential = credential("env:KEY", read_env);
    for _ in 0..3 {
        let header = credential.header(Instant::now()).unwrap();
        assert_eq!(header, "Bearer sk-secret");
        assert!(header.is_sensitive());
    }
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    assert!(!format!("{credential:?}").contains("sk-secret"));
}

#[tokio::test(start_paused = true)]
async fn a_missing_variable_is_named_and_asked_for_again() {
    let error = credential("env:NOT_THERE", no_env()).header(Instant::now()).unwrap_err();
    assert_eq!(error.to_string(), "the environment variable `NOT_THERE` is not set for the proxy");
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_read_again_and_a_vanished_one_is_an_error() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key");
    let credential = credential(&format!("file:{}", path.display()), no_env());
    assert!(matches!(credential.header(Instant::now()), Err(CredentialError::Unreadable(..))));

    fs::write(&path, "first\n").unwrap();
    assert_eq!(credential.header(Instant::now()).unwrap(), "Bearer first");
    fs::write(&path, "the second\r\n").unwrap();
    assert_eq!(credential.header(Instant::now()).unwrap(), "Bearer first");
    advance(LOOK_AGAIN).await;
    assert_eq!(credential.header(Instant::now()).unwrap(), "Bearer the second");

    fs::remove_file(&path).unwrap();
    advance(LOOK_AGAIN).await;
    assert!(credential.header(Instant::now()).is_err());
}

#[tokio::test(start_paused = true)]
async fn what_a_header_cannot_carry_is_refused_without_repeating_it() {
    for secret in ["", "  ", "sk-planted\nx: y"] {
        let error = credential("env:KEY", ReadEnv::new(move |_| Some(secret.to_owned())))
            .header(Instant::now())
            .unwrap_err();
        assert!(matches!(error, CredentialError::NotAHeader(_)));
        assert!(!error.to_string().contains("planted"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sealed_secret_is_refused_with_the_way_out() {
    let error = credential("sealed:openai", no_env()).header(Instant::now()).unwrap_err();
    assert!(error.to_string().contains("env:NAME"));
}

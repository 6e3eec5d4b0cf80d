//! The promises of the house, each a sentence and a test. Every test has a world of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test where it stands"
)]

mod promises {
    mod applications;
    mod bad_answers;
    mod bad_input;
    mod change;
    mod channel;
    mod compatibility;
    mod documents;
    mod etcd;
    mod first_steps;
    mod outage;
    mod passages;
    mod providers;
    mod recordings;
    mod records;
    mod sdk;
    mod surfaces;
}

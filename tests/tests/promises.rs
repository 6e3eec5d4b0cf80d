//! The promises of the house, each a sentence and a test. Every test has a world of its own.

mod promises {
    mod applications;
    mod bad_input;
    mod change;
    mod etcd;
    mod first_steps;
    mod outage;
    mod providers;
    mod records;
    mod sdk;
}

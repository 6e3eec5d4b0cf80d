//! The ledger: every call leaves one record, counted once however often it is sent, summed by hour and dimension.
//!
//! Records and sums change in one transaction, so that nothing counts twice and nothing is half counted. A record is
//! acknowledged only after that transaction is on the disk; until then the proxy keeps it in its spool.
//!
//! It must not know who asks (the admin API) or how records travel (the discovery service), and it judges no call.

mod error;
mod intake;
mod ledger;
mod query;
mod record;
mod retention;
mod rollup;

pub use error::LedgerError;
pub use ledger::{Accepted, Ack, Counts, Ledger, LedgerPlace};
pub use query::{Dimension, UsageQuery, UsageRow};
pub use record::{
    CallerRecord, CandidateRecord, DecisionRecord, LimitRecord, RequestRecord, ServedRecord, SourceRecord,
    TokenRecord, TryRecord,
};
pub use retention::{Retention, keep_bounded};

#[cfg(test)]
mod tests;

//! Where calls and answers will be inspected and redacted. No rules exist yet: nothing is inspected, and nothing says it was.
//!
//! The room stands here so that a call cannot reach routing around it: [`Inspected`] has no public constructor.

use crate::frontend::Inbound;
use crate::upstream::Answer;

/// A call that passed this room.
#[derive(Debug)]
pub struct Inspected(Inbound);

impl Inspected {
    /// The call.
    pub fn inbound(&self) -> &Inbound {
        &self.0
    }
}

/// Lets the call through as it is.
pub fn inspect_call(inbound: Inbound) -> Inspected {
    Inspected(inbound)
}

/// Lets the answer through as it is.
pub fn inspect_answer(answer: Answer) -> Answer {
    answer
}

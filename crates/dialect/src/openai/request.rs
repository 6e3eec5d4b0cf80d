//! Requests of this dialect.

use crate::{Fault, Request};

pub(crate) fn decode(_body: &[u8]) -> Result<Request, Fault> {
    Err(Fault::unsupported("calls are not read yet"))
}

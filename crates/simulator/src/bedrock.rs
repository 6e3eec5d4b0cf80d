//! x
use crate::answer::Refusal;
use crate::routes::Route;
use bytes::Bytes;
pub(crate) const ROUTES: &[Route] = &[];
pub(crate) fn error(_: &Refusal) -> Bytes {
    Bytes::new()
}
pub(crate) fn error_type(_: &Refusal) -> &str {
    ""
}

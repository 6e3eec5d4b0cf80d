//! The conversation between the planes, as prost messages and tonic stubs. Wire only, nothing clever:
//! no conversion to or from our own types lives here, and resource bodies stay opaque.
#![allow(
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

tonic::include_proto!("frontdoor.v1");

//! The conversation between the planes, as prost messages and tonic stubs. Wire only, nothing clever:
//! no conversion to or from our own types lives here, and resource bodies stay opaque.

tonic::include_proto!("frontdoor.v1");

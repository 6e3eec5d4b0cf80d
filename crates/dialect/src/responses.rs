//! OpenAI responses, to and from the canonical form. It must not know the other dialects.
//!
//! A conversation is a list of items. Items of the model that follow one another are one turn of the canonical form;
//! what marks where one item ends and the next begins travels in the `extra` of its pieces.

pub(crate) mod allowed;
pub(crate) mod answer;
pub(crate) mod content;
pub(crate) mod echo;
pub(crate) mod emit;
pub(crate) mod error;
mod fit;
pub(crate) mod items;
pub(crate) mod output;
pub(crate) mod probe;
pub(crate) mod request;
mod seal;
pub(crate) mod stream;
pub(crate) mod strict;
pub(crate) mod usage;
pub(crate) mod write;

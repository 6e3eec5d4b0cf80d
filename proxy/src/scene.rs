//! A small world for the tests of several rooms: a policy, keys, calls and a sink that keeps records.
//! Only tests know it.

use std::sync::Arc;

use bytes::Bytes;
use dialect::{Call, Dialect, Operation};
use http::{HeaderMap, HeaderValue};
use lifecycle::Clock;
use parking_lot::Mutex;
use policy::{Name, Policy};

use crate::exchange::{Exchange, Record, RecordSink};
use crate::frontend::{Inbound, Tags};
use crate::identity::{self, Caller, Pepper};
use crate::runtime::{Parts, Runtime};

/// What the keys of every scene are hashed with.
pub(crate) const PEPPER: &[u8] = b"a pepper for tests";
/// A moment after all keys were made.
pub(crate) const NOW_MS: u64 = 1_790_000_000_000;

/// The hash of a key, as the control plane would store it.
pub(crate) fn hash(key: &str) -> String {
    let pepper = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, PEPPER);
    hex::encode(aws_lc_rs::hmac::sign(&pepper, key.as_bytes()))
}

/// Compiles documents into version `version` of the default group.
pub(crate) fn compile(version: u64, documents: &str) -> Policy {
    let resources = policy::parse_documents("scene.yaml", documents).unwrap();
    let resources: Vec<_> = resources.into_iter().map(Arc::new).collect();
    policy::compile(&Name::default_group(), version, &resources).unwrap().policy
}

/// A provider, two models, two consumers of one team and their keys `fd_one` and `fd_two`, followed by `more`.
pub(crate) fn policy(version: u64, more: &str) -> Policy {
    let (one, two) = (hash("fd_one"), hash("fd_two"));
    compile(
        version,
        &format!(
            r#"
kind: Provider
name: acme
spec: {{dialect: openai, base_url: "http://127.0.0.1:9/v1"}}
---
kind: Model
name: small
spec: {{targets: [{{provider: acme, prices: {{input: 1, output: 2}}}}]}}
---
kind: Model
name: large
spec: {{targets: [{{provider: acme}}], max_output_tokens: 1000}}
---
kind: Consumer
name: first
spec: {{organisation: org, team: support, models: ["*"]}}
---
kind: Consumer
name: second
spec: {{organisation: org, team: support, models: ["small"]}}
---
kind: Key
name: k_one
spec: {{consumer: first, hash: {one}, created: "2026-01-01T00:00:00Z"}}
---
kind: Key
name: k_two
spec: {{consumer: second, hash: {two}, created: "2026-01-01T00:00:00Z"}}
{more}"#
        ),
    )
}

/// A pepper that is set.
pub(crate) fn pepper() -> Pepper {
    let pepper = Pepper::default();
    pepper.set(PEPPER);
    pepper
}

/// Headers that show `key`.
pub(crate) fn headers(key: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {key}")).unwrap());
    headers
}

/// Whoever shows `key`.
pub(crate) fn caller(policy: &Policy, key: &str) -> Caller {
    identity::identify(policy, &pepper(), &headers(key), None, NOW_MS).unwrap()
}

/// A chat call in OpenAI's dialect with these fields beside its one message.
pub(crate) fn call(model: &str, fields: &str) -> Call {
    let body = format!(
        r#"{{"model":"{model}","messages":[{{"role":"user","content":"12345678901234567890"}}]{fields}}}"#
    );
    Call::decode((Dialect::OpenAi, Operation::Chat), Bytes::from(body)).unwrap()
}

/// That call as it came in.
pub(crate) fn inbound(model: &str, fields: &str) -> Inbound {
    Inbound::new(call(model, fields), HeaderMap::new(), Tags::default())
}

/// Keeps every record.
#[derive(Default)]
pub(crate) struct Kept(pub(crate) Mutex<Vec<Record>>);

impl RecordSink for Kept {
    fn put(&self, record: Record) {
        self.0.lock().push(record);
    }
}

/// An exchange and where its record will be.
pub(crate) fn exchange(clock: &Clock) -> (Exchange, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let sink: Arc<dyn RecordSink> = Arc::<Kept>::clone(&kept);
    (Exchange::begin(clock, 0, sink), kept)
}

/// What runtimes are built with: one lane, no trust, an empty environment.
pub(crate) fn parts(clock: &Clock) -> Parts {
    let tls = crate::upstream::trust().unwrap();
    let read_env =
        crate::upstream::ReadEnv::new(|name| (name == "KEY").then(|| "sk-of-the-provider".to_owned()));
    let upstream = crate::upstream::Parts { clock: clock.clone(), lanes: 1, tls: Arc::new(tls), read_env };
    Parts { pepper: pepper(), upstream }
}

/// The runtime of `policy`, going on from `previous`.
pub(crate) fn runtime(policy: Policy, previous: Option<&Runtime>) -> Runtime {
    let _installed_before = rustls::crypto::aws_lc_rs::default_provider().install_default().is_err();
    Runtime::build(policy, previous, &parts(&Clock::system())).unwrap()
}

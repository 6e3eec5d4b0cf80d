use std::future::poll_fn;

use dialect::{Call, Operation};
use http::{HeaderName, HeaderValue};
use lifecycle::{Task, TaskKind, Tasks};
use parking_lot::Mutex;
use policy::{Name, Timeouts, compile, parse_documents};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::exchange::{Record, RecordSink};
use crate::failure::code;
use crate::frontend::Tags;
use crate::upstream::retry::RetryRules;
use provider::{Act, FakeProvider};

mod provider;
mod transport;
mod ways;

const SOON: Duration = Duration::from_secs(5);
const BRIEF: Timeouts = Timeouts {
    connect: None,
    first_byte: Some(policy::Span::from_millis(100)),
    idle: Some(policy::Span::from_millis(100)),
    total: None,
};

#[derive(Default)]
struct Sink(Mutex<Vec<Record>>);

impl RecordSink for Sink {
    fn put(&self, record: Record) {
        self.0.lock().push(record);
    }
}

/// Providers `p0`, `p1`, … behind one model, tried in this order.
struct World {
    live: Live,
    plan: Plan,
    sink: Arc<Sink>,
    clock: Clock,
    tasks: Tasks,
}

fn parts(clock: &Clock) -> Parts {
    Parts {
        clock: clock.clone(),
        lanes: 1,
        tls: Arc::new(trust().unwrap()),
        read_env: ReadEnv::new(|name| (name == "KEY").then(|| "sk-of-the-provider".to_owned())),
    }
}

fn policy_for(urls: &[String], credential: &str, dialect: &str) -> Policy {
    let mut text = String::new();
    for (number, url) in urls.iter().enumerate() {
        text.push_str(&format!(
            "kind: Provider\nname: p{number}\nspec: {{dialect: {dialect}, base_url: \"{url}\", credential: \"{credential}\", headers: {{x-extra: one, openai-beta: authored}}}}\n---\n"
        ));
    }
    let targets: Vec<String> =
        (0..urls.len()).map(|number| format!("{{provider: p{number}, model: up-{number}}}")).collect();
    text.push_str(&format!("kind: Model\nname: m\nspec: {{targets: [{}]}}\n", targets.join(", ")));
    let resources: Vec<_> = parse_documents("test", &text).unwrap().into_iter().map(Arc::new).collect();
    compile(&Name::default_group(), 1, &resources).unwrap().policy
}

fn plan_for(policy: &Policy) -> Plan {
    let model = policy.model("m").unwrap().model;
    let targets = model.targets.iter().map(|target| Planned::of(&model, target)).collect();
    Plan { targets, timeouts: BRIEF, retries: RetryRules::default(), on_unsupported: None }
}

impl World {
    fn new(urls: &[String]) -> Self {
        Self::with_policy(&policy_for(urls, "env:KEY", "openai"), Tasks::new())
    }

    fn with_policy(policy: &Policy, tasks: Tasks) -> Self {
        let clock = Clock::system();
        let live = Live::build(policy, None, &parts(&clock)).unwrap();
        Self { live, plan: plan_for(policy), sink: Arc::default(), clock, tasks }
    }

    /// One fake provider for each script.
    async fn of(scripts: Vec<Vec<Act>>) -> (Self, Vec<FakeProvider>) {
        let tasks = Tasks::new();
        let mut providers = Vec::new();
        for script in scripts {
            providers.push(FakeProvider::start(&tasks, script).await);
        }
        let urls: Vec<String> =
            providers.iter().map(|provider| format!("http://127.0.0.1:{}", provider.port)).collect();
        let world = Self::with_policy(&policy_for(&urls, "env:KEY", "openai"), tasks);
        (world, providers)
    }

    fn exchange(&self) -> Exchange {
        Exchange::begin(&self.clock, 0, Arc::clone(&self.sink) as Arc<dyn RecordSink>)
    }

    async fn ask(&self, inbound: &Inbound) -> Result<Answer, Failure> {
        let mut exchange = self.exchange();
        timeout(SOON, dispatch(&self.live, &self.plan, inbound, &mut exchange)).await.unwrap()
    }

    /// Provider and outcome of every attempt of the last call.
    fn attempts(&self) -> Vec<(String, &'static str)> {
        let records = self.sink.0.lock();
        let attempts = &records.last().unwrap().decision.attempts;
        attempts.iter().map(|attempt| (attempt.provider.clone(), attempt.outcome)).collect()
    }

    fn expect_attempts(&self, expected: &[(&str, &str)]) {
        let attempts = self.attempts();
        let attempts: Vec<(&str, &str)> =
            attempts.iter().map(|(provider, outcome)| (provider.as_str(), *outcome)).collect();
        assert_eq!(attempts, expected);
    }
}

fn inbound(body: &str) -> Inbound {
    let call =
        Call::decode((dialect::Dialect::OpenAi, Operation::Chat), Bytes::from(body.to_owned())).unwrap();
    Inbound::new(call, HeaderMap::new(), Tags::default())
}

fn plain() -> Inbound {
    inbound(r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"novel":{"a":1}}"#)
}

fn streamed() -> Inbound {
    inbound(r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#)
}

fn answer_text() -> String {
    r#"{"id":"c1","object":"chat.completion","created":1,"model":"up","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5},"novel":true}"#.to_owned()
}

fn good() -> Act {
    Act::Reply(
        200,
        "content-type: application/json\r\nx-request-id: theirs\r\nset-cookie: a=b\r\n",
        answer_text(),
    )
}

fn error(status: u16, headers: &'static str, kind: &str) -> Act {
    let body =
        format!(r#"{{"error":{{"message":"the reason","type":"{kind}","param":null,"code":"{kind}"}}}}"#);
    Act::Reply(status, headers, body)
}

fn chunk(content: &str) -> String {
    format!(
        "data: {{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"up\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{content}\"}},\"finish_reason\":null}}]}}\n\n"
    )
}

fn role_chunk() -> String {
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"up\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"finish_reason\":null}]}\n\n".to_owned()
}

fn last_chunks() -> Vec<String> {
    vec![
        "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"up\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n".to_owned(),
        "data: [DONE]\n\n".to_owned(),
    ]
}

fn good_stream() -> Act {
    Act::Events([vec![role_chunk(), chunk("hel"), chunk("lo")], last_chunks()].concat())
}

/// The whole text of a stream, and the code of its failure.
async fn read_stream(answer: Answer) -> (String, Option<&'static str>) {
    let AnswerBody::Stream(mut stream) = answer.body else { panic!("a stream was asked for") };
    let mut text = String::new();
    while let Some(piece) = timeout(SOON, poll_fn(|cx| stream.poll_frame(cx))).await.unwrap() {
        text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
    let failure = stream.ending().broken.map(|broken| broken.failure.code);
    (text, failure)
}

#[tokio::test]
async fn an_answer_comes_back_byte_for_byte_and_nothing_of_the_caller_goes_along_unasked() {
    let (world, providers) = World::of(vec![vec![good()]]).await;
    let mut call = plain();
    for (name, value) in [
        ("authorization", "Bearer fd_of_the_caller"),
        ("x-api-key", "fd_of_the_caller"),
        ("cookie", "a=b"),
        ("connection", "keep-alive"),
        ("x-frontdoor-tags", "a=b"),
        ("openai-beta", "assistants=v2"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ] {
        call.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let answer = world.ask(&call).await.unwrap();
    let AnswerBody::Whole { bytes, summary } = answer.body else { panic!("a whole answer was asked for") };
    assert_eq!(bytes, answer_text());
    assert_eq!(summary.usage.unwrap().output, 2);
    assert_eq!((answer.target.provider.as_str(), answer.target.upstream_model.as_str()), ("p0", "up-0"));
    assert_eq!(answer.headers.get("x-request-id").unwrap(), "theirs");
    assert!(!answer.headers.contains_key("set-cookie"));

    let seen = providers[0].seen().remove(0);
    let head = seen.head.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/chat/completions http/1.1"), "{head}");
    for line in [
        "authorization: bearer sk-of-the-provider",
        "x-extra: one",
        "openai-beta: authored",
        "openai-beta: assistants=v2",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        assert!(head.contains(&format!("{line}\r\n")), "{line} is missing in {head}");
    }
    for hidden in ["fd_of_the_caller", "x-api-key", "cookie", "x-frontdoor", "connection:"] {
        assert!(!head.contains(hidden), "{hidden} is in {head}");
    }
    assert!(seen.body.contains(r#""model":"up-0""#) && seen.body.contains(r#""novel":{"a":1}"#));
    world.expect_attempts(&[("p0", "ok")]);
}

#[tokio::test]
async fn a_provider_that_is_down_is_tried_once_more_and_then_the_next_one_serves() {
    let tasks = Tasks::new();
    let next = FakeProvider::start(&tasks, vec![good()]).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let urls = [format!("http://127.0.0.1:{gone}"), format!("http://127.0.0.1:{}", next.port)];
    let world = World::new(&urls);
    assert_eq!(world.ask(&plain()).await.unwrap().target.provider, "p1");
    world.expect_attempts(&[("p0", "connect"), ("p0", "connect"), ("p1", "ok")]);
}

/// A socket whose queue is full, so that nobody can connect; and what fills it.
async fn full_socket() -> (u16, TcpListener, Vec<Task>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = Tasks::new();
    let waiting = (0..8)
        .map(|_| {
            tasks.spawn("waits in the queue", TaskKind::Disposable, async move {
                let _connection = TcpStream::connect(address).await;
                std::future::pending::<()>().await;
            })
        })
        .collect();
    // Two of them fit; the others are as stuck as the test's own call will be.
    let first = TcpStream::connect(address);
    let _stuck = timeout(Duration::from_millis(200), first).await;
    (address.port(), listener, waiting)
}

#[tokio::test]
async fn a_connection_that_does_not_stand_in_time_is_given_up_also_by_a_rules_own_limit() {
    let (port, _listener, _waiting) = full_socket().await;
    let next = FakeProvider::start(&Tasks::new(), vec![good()]).await;
    let urls = [format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", next.port)];
    let mut world = World::new(&urls);
    let short = Some(policy::Span::from_millis(150));
    world.plan.timeouts = Timeouts { connect: short, ..Timeouts::default() };
    world.plan.retries.per_target = 1;
    assert_eq!(world.ask(&plain()).await.unwrap().target.provider, "p1");
    world.expect_attempts(&[("p0", "connect_timeout"), ("p1", "ok")]);
}

#[tokio::test]
async fn what_no_target_can_express_is_refused_naming_the_field_and_nothing_is_sent() {
    let tasks = Tasks::new();
    let provider = FakeProvider::start(&tasks, vec![good()]).await;
    let url = format!("http://127.0.0.1:{}", provider.port);
    let world = World::with_policy(&policy_for(&[url.clone(), url], "env:KEY", "anthropic"), tasks);
    let call = inbound(r#"{"model":"m","n":2,"max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#);
    let failure = world.ask(&call).await.unwrap_err();
    assert_eq!((failure.code, failure.status), (code::UNSUPPORTED, 400));
    assert_eq!(failure.param.as_deref(), Some("n"));
    assert!(provider.seen().is_empty());
    world.expect_attempts(&[("p0", "unsupported"), ("p1", "unsupported")]);
}

#[tokio::test]
async fn each_failure_is_retried_or_failed_over_as_the_table_says() {
    let embedded =
        || Act::Reply(200, "", r#"{"error":{"message":"overloaded","type":"server_error"}}"#.to_owned());
    let not_json = || Act::Reply(200, "", "<html>busy</html>".to_owned());
    for (first, expected) in [
        (error(500, "", "server_error"), vec![("p0", "transient"), ("p0", "transient"), ("p1", "ok")]),
        (error(529, "", "overloaded_error"), vec![("p0", "transient"), ("p0", "transient"), ("p1", "ok")]),
        (embedded(), vec![("p0", "transient"), ("p0", "transient"), ("p1", "ok")]),
        (not_json(), vec![("p0", "transient"), ("p0", "transient"), ("p1", "ok")]),
        (error(500, "x-should-retry: false\r\n", "server_error"), vec![("p0", "transient"), ("p1", "ok")]),
        (error(503, "retry-after: 60\r\n", "server_error"), vec![("p0", "transient"), ("p1", "ok")]),
        (error(429, "", "rate_limit_exceeded"), vec![("p0", "rate_limited"), ("p1", "ok")]),
        (error(429, "", "insufficient_quota"), vec![("p0", "quota_exhausted"), ("p1", "ok")]),
        (error(401, "", "invalid_api_key"), vec![("p0", "credential"), ("p1", "ok")]),
        (error(404, "", "model_not_found"), vec![("p0", "not_found"), ("p1", "ok")]),
        (Act::Close, vec![("p0", "reset"), ("p0", "reset"), ("p1", "ok")]),
        (Act::Stall, vec![("p0", "timeout"), ("p1", "ok")]),
        (Act::HeadOnly("content-length: 500\r\n"), vec![("p0", "timeout"), ("p1", "ok")]),
        (
            Act::HeadOnly("content-length: 500000000\r\n"),
            vec![("p0", "oversized_answer"), ("p0", "oversized_answer"), ("p1", "ok")],
        ),
    ] {
        let (world, _providers) = World::of(vec![vec![first], vec![good()]]).await;
        assert_eq!(world.ask(&plain()).await.unwrap().target.provider, "p1");
        world.expect_attempts(&expected);
    }
}

#[tokio::test]
async fn a_connection_that_closed_without_a_byte_is_retried_on_a_new_one() {
    let (world, _providers) = World::of(vec![vec![Act::Close, good()]]).await;
    world.ask(&plain()).await.unwrap();
    world.expect_attempts(&[("p0", "reset"), ("p0", "ok")]);
}

#[tokio::test]
async fn a_wrong_request_is_told_at_once_and_tried_nowhere_else() {
    let (world, providers) =
        World::of(vec![vec![error(400, "", "invalid_request_error")], vec![good()]]).await;
    let failure = world.ask(&plain()).await.unwrap_err();
    assert_eq!((failure.code, failure.status), (code::INVALID_REQUEST, 400));
    assert!(failure.message.contains("the reason"));
    assert!(providers[1].seen().is_empty());
}

#[tokio::test]
async fn when_every_key_is_rejected_the_caller_is_not_told_that_its_own_is_wrong() {
    let rejected = || vec![error(401, "", "invalid_api_key")];
    let (world, _providers) = World::of(vec![rejected(), rejected()]).await;
    let failure = world.ask(&plain()).await.unwrap_err();
    assert_eq!((failure.code, failure.status), (code::UPSTREAM_CREDENTIAL, 502));
    assert!(failure.message.contains("the caller's key is fine"), "{failure}");
}

#[tokio::test]
async fn a_target_without_credential_is_passed_over_without_a_request_and_named() {
    let tasks = Tasks::new();
    let provider = FakeProvider::start(&tasks, vec![good()]).await;
    let url = format!("http://127.0.0.1:{}", provider.port);
    let world = World::with_policy(&policy_for(&[url], "env:NOT_SET", "openai"), tasks);
    let failure = world.ask(&plain()).await.unwrap_err();
    assert_eq!((failure.code, failure.status), (code::UPSTREAM_CREDENTIAL, 502));
    assert!(failure.message.contains("provider `p0`"), "{failure}");
    assert!(!failure.message.contains("NOT_SET"), "where it is looked for is nothing for callers: {failure}");
    assert!(provider.seen().is_empty());
    world.expect_attempts(&[("p0", "no_credential")]);
}

#[tokio::test]
async fn a_providers_pause_is_told_only_when_nobody_else_answers() {
    let limited = || vec![error(429, "retry-after: 7\r\n", "rate_limit_exceeded")];
    let (world, _providers) = World::of(vec![limited()]).await;
    let failure = world.ask(&plain()).await.unwrap_err();
    assert_eq!((failure.code, failure.status), (code::UPSTREAM_RATE_LIMITED, 429));
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));

    let target = &world.plan.targets[0];
    let standing = world.live.standing(&target.target, &target.upstream_model, world.clock.now());
    assert!(matches!(standing, Standing::Cooling(left) if left > Duration::from_secs(6)), "{standing:?}");
}

#[tokio::test]
async fn all_attempts_share_one_deadline() {
    let (mut world, _providers) = World::of(vec![vec![Act::Stall], vec![Act::Stall], vec![Act::Stall]]).await;
    world.plan.timeouts = Timeouts {
        first_byte: Some(policy::Span::from_millis(80)),
        total: Some(policy::Span::from_millis(120)),
        ..BRIEF
    };
    let failure = world.ask(&plain()).await.unwrap_err();
    assert_eq!((failure.code, failure.status), (code::UPSTREAM_TIMEOUT, 504));
    world.expect_attempts(&[("p0", "timeout"), ("p1", "timeout")]);
}

#[tokio::test]
async fn a_caller_who_leaves_takes_the_call_to_the_provider_along() {
    let (world, providers) = World::of(vec![vec![Act::Stall]]).await;
    let mut exchange = world.exchange();
    let call = plain();
    {
        let mut asking = std::pin::pin!(dispatch(&world.live, &world.plan, &call, &mut exchange));
        tokio::select! {
            _ = &mut asking => panic!("the provider stalls"),
            () = providers[0].arrived() => {}
        }
    }
    timeout(SOON, providers[0].left()).await.unwrap();
    drop(exchange);
    world.expect_attempts(&[("p0", "abandoned")]);
}

#[tokio::test]
async fn connections_are_reused_and_survive_a_new_version_of_the_policy() {
    let (mut world, providers) = World::of(vec![vec![good()]]).await;
    for _ in 0..3 {
        world.ask(&plain()).await.unwrap();
        let url = format!("http://127.0.0.1:{}", providers[0].port);
        let next = policy_for(&[url], "env:KEY", "openai");
        world.live = Live::build(&next, Some(&world.live), &parts(&world.clock)).unwrap();
        world.plan = plan_for(&next);
    }
    assert_eq!(providers[0].connections(), 1);
    assert_eq!(providers[0].seen().len(), 3);
    assert!(!world.tasks.is_stopping());
}

#[tokio::test]
async fn an_open_breaker_is_passed_over_while_another_target_is_well_and_not_otherwise() {
    let (world, providers) = World::of(vec![vec![error(500, "", "server_error")], vec![good()]]).await;
    for _ in 0..3 {
        world.ask(&plain()).await.unwrap();
    }
    let before = providers[0].seen().len();
    world.ask(&plain()).await.unwrap();
    assert_eq!(providers[0].seen().len(), before);
    world.expect_attempts(&[("p0", "skipped"), ("p1", "ok")]);

    let alone = Plan { targets: vec![world.plan.targets[0].clone()], timeouts: BRIEF, ..plan_of(&world) };
    let mut exchange = world.exchange();
    let failure = dispatch(&world.live, &alone, &plain(), &mut exchange).await.unwrap_err();
    assert_eq!(failure.code, code::UPSTREAM_FAILED);
    assert_eq!(providers[0].seen().len(), before + 1);
}

fn plan_of(world: &World) -> Plan {
    Plan {
        targets: world.plan.targets.clone(),
        timeouts: BRIEF,
        retries: RetryRules::default(),
        on_unsupported: None,
    }
}

#[tokio::test]
async fn a_sealed_credential_is_refused_before_the_version_is_in_force() {
    let policy = policy_for(&["http://127.0.0.1:1".to_owned()], "sealed:openai", "openai");
    let diagnostics = Live::build(&policy, None, &parts(&Clock::system())).unwrap_err();
    assert_eq!(diagnostics[0].resource, "Provider/p0");
    assert!(diagnostics[0].message.contains("env:NAME"));
}

#[tokio::test]
async fn a_provider_of_the_other_dialect_answers_in_the_callers() {
    let tasks = Tasks::new();
    let body = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}}"#;
    let provider = FakeProvider::start(&tasks, vec![Act::Reply(200, "", body.to_owned())]).await;
    let url = format!("http://127.0.0.1:{}", provider.port);
    let world = World::with_policy(&policy_for(&[url], "env:KEY", "anthropic"), tasks);
    let call = inbound(r#"{"model":"m","max_tokens":50,"messages":[{"role":"user","content":"hi"}]}"#);
    let AnswerBody::Whole { bytes, .. } = world.ask(&call).await.unwrap().body else { panic!("whole") };
    assert!(std::str::from_utf8(&bytes).unwrap().contains("chat.completion"));
    let head = provider.seen()[0].head.to_ascii_lowercase();
    assert!(
        head.starts_with("post /v1/messages") && head.contains("x-api-key: sk-of-the-provider"),
        "{head}"
    );
    assert!(head.contains("anthropic-version: "), "{head}");
}

#[tokio::test]
async fn a_stream_comes_back_as_it_was_sent() {
    let (world, _providers) = World::of(vec![vec![good_stream()]]).await;
    let (text, failure) = read_stream(world.ask(&streamed()).await.unwrap()).await;
    assert_eq!(text, [vec![role_chunk(), chunk("hel"), chunk("lo")], last_chunks()].concat().concat());
    assert_eq!(failure, None);
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_content_fails_over_unseen() {
    let fault = "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n".to_owned();
    for first in [
        Act::EventsThenCut(vec![role_chunk()]),
        Act::EventsThenStall(vec![role_chunk()]),
        Act::Events(vec![role_chunk(), fault.clone()]),
        Act::Events(vec![fault]),
        Act::Events(vec![]),
        Act::Reply(
            200,
            "content-type: application/json\r\n",
            r#"{"error":{"message":"x","type":"server_error"}}"#.into(),
        ),
    ] {
        let (world, _providers) = World::of(vec![vec![first], vec![good_stream()]]).await;
        let answer = world.ask(&streamed()).await.unwrap();
        assert_eq!(answer.target.provider, "p1");
        let (text, failure) = read_stream(answer).await;
        assert!(text.starts_with(&role_chunk()) && text.ends_with("data: [DONE]\n\n"), "{text}");
        assert_eq!(failure, None);
    }
}

#[tokio::test]
async fn a_stream_that_fails_after_its_first_content_ends_in_band_and_is_not_switched() {
    for (first, expected) in [
        (Act::EventsThenCut(vec![role_chunk(), chunk("hel")]), code::UPSTREAM_FAILED),
        (Act::EventsThenStall(vec![role_chunk(), chunk("hel")]), code::UPSTREAM_TIMEOUT),
        (Act::Events(vec![role_chunk(), chunk("hel")]), code::UPSTREAM_FAILED),
    ] {
        let (world, providers) = World::of(vec![vec![first], vec![good_stream()]]).await;
        let (text, failure) = read_stream(world.ask(&streamed()).await.unwrap()).await;
        assert!(text.starts_with(&[role_chunk(), chunk("hel")].concat()), "{text}");
        assert!(text.contains("\"error\"") && text.contains(expected), "{text}");
        assert_eq!(failure, Some(expected));
        assert!(providers[1].seen().is_empty());
    }
}

#[tokio::test]
async fn a_stream_whose_answer_was_complete_is_no_failure_when_its_connection_does_not_end_well() {
    let events = [vec![role_chunk(), chunk("hello")], vec![last_chunks().remove(0)]].concat();
    for first in [Act::EventsThenCut(events.clone()), Act::EventsThenStall(events.clone())] {
        let (world, _providers) = World::of(vec![vec![first]]).await;
        let (text, failure) = read_stream(world.ask(&streamed()).await.unwrap()).await;
        assert_eq!((text, failure), (events.concat(), None));
    }
}

#[tokio::test]
async fn a_caller_who_leaves_a_stream_takes_the_providers_stream_along() {
    let (mut world, providers) =
        World::of(vec![vec![Act::EventsThenStall(vec![role_chunk(), chunk("hel")])]]).await;
    world.plan.timeouts = Timeouts::default();
    let answer = world.ask(&streamed()).await.unwrap();
    let target = &world.plan.targets[0];
    let health = world.live.health(&target.target, &target.upstream_model).unwrap();
    assert_eq!(health.latency.in_flight(), 1);
    drop(answer);
    timeout(SOON, providers[0].left()).await.unwrap();
    assert_eq!(health.latency.in_flight(), 0);
}

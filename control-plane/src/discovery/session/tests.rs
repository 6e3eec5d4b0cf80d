//! Promises of the session, as conversations without a network.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use lifecycle::Clock;
use proto::Phase;

use super::*;
use crate::discovery::offer::FRAME;

const START_MS: u64 = 1_760_000_000_000;

/// A session and the proxy's side of it: what arrived, put together and checked.
struct Table {
    clock: Clock,
    session: Session,
    proxy: Proxy,
}

#[derive(Default)]
struct Proxy {
    offer: Option<proto::Offer>,
    frames: Vec<proto::Frame>,
    said: Vec<String>,
    bodies: HashMap<String, Vec<u8>>,
}

impl Proxy {
    fn read(&mut self, message: Said) {
        let text = match message {
            Said::Welcome(welcome) => format!("welcome {}", welcome.group),
            Said::Heartbeat(heartbeat) => format!("heartbeat {}", heartbeat.head),
            Said::Goodbye(goodbye) => format!("goodbye {}", goodbye.reconnect_after_ms),
            Said::Offer(offer) => {
                assert!(self.offer.is_none(), "an offer began before the last one was complete");
                let force = if offer.force { " by force" } else { "" };
                let text = format!("offer {} in {} frames{force}", offer.version, offer.frames);
                self.offer = Some(offer);
                text
            }
            Said::Frame(frame) => {
                assert!(frame.chunk.len() <= FRAME);
                let body = self.bodies.entry(frame.digest.clone()).or_default();
                if frame.offset == 0 {
                    body.clear();
                }
                assert_eq!(body.len() as u64, frame.offset, "frames of a body come in order");
                body.extend_from_slice(&frame.chunk);
                self.frames.push(frame);
                return;
            }
            Said::Activate(activate) => self.activate(&activate),
        };
        self.said.push(text);
    }

    fn activate(&mut self, activate: &proto::Activate) -> String {
        let offer = self.offer.take().expect("an activation follows an offer");
        assert_eq!((offer.version, &offer.digest), (activate.version, &activate.digest));
        assert_eq!(offer.frames as usize, self.frames.len());
        let mut sent: Vec<String> = Vec::new();
        for frame in self.frames.drain(..) {
            if sent.last() != Some(&frame.digest) {
                sent.push(frame.digest.clone());
            }
            let body = &self.bodies[&frame.digest];
            assert_eq!(body.len() as u64, frame.total);
            assert_eq!(Digest::of(body).to_string(), frame.digest);
        }
        let names: Vec<String> = sent
            .iter()
            .map(
                |digest| {
                    if *digest == offer.digest { "manifest".to_owned() } else { text(&self.bodies[digest]) }
                },
            )
            .collect();
        format!("activate {} after [{}]", activate.version, names.join(" "))
    }
}

fn text(body: &[u8]) -> String {
    if body.len() > 20 { format!("{} bytes", body.len()) } else { String::from_utf8(body.to_vec()).unwrap() }
}

fn identity() -> Arc<Identity> {
    Arc::new(Identity {
        store_id: "store-1".into(),
        server_id: "server-1".into(),
        key_pepper: Bytes::from_static(b"pepper"),
    })
}

fn version(version: u64, bodies: &[&str]) -> Arc<Published> {
    let bodies: Vec<Bytes> = bodies.iter().map(|body| Bytes::from((*body).to_owned())).collect();
    of_bodies(version, &bodies)
}

fn of_bodies(version: u64, bodies: &[Bytes]) -> Arc<Published> {
    let parts: Vec<(Digest, Bytes)> = bodies.iter().map(|body| (Digest::of(body), body.clone())).collect();
    let listed: Vec<String> = parts.iter().map(|(digest, _body)| digest.to_string()).collect();
    let manifest = Bytes::from(listed.join("\n"));
    Arc::new(Published::new(version, Digest::of(&manifest), manifest, parts))
}

fn hello() -> proto::Hello {
    proto::Hello {
        proxy_id: "p1".into(),
        boot_id: "b1".into(),
        build: "0.1.0".into(),
        group: "default".into(),
        ..proto::Hello::default()
    }
}

fn holding(published: &Published, bodies: &[&str]) -> proto::Hello {
    proto::Hello {
        held: Some(proto::Held { version: published.version, digest: published.digest.to_string() }),
        store_id: "store-1".into(),
        blobs: bodies.iter().map(|body| Digest::of(body.as_bytes()).to_string()).collect(),
        ..hello()
    }
}

fn status(published: &Published, phase: Phase, codes: &[&str]) -> Heard {
    let diagnostic =
        |code: &&str| proto::Diagnostic { code: (*code).to_owned(), ..proto::Diagnostic::default() };
    Heard::Status(proto::Status {
        version: published.version,
        digest: published.digest.to_string(),
        phase: phase.into(),
        took_us: 7,
        diagnostics: codes.iter().map(diagnostic).collect(),
    })
}

impl Table {
    fn new() -> Self {
        let clock = Clock::manual(START_MS);
        let session = Session::new(identity(), None, Moment::of(&clock));
        Self { clock, session, proxy: Proxy::default() }
    }

    fn with(hello: proto::Hello) -> Self {
        let mut table = Self::new();
        let effect = table.hear(Heard::Hello(hello));
        assert!(matches!(effect, Some(Effect::Join(_))), "{effect:?}");
        table
    }

    fn hear(&mut self, message: Heard) -> Option<Effect> {
        self.session.hear(proto::SyncRequest { message: Some(message) }, Moment::of(&self.clock))
    }

    fn publish(&mut self, published: &Arc<Published>) -> Option<Effect> {
        self.session.publish(Some(Arc::clone(published)))
    }

    /// Lets the proxy read one message.
    fn read_one(&mut self) -> bool {
        if self.session.wants_permit() {
            self.session.permit();
        }
        match self.session.next(Moment::of(&self.clock)).unwrap() {
            Some(said) => {
                self.proxy.read(said.message.unwrap());
                true
            }
            None => false,
        }
    }

    /// Lets the proxy read all there is, and tells what came since the last time.
    fn read(&mut self) -> Vec<String> {
        while self.read_one() {}
        std::mem::take(&mut self.proxy.said)
    }

    fn entry(&self) -> &FleetEntry {
        self.session.entry().unwrap()
    }
}

#[test]
fn a_new_proxy_is_welcomed_and_gets_the_whole_version_in_the_manifest_s_order() {
    let mut table = Table::with(hello());
    assert_eq!(table.read(), ["welcome default"]);
    table.publish(&version(1, &["a", "b", "c"]));
    assert_eq!(table.read(), ["offer 1 in 4 frames", "activate 1 after [manifest a b c]"]);
}

#[test]
fn a_proxy_that_holds_the_newest_digest_gets_no_data() {
    let newest = version(3, &["a", "b"]);
    let mut table = Table::with(holding(&newest, &["a", "b"]));
    table.publish(&newest);
    assert_eq!(table.read(), ["welcome default"]);
    assert_eq!((table.entry().version, table.entry().phase), (Some(3), ProxyPhase::Active));
}

#[test]
fn an_equal_digest_under_a_higher_version_is_announced_without_data() {
    let held = version(3, &["a", "b"]);
    let mut table = Table::with(holding(&held, &["a", "b"]));
    let newer = version(4, &["a", "b"]);
    table.publish(&newer);
    assert_eq!(table.read(), ["welcome default", "offer 4 in 0 frames", "activate 4 after []"]);
    table.hear(status(&newer, Phase::Active, &[]));
    assert_eq!(table.entry().version, Some(4));

    table.publish(&version(5, &["a", "b", "c"]));
    assert_eq!(table.read(), ["offer 5 in 2 frames", "activate 5 after [manifest c]"]);
}

#[test]
fn only_bodies_that_the_proxy_lacks_are_sent() {
    let held = version(3, &["a", "b"]);
    let mut table = Table::with(holding(&held, &["a", "b"]));
    let newer = version(4, &["a", "x", "b"]);
    table.publish(&newer);
    assert_eq!(table.read(), ["welcome default", "offer 4 in 2 frames", "activate 4 after [manifest x]"]);

    table.hear(status(&newer, Phase::Active, &[]));
    table.publish(&version(5, &["a", "y", "b", "x"]));
    assert_eq!(table.read(), ["offer 5 in 2 frames", "activate 5 after [manifest y]"]);
}

#[test]
fn bodies_of_a_version_that_was_refused_are_not_sent_again() {
    let mut table = Table::with(hello());
    let good = version(1, &["a"]);
    table.publish(&good);
    table.read();
    table.hear(status(&good, Phase::Active, &[]));
    let bad = version(2, &["a", "b", "bad"]);
    table.publish(&bad);
    table.read();
    table.hear(status(&bad, Phase::Rejected, &["does_not_compile"]));
    table.publish(&version(3, &["a", "b", "good"]));
    assert_eq!(table.read(), ["offer 3 in 2 frames", "activate 3 after [manifest good]"]);
}

#[test]
fn a_body_without_bytes_is_one_empty_frame_and_a_repeated_body_is_sent_once() {
    let mut table = Table::with(hello());
    table.publish(&version(1, &["", "a", "a"]));
    assert_eq!(table.read(), ["welcome default", "offer 1 in 3 frames", "activate 1 after [manifest  a]"]);
}

#[test]
fn large_bodies_are_cut_into_frames_of_sixteen_kibibytes() {
    let mut table = Table::with(hello());
    table.publish(&of_bodies(1, &[Bytes::from(vec![b'x'; FRAME]), Bytes::from(vec![b'y'; FRAME * 2 + 1])]));
    assert_eq!(
        table.read(),
        ["welcome default", "offer 1 in 5 frames", "activate 1 after [manifest 16384 bytes 32769 bytes]"]
    );
}

#[test]
fn a_slow_proxy_finishes_what_it_reads_and_then_gets_the_newest_alone() {
    let mut table = Table::with(hello());
    table.publish(&version(1, &["a", "b"]));
    assert!(table.read_one() && table.read_one() && table.read_one());
    for number in 2..50 {
        table.publish(&version(number, &["a", "b", &number.to_string()]));
    }
    assert_eq!(
        table.read(),
        [
            "welcome default",
            "offer 1 in 3 frames",
            "activate 1 after [manifest a b]",
            "offer 49 in 2 frames",
            "activate 49 after [manifest 49]"
        ]
    );
}

#[test]
fn heartbeats_come_between_frames_and_never_pile_up() {
    let mut table = Table::with(hello());
    table.publish(&version(1, &["a", "b"]));
    assert!(table.read_one() && table.read_one());
    for _beat in 0..3 {
        table.clock.advance(HEARTBEAT);
        table.session.tick(Moment::of(&table.clock));
    }
    assert_eq!(
        table.read(),
        ["welcome default", "offer 1 in 3 frames", "heartbeat 1", "activate 1 after [manifest a b]"]
    );
}

#[test]
fn what_a_proxy_does_with_a_version_shows_in_the_fleet() {
    let mut table = Table::with(hello());
    let first = version(1, &["a"]);
    table.publish(&first);
    table.read();
    for (phase, shown, active) in [
        (Phase::Received, ProxyPhase::Received, None),
        (Phase::Staged, ProxyPhase::Staged, None),
        (Phase::Active, ProxyPhase::Active, Some(1)),
    ] {
        assert_eq!(table.hear(status(&first, phase, &[])), Some(Effect::Changed));
        assert_eq!((table.entry().phase, table.entry().version), (shown, active));
    }
    // Said again, it changes nothing.
    assert_eq!(table.hear(status(&first, Phase::Active, &[])), None);

    let second = version(2, &["b"]);
    table.publish(&second);
    table.read();
    table.clock.advance(Duration::from_secs(1));
    table.hear(status(&second, Phase::Rejected, &["unknown_field"]));
    let entry = table.entry();
    assert_eq!(
        (entry.phase, entry.version, entry.since_ms),
        (ProxyPhase::Rejected, Some(1), START_MS + 1_000)
    );
    let refusal = entry.last_refusal.as_ref().unwrap();
    assert_eq!(
        (refusal.version, refusal.reverted, refusal.diagnostics[0].code.as_str()),
        (2, false, "unknown_field")
    );
}

#[test]
fn a_refused_digest_is_not_offered_again_until_a_person_commits_it_again() {
    let mut table = Table::with(hello());
    let good = version(1, &["a"]);
    table.publish(&good);
    table.read();
    table.hear(status(&good, Phase::Active, &[]));
    let bad = version(2, &["b"]);
    table.publish(&bad);
    assert_eq!(
        table.read(),
        [
            "welcome default",
            "offer 1 in 2 frames",
            "activate 1 after [manifest a]",
            "offer 2 in 2 frames",
            "activate 2 after [manifest b]"
        ][3..]
    );
    table.hear(status(&bad, Phase::Reverted, &["crashed"]));
    assert!(table.entry().last_refusal.as_ref().unwrap().reverted);
    table.publish(&bad);
    assert_eq!(table.read(), Vec::<String>::new());

    table.publish(&version(3, &["b"]));
    assert_eq!(table.read(), ["offer 3 in 1 frames by force", "activate 3 after [manifest]"]);
}

#[test]
fn a_body_that_is_missing_all_the_same_leads_to_everything_once() {
    let held = version(1, &["a", "b"]);
    let mut table = Table::with(holding(&held, &["a", "b"]));
    let newest = version(2, &["a", "b", "c"]);
    table.publish(&newest);
    table.read();
    table.hear(status(&newest, Phase::Rejected, &["missing_body"]));
    assert_eq!(table.read(), ["offer 2 in 4 frames", "activate 2 after [manifest a b c]"]);
    table.hear(status(&newest, Phase::Rejected, &["missing_body"]));
    assert_eq!(table.read(), Vec::<String>::new());
}

#[test]
fn a_proxy_ahead_of_the_store_keeps_what_it_has_and_shows() {
    let held = version(9, &["a"]);
    let mut table = Table::with(holding(&held, &["a"]));
    let effect = table.publish(&version(4, &["b"]));
    assert_eq!(effect, Some(Effect::Changed));
    assert_eq!(table.read(), ["welcome default"]);
    assert!(table.entry().problem.as_ref().unwrap().starts_with("store_regression"));

    // The store has caught up: another control plane was ahead of this one.
    assert_eq!(table.publish(&version(10, &["b"])), Some(Effect::Changed));
    assert_eq!(table.entry().problem, None);
    assert_eq!(table.read(), ["offer 10 in 2 frames", "activate 10 after [manifest b]"]);
}

#[test]
fn what_comes_from_another_store_shows_until_something_of_ours_is_active() {
    let held = version(9, &["a"]);
    let mut table = Table::with(proto::Hello { store_id: "store-0".into(), ..holding(&held, &["a"]) });
    assert!(table.entry().problem.as_ref().unwrap().starts_with("store_changed"));
    let ours = version(2, &["a", "b"]);
    table.publish(&ours);
    assert_eq!(table.read(), ["welcome default", "offer 2 in 2 frames", "activate 2 after [manifest b]"]);
    table.hear(status(&ours, Phase::Active, &[]));
    assert_eq!((table.entry().problem.as_deref(), table.entry().version), (None, Some(2)));
}

#[test]
fn reports_that_cannot_be_are_shown_and_otherwise_ignored() {
    let mut table = Table::with(hello());
    let newest = version(2, &["a"]);
    table.publish(&newest);
    table.read();
    for (report, shown) in [
        (status(&version(77, &["a"]), Phase::Active, &[]), "unknown_version"),
        (status(&version(2, &["other"]), Phase::Active, &[]), "digest_mismatch"),
        (
            Heard::Status(proto::Status { version: 2, digest: "?".into(), phase: 3, ..Default::default() }),
            "cannot be understood",
        ),
        (
            Heard::Status(proto::Status { version: 2, phase: 99, ..Default::default() }),
            "cannot be understood",
        ),
    ] {
        table.hear(report);
        assert!(table.entry().problem.as_ref().unwrap().contains(shown), "{:?}", table.entry().problem);
        assert_eq!(table.entry().version, None);
    }
    table.hear(status(&newest, Phase::Active, &[]));
    assert_eq!((table.entry().version, table.entry().problem.as_deref()), (Some(2), None));
}

#[test]
fn a_flood_of_diagnostics_is_bounded() {
    let mut table = Table::with(hello());
    let newest = version(1, &["a"]);
    table.publish(&newest);
    let endless = proto::Diagnostic { message: "ß".repeat(100_000), ..proto::Diagnostic::default() };
    table.hear(Heard::Status(proto::Status {
        version: 1,
        digest: newest.digest.to_string(),
        phase: Phase::Rejected.into(),
        took_us: 0,
        diagnostics: vec![endless; 1_000],
    }));
    assert!(serde_json::to_vec(table.entry()).unwrap().len() < 16 * 1024);
}

#[test]
fn a_stream_that_does_not_keep_to_the_conversation_is_ended() {
    let mut table = Table::new();
    let end = |ending| Some(Effect::End(ending));
    assert_eq!(table.hear(Heard::Pulse(proto::Pulse::default())), end(Ending::NoHello));
    let mut table = Table::new();
    let nothing = proto::SyncRequest { message: None };
    assert_eq!(table.session.hear(nothing, Moment::of(&table.clock)), end(Ending::Garbage));
    let mut table = Table::with(hello());
    assert_eq!(table.hear(Heard::Hello(hello())), end(Ending::SecondHello));
    let mut table = Table::new();
    table.clock.advance(HELLO_WITHIN);
    assert_eq!(table.session.tick(Moment::of(&table.clock)), end(Ending::HelloTooLate));
}

#[test]
fn an_unusable_hello_says_what_is_wrong() {
    let too_many = vec!["0".repeat(64); policy::limits::RESOURCES + 1];
    for (hello, reason) in [
        (proto::Hello { proxy_id: String::new(), ..hello() }, "proxy_id"),
        (proto::Hello { proxy_id: "a/b".into(), ..hello() }, "proxy_id"),
        (proto::Hello { boot_id: "x".repeat(129), ..hello() }, "boot_id"),
        (proto::Hello { group: "no such name".into(), ..hello() }, "group"),
        (
            proto::Hello { held: Some(proto::Held { version: 1, digest: "ab".into() }), ..hello() },
            "held.digest",
        ),
        (proto::Hello { blobs: vec!["zz".into()], ..hello() }, "blobs"),
        (proto::Hello { blobs: too_many, ..hello() }, "50001 digests"),
    ] {
        let mut table = Table::new();
        let effect = table.hear(Heard::Hello(hello));
        let Some(Effect::End(ending @ Ending::BadHello(_))) = &effect else { panic!("{effect:?}") };
        assert!(ending.to_string().contains(reason), "{ending}");
    }
}

#[test]
fn the_certificate_decides_the_group_and_an_empty_one_is_default() {
    let clock = Clock::manual(START_MS);
    let mut session = Session::new(identity(), Some("eu".parse().unwrap()), Moment::of(&clock));
    let asked =
        proto::SyncRequest { message: Some(Heard::Hello(proto::Hello { group: "us".into(), ..hello() })) };
    assert_eq!(session.hear(asked, Moment::of(&clock)), Some(Effect::Join("eu".parse().unwrap())));
    let mut table = Table::with(proto::Hello { group: String::new(), ..hello() });
    assert_eq!(table.read(), ["welcome default"]);
}

#[test]
fn a_silent_proxy_loses_its_stream_and_a_pulsing_one_does_not() {
    let mut table = Table::with(hello());
    for _pulse in 0..20 {
        table.clock.advance(Duration::from_secs(10));
        assert_eq!(table.session.tick(Moment::of(&table.clock)), None);
        assert_eq!(
            table.hear(Heard::Pulse(proto::Pulse { inflight: 3, ..Default::default() })),
            Some(Effect::Pulsed)
        );
    }
    assert_eq!(table.entry().inflight, 3);
    table.clock.advance(SILENCE);
    assert_eq!(table.session.tick(Moment::of(&table.clock)), Some(Effect::End(Ending::Silent)));
}

#[test]
fn the_goodbye_interrupts_an_offer_and_is_the_last_word() {
    let mut table = Table::with(hello());
    table.publish(&version(1, &["a", "b"]));
    assert!(table.read_one() && table.read_one());
    table.session.drain(1_234);
    assert!(table.read_one());
    assert_eq!(table.proxy.said.last().unwrap(), "goodbye 1234");
    assert_eq!(table.session.next(Moment::of(&table.clock)), Err(Ending::Goodbye));
}

#[test]
fn a_large_offer_waits_for_its_permit_while_heartbeats_pass() {
    let mut table = Table::with(hello());
    table.read();
    table.publish(&of_bodies(1, &[Bytes::from(vec![0; 300 * 1024])]));
    let now = Moment::of(&table.clock);
    assert_eq!(table.session.next(now), Ok(None));
    assert!(table.session.wants_permit() && !table.session.holds_permit());
    table.clock.advance(HEARTBEAT);
    table.session.tick(Moment::of(&table.clock));
    assert!(matches!(
        table.session.next(now),
        Ok(Some(proto::SyncResponse { message: Some(Said::Heartbeat(_)) }))
    ));

    table.session.permit();
    assert!(!table.session.wants_permit() && table.session.holds_permit());
    assert_eq!(table.read().last().unwrap(), "activate 1 after [manifest 307200 bytes]");
    assert!(!table.session.holds_permit());
}

mod random {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Publish(Vec<u8>),
        Read(u8),
        Answer(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            proptest::collection::vec(0_u8..8, 0..5).prop_map(Step::Publish),
            (1_u8..6).prop_map(Step::Read),
            any::<bool>().prop_map(Step::Answer),
        ]
    }

    proptest! {
        /// Whatever is published, however slowly it is read, whatever is refused: in the end the proxy has been offered
        /// the newest version and has every body of it.
        #[test]
        fn a_proxy_that_reads_on_ends_with_every_body_of_the_newest_version(steps in proptest::collection::vec(step(), 1..60)) {
            let mut table = Table::with(hello());
            let mut versions: HashMap<u64, Arc<Published>> = HashMap::new();
            let mut answered = 0;
            for (number, step) in (1..).zip(steps) {
                match step {
                    Step::Publish(names) => {
                        let names: Vec<String> = names.iter().map(|name| format!("body-{name}")).collect();
                        let names: Vec<&str> = names.iter().map(String::as_str).collect();
                        let published = version(number, &names);
                        versions.insert(number, Arc::clone(&published));
                        table.publish(&published);
                    }
                    Step::Read(count) => for _message in 0..count { table.read_one(); },
                    Step::Answer(is_good) => {
                        let offered = table.session.joined.as_ref().unwrap().offered.clone();
                        if let Some(offered) = offered.filter(|offered| offered.version > answered) {
                            answered = offered.version;
                            table.proxy.keep_only(&table.session, is_good, &offered);
                            let phase = if is_good { Phase::Active } else { Phase::Rejected };
                            table.hear(status(&offered, phase, &["refused"]));
                        }
                    }
                }
            }
            table.read();
            if let Some(newest) = versions.keys().max().map(|number| &versions[number]) {
                let joined = table.session.joined.as_ref().unwrap();
                prop_assert_eq!(joined.offered.as_ref().map(|offered| offered.version), Some(newest.version));
                for digest in newest.bodies.keys() {
                    prop_assert!(table.proxy.bodies.contains_key(&digest.to_string()));
                }
            }
        }
    }

    impl Proxy {
        /// Forgets all that a proxy need not keep: it keeps what is active and what was offered last.
        fn keep_only(&mut self, session: &Session, is_good: bool, offered: &Published) {
            let joined = session.joined.as_ref().unwrap();
            let mut kept: HashSet<String> = offered.bodies.keys().map(ToString::to_string).collect();
            if let Some(active) = joined.bodies.active.as_ref().filter(|_active| !is_good) {
                kept.extend(active.bodies.keys().map(ToString::to_string));
            }
            let in_transit: HashSet<String> = self.frames.iter().map(|frame| frame.digest.clone()).collect();
            self.bodies.retain(|digest, _body| kept.contains(digest) || in_transit.contains(digest));
        }
    }
}

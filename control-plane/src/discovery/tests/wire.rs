//! Promises over real loopback connections.

use std::time::Instant;

use futures_util::future::join_all;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::fake::{channel, hello};
use super::*;

#[tokio::test]
async fn a_proxy_connects_gets_the_version_and_its_acknowledgement_shows_in_the_fleet() {
    let world = World::start_with(1, &[10, 20_000]).await;
    let address = world.listen().await;
    let mut proxy = FakeProxy::dial(address, hello("p1")).await;
    let Said::Welcome(welcome) = proxy.hear().await else { panic!("welcome comes first") };
    assert_eq!((welcome.store_id.as_str(), welcome.group.as_str()), ("store-1", "default"));
    assert_eq!(welcome.key_pepper, b"pepper");

    assert_eq!(proxy.activated().await, 1);
    proxy.acknowledge(Phase::Active).await;
    world.fleet_shows("p1", |entry| entry.version == Some(1) && entry.phase == ProxyPhase::Active).await;

    world.publish(2);
    assert_eq!(proxy.activated().await, 2);
    // The manifest and the one model that changed.
    assert_eq!(proxy.frames, 2);
    proxy.acknowledge(Phase::Rejected).await;
    world.fleet_shows("p1", |entry| entry.phase == ProxyPhase::Rejected && entry.version == Some(1)).await;
    let refusal = world.fleet.list()[0].last_refusal.clone().unwrap();
    assert_eq!((refusal.version, refusal.diagnostics[0].code.as_str()), (2, "test"));
    assert_eq!(world.fleet.enforcement(2).refused, ["p1"]);
}

#[tokio::test]
async fn a_proxy_that_comes_back_with_the_newest_digest_gets_no_data() {
    let world = World::start(1).await;
    let address = world.listen().await;
    let mut first = FakeProxy::dial(address, hello("p1")).await;
    first.activated().await;
    let offer = first.offers[0].clone();
    drop(first);

    let held = proto::Held { version: 1, digest: offer.digest };
    let blobs = vec![];
    let again = proto::Hello { held: Some(held), blobs, store_id: "store-1".into(), ..hello("p1") };
    let mut second = FakeProxy::dial(address, again).await;
    assert!(matches!(second.hear().await, Said::Welcome(_)));
    world.fleet_shows("p1", |entry| entry.connected && entry.version == Some(1)).await;
    assert!(timeout(Duration::from_millis(200), second.hear()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_skips_versions_and_ends_with_the_newest() {
    let world = World::start_with(1, &[19_000; 60]).await;
    let address = world.listen().await;
    let mut slow = FakeProxy::dial_with_window(address, hello("slow"), 65_535).await;
    let mut quick = FakeProxy::dial(address, hello("quick")).await;
    quick.activated().await;
    // The slow one has read nothing yet; meanwhile nine versions pass it.
    for version in 2..=10 {
        world.publish(version);
        while quick.activated().await < version {}
    }
    while slow.activated().await < 10 {}
    assert!(slow.offers.len() <= 3, "{} offers", slow.offers.len());
    assert_eq!(quick.offers.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_proxies_activate_a_commit_together() {
    let world = World::start_with(1, &[1_000; 100]).await;
    let address = world.listen().await;
    let dialled = (0..100).map(|number| FakeProxy::dial(address, hello(&format!("p{number}"))));
    let mut proxies = join_all(dialled).await;
    activate(&mut proxies, 1).await;
    let began = now();
    world.publish(2);
    activate(&mut proxies, 2).await;
    println!("a commit is active on 100 proxies after {:?}", began.elapsed());
    while !world.fleet.enforcement(2).is_everywhere() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.fleet.enforcement(2).enforcing.len(), 100);
    assert!(proxies.iter().all(|proxy| proxy.frames == 2));
}

async fn activate(proxies: &mut [FakeProxy], version: u64) {
    join_all(proxies.iter_mut().map(|proxy| async move {
        while proxy.activated().await < version {}
        proxy.acknowledge(Phase::Active).await;
    }))
    .await;
}

#[expect(clippy::disallowed_methods, reason = "the test measures")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_resources_go_through_in_frames_and_a_change_of_one_costs_one() {
    let world = World::start_with(1, &[100; 20_000]).await;
    let address = world.listen().await;
    let mut proxy = FakeProxy::dial(address, hello("p1")).await;
    let began = now();
    assert_eq!(proxy.activated().await, 1);
    println!("20,000 resources in {} frames after {:?}", proxy.frames, began.elapsed());
    assert!(proxy.frames > 20_000);
    proxy.acknowledge(Phase::Active).await;
    world.fleet_shows("p1", |entry| entry.version == Some(1)).await;

    let began = now();
    world.publish(2);
    assert_eq!(proxy.activated().await, 2);
    println!("one of them changed after {:?} (parsing included)", began.elapsed());
    let manifest_frames = u32::try_from(proxy.offers[1].manifest_bytes.div_ceil(16 * 1024)).unwrap();
    assert_eq!(proxy.frames, manifest_frames + 1);
}

#[tokio::test]
async fn bytes_that_are_no_message_end_the_stream_and_leave_the_others_alone() {
    let world = World::start(1).await;
    let address = world.listen().await;
    let mut good = FakeProxy::dial(address, hello("good")).await;
    good.activated().await;

    for garbage in [&b"\xff\xff\xff\xff\xff\xff"[..], b"GET / HTTP/1.1\r\n\r\n", &[0_u8; 300], &[0x0a; 40]] {
        let mut client = tonic::client::Grpc::new(channel(address, 65_535).await);
        client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/frontdoor.v1.ControlPlane/Sync");
        let once = tonic::Request::new(tokio_stream::once(Bytes::copy_from_slice(garbage)));
        let mut answers = client.streaming(once, path, RawCodec).await.unwrap().into_inner();
        let status = answers.message().await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    world.publish(2);
    assert_eq!(good.activated().await, 2);
    assert_eq!(world.fleet.list().len(), 1);
}

/// Sends and receives bytes as they are.
#[derive(Debug, Clone, Copy)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put(buffer, item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = bytes::Buf::remaining(buffer);
        Ok(Some(bytes::Buf::copy_to_bytes(buffer, length)))
    }
}

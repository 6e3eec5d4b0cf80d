//! The control plane goes away, processes restart, disks fill: calls go on and nothing is counted twice.

use frontdoor_tests::World;
use serde_json::json;

#[tokio::test]
async fn without_the_control_plane_a_restarted_proxy_serves_from_its_last_good_version() {
    let mut world = World::open().await;
    let key = world.key("first-app").await;
    world.chat(&key, "demo").await.expect(200);
    let version = world.head().await;

    world.stop_control_plane().await;
    world.chat(&key, "demo").await.expect(200);
    world.stop_proxy(0).await;
    world.start_proxy(0).await;
    for _ in 0..3 {
        let answer = world.chat(&key, "demo").await.expect(200);
        assert_eq!(answer.header("x-frontdoor-policy-version"), version.to_string());
    }

    // Back again: what was spooled arrives, each call once.
    world.start_control_plane().await;
    let rows = world.usage("model", 5).await;
    assert_eq!(rows[0]["model"], "demo", "{rows:?}");
    // And once more after another restart of both.
    world.stop_proxy(0).await;
    world.stop_control_plane().await;
    world.start_control_plane().await;
    world.start_proxy(0).await;
    world.enforced(version).await;
    world.chat(&key, "demo").await.expect(200);
    world.usage("model", 6).await;
}

#[tokio::test]
async fn a_change_made_while_a_proxy_was_away_reaches_it_when_it_returns() {
    let mut world = World::open().await;
    let key = world.key("first-app").await;
    world.stop_proxy(0).await;
    let moved = "kind: Model\nname: demo\nspec: {targets: [{provider: sim-anthropic, model: sim-claude}], max_output_tokens: 100}\n";
    let version = world.apply(moved).await;
    world.start_proxy(0).await;
    world.enforced(version).await;
    assert_eq!(world.chat(&key, "demo").await.expect(200).header("x-frontdoor-provider"), "sim-anthropic");
}

#[tokio::test]
async fn a_corrupt_last_good_version_is_told_and_the_one_before_it_serves() {
    // The first proxy shows when the key is published, so that the second one begins with a version that has it.
    let mut world = World::without_policy(None, 1).await;
    world.apply(frontdoor_tests::world::POLICY).await;
    let key = world.key("first-app").await;
    world.proxies.push(None);
    world.start_proxy(1).await;
    acked(&world, world.head().await).await;
    let version =
        world.apply("kind: Consumer\nname: other\nspec: {organisation: o, team: t, models: [demo]}\n").await;
    acked(&world, version).await;
    world.stop_proxy(1).await;
    world.stop_control_plane().await;
    let mut corrupted = 0;
    for entry in frontdoor_tests::files(&world.proxy_directory(1)) {
        if entry.to_string_lossy().contains("pending") {
            let mut bytes = std::fs::read(&entry).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            std::fs::write(&entry, bytes).unwrap();
            corrupted += 1;
        }
    }
    assert_eq!(corrupted, 1, "the newest version is pending for its first minute");
    world.start_proxy(1).await;
    let url = format!("{}/v1/chat/completions", world.url_of(1));
    let body = serde_json::json!({"model": "demo", "messages": [{"role": "user", "content": "Hello"}]});
    let bearer = format!("Bearer {key}");
    let answer = world.http.post(&url, &[("authorization", &bearer)], &body).await.expect(200);
    let served: u64 = answer.header("x-frontdoor-policy-version").parse().unwrap();
    assert!(served < version, "{served} is a version before {version}");
    // Back in touch it catches up.
    world.start_control_plane().await;
    world.enforced(version).await;
}

/// Waits until the fleet has heard that the version is active on every proxy, which is after it was saved.
async fn acked(world: &World, version: u64) {
    frontdoor_tests::eventually("the version to be acked", || async {
        let fleet = world.admin_get("/v1/fleet").await.json();
        let items = fleet["items"].as_array().expect("a list");
        let running = world.proxies.iter().flatten().count();
        let is_acked = items.len() == running && items.iter().all(|proxy| proxy["version"] == version);
        if is_acked { Ok(()) } else { Err(fleet.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_proxy_without_any_policy_says_so_and_becomes_ready_with_the_first() {
    let world = World::without_policy(None, 1).await;
    let refused = world.chat("fd_x", "demo").await;
    assert!(matches!(refused.status, 401 | 503), "{}", refused.text());
    let version = world.apply(frontdoor_tests::world::POLICY).await;
    world.enforced(version).await;
    world.http.get(&format!("{}/readyz", world.ops()), &[]).await.expect(200);
    let key = world.key("first-app").await;
    world.chat(&key, "demo").await.expect(200);
}

#[tokio::test]
async fn a_call_under_way_ends_well_when_the_proxy_stops() {
    let mut world = World::open().await;
    let key = world.key("first-app").await;
    let url = format!("{}/v1/chat/completions", world.url());
    let bearer = format!("Bearer {key}");
    let http = world.http.clone();
    let body = json!({"model": "sim-gpt@latency_ms=800", "messages": [{"role": "user", "content": "Hello"}]});
    let pattern = "kind: Model\nname: sim-gpt@*\nspec: {targets: [{provider: sim-openai, model: sim-gpt@latency_ms=800}]}\n";
    let version = world.apply(pattern).await;
    world.enforced(version).await;
    let headers = [("authorization", bearer.as_str())];
    let call = http.post(&url, &headers, &body);
    let stop = async {
        let seen = format!("{}/__simulator/requests", world.simulator_url());
        frontdoor_tests::eventually("the call to arrive", || async {
            let reply = http.get(&seen, &[]).await;
            if reply.text().contains("Hello") { Ok(()) } else { Err(reply.text()) }
        })
        .await;
        world.stop_proxy(0).await;
    };
    let (answer, ()) = tokio::join!(call, stop);
    answer.expect(200);
}

//! The same on a real etcd, and two control planes on one.

use frontdoor_tests::{Frontdoor, World, child::ANY_PORT, etcd::Etcd, run_cli, world::POLICY};
use serde_json::json;

#[tokio::test]
async fn on_etcd_everything_is_the_same() {
    let etcd = Etcd::start().await;
    let mut world = World::without_policy(Some(etcd.store()), 1).await;
    let version = world.apply(POLICY).await;
    world.enforced(version).await;
    let key = world.key("first-app").await;
    assert_eq!(world.chat(&key, "demo").await.expect(200).header("x-frontdoor-provider"), "sim-openai");

    let moved = "kind: Model\nname: demo\nspec: {targets: [{provider: sim-anthropic, model: sim-claude}], max_output_tokens: 100}\n";
    let version = world.apply(moved).await;
    world.enforced(version).await;
    assert_eq!(world.chat(&key, "demo").await.expect(200).header("x-frontdoor-provider"), "sim-anthropic");
    let back = world
        .admin_post("/v1/rollback", &json!({"version": version - 1, "message": "back"}))
        .await
        .expect(200);
    world.enforced(back.json()["version"].as_u64().unwrap()).await;
    assert_eq!(world.chat(&key, "demo").await.expect(200).header("x-frontdoor-provider"), "sim-openai");
    assert_eq!(world.admin_get("/v1/verify").await.expect(200).json()["intact"], true);

    world.stop_control_plane().await;
    world.chat(&key, "demo").await.expect(200);
    world.start_control_plane().await;
    world.usage("model", 4).await;
}

#[tokio::test]
async fn two_control_planes_on_one_etcd_serve_different_proxies_the_same_versions() {
    let etcd = Etcd::start().await;
    let one = World::without_policy(Some(etcd.store()), 1).await;
    let two = World::without_policy(Some(etcd.store()), 1).await;
    let version = one.apply(POLICY).await;
    one.enforced(version).await;
    two.enforced(version).await;
    let key = two.key("first-app").await;
    one.enforced(two.head().await).await;
    let (first, second) =
        (one.chat(&key, "demo").await.expect(200), two.chat(&key, "demo").await.expect(200));
    assert_eq!(first.header("x-frontdoor-policy-version"), second.header("x-frontdoor-policy-version"));
    let digest = |world: &World| {
        let url = format!("{}/policy", world.ops());
        let http = world.http.clone();
        async move { http.get(&url, &[]).await.json()["digest"].clone() }
    };
    assert_eq!(digest(&one).await, digest(&two).await);

    // A change through the second is live on the first's proxy, and both list the whole fleet.
    let moved = "kind: Model\nname: demo\nspec: {targets: [{provider: sim-anthropic, model: sim-claude}], max_output_tokens: 100}\n";
    let version = two.apply(moved).await;
    one.enforced(version).await;
    assert_eq!(one.chat(&key, "demo").await.expect(200).header("x-frontdoor-provider"), "sim-anthropic");
    for world in [&one, &two] {
        frontdoor_tests::eventually("both proxies in the fleet", || async {
            let fleet = world.admin_get("/v1/fleet").await.expect(200).json();
            let versions: Vec<_> =
                fleet["items"].as_array().unwrap().iter().map(|proxy| &proxy["version"]).collect();
            if versions == [&json!(version), &json!(version)] { Ok(()) } else { Err(fleet.to_string()) }
        })
        .await;
    }
}

#[tokio::test]
async fn changes_through_two_control_planes_at_once_are_all_in_one_history() {
    let etcd = Etcd::start().await;
    let one = World::without_policy(Some(etcd.store()), 0).await;
    let two = World::without_policy(Some(etcd.store()), 0).await;
    let consumer = |name: String| {
        format!("kind: Consumer\nname: {name}\nspec: {{organisation: o, team: t, models: ['*']}}\n")
    };
    for round in 0..10 {
        let (first, second) = (consumer(format!("a-{round}")), consumer(format!("b-{round}")));
        let (first, second) = tokio::join!(one.apply(&first), two.apply(&second));
        assert_ne!(first, second);
    }
    let history = one.admin_get("/v1/history?limit=100").await.expect(200).json();
    let versions: Vec<u64> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|commit| commit["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, (1..=20).rev().collect::<Vec<_>>());
    assert_eq!(one.admin_get("/v1/verify").await.expect(200).json()["intact"], true);
}

#[tokio::test]
async fn up_runs_on_etcd() {
    let etcd = Etcd::start().await;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("state");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_frontdoor-under-test"));
    let store = etcd.store();
    let up = Frontdoor::up(program, &data, ANY_PORT.iter().copied().chain(["--store", &store])).unwrap();
    let admin = up.text("/admin");
    let output = run_cli(program, ["history", "--server", &admin, "--data", data.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(data.join("admin-token").exists() && !data.join("store.db").exists());
}

#[tokio::test]
async fn up_moves_from_sqlite_to_etcd_and_back_in_one_directory() {
    let etcd = Etcd::start().await;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("state");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_frontdoor-under-test"));
    let simulator = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut ports = ANY_PORT.to_vec();
    *ports.last_mut().unwrap() = &simulator;
    let store = etcd.store();
    for arguments in [&[][..], &["--store", &store], &[], &["--store", &store]] {
        let up = Frontdoor::up(program, &data, ports.iter().chain(arguments)).unwrap();
        let bearer = format!("Bearer {}", up.key());
        let url = format!("{}/v1/chat/completions", up.proxy());
        let body = json!({"model": "demo", "messages": [{"role": "user", "content": "Hello"}]});
        let http = frontdoor_tests::Http::default();
        http.post(&url, &[("authorization", &bearer)], &body).await.expect(200);
        let history = ["history", "--server", &up.text("/admin"), "--data", data.to_str().unwrap()];
        assert!(
            run_cli(program, history).status.success(),
            "the token in the directory works with either store"
        );
        assert_eq!(up.stop(), Some(0));
    }
}

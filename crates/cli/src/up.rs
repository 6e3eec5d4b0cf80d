//! `frontdoor up`: control plane, proxies and the simulated providers in one process, ready for the first call.
//!
//! It sets them up exactly as a person would: the policy through the admin API, the key through the admin API, the proxies
//! over gRPC. There is no second way in.

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use lifecycle::{Clock, LogFormat, StopReason, Tasks, Tracer};
use serde_json::{Value, json};

use crate::{
    client::AdminClient,
    documents,
    error::CliError,
    output::{Format, Out, cell, items},
    settings::{Global, Up},
    starter,
    verbs::{self, Proposal},
};

/// How long a stop waits for calls that are under way.
const GRACE: Duration = Duration::from_secs(20);
/// How long the first version may take to reach the proxies.
const FIRST_VERSION: Duration = Duration::from_secs(30);

/// Runs until Ctrl-C or SIGTERM, then drains.
pub async fn run(settings: Up, global: &Global, out: &mut Out) -> Result<(), CliError> {
    let telemetry =
        lifecycle::telemetry::init("frontdoor", LogFormat::Text, "warn", settings.otlp_endpoint.as_deref())
            .map_err(|error| CliError::refused(error.to_string()))?;
    let tasks = Tasks::new();
    let house = House::open(&settings, global, &tasks, telemetry.tracer()).await?;
    // Before anybody is told that it runs: whoever reads the welcome may stop it at once.
    let signal = lifecycle::signals::shutdown()
        .map_err(|error| CliError::refused(format!("signals cannot be received: {error}")))?;
    let welcome = house.welcome();
    match out.format() {
        // One line, so that a script can read it while the process goes on.
        Format::Json => out.line(&welcome.to_string())?,
        Format::Table | Format::Yaml => {
            out.show(&welcome, |out, welcome| greeting(out, welcome, &global.data))?
        }
    }
    let reason = tokio::select! {
        signal = signal => StopReason::Signal(signal),
        reason = house.control_plane.until_stopped() => {
            reason.map_err(|error| CliError::refused(format!("signals cannot be received: {error}")))?
        }
        end = tasks.critical_end() => StopReason::Critical(end),
    };
    house.close(&tasks).await;
    telemetry.finish().await;
    match reason {
        StopReason::Signal(_) => Ok(()),
        StopReason::Critical(end) => Err(CliError::refused(end.to_string())),
    }
}

/// Everything that `up` started, in the order in which it has to be stopped.
struct House {
    proxies: Vec<proxy::Running>,
    control_plane: control_plane::Running,
    simulator: simulator::Running,
    key: String,
    /// A model to try.
    model: String,
}

impl House {
    async fn open(
        settings: &Up,
        global: &Global,
        tasks: &Tasks,
        tracer: Option<Tracer>,
    ) -> Result<Self, CliError> {
        make_private(&global.data)?;
        let clock = Clock::system();
        let simulator = start_simulator(settings, tasks).await?;
        let control_plane = start_control_plane(settings, global, clock.clone()).await?;
        let admin = admin_of(settings, global, &control_plane)?;
        set_policy(settings, &admin, simulator.addr).await?;
        let key = first_key(&admin, &global.data).await?;
        let mut proxies = Vec::new();
        for index in 0..settings.proxies {
            let proxy_settings = proxy::Settings {
                listen: shifted(settings.listen, index),
                ops_listen: shifted(settings.ops_listen, index),
                control_plane: format!("http://{}", control_plane.grpc_addr),
                // A proxy stays with the store it knows: each store's proxies have a place of their own.
                data: global.data.join("proxies").join(&control_plane.store_id).join(index.to_string()),
                tracer: tracer.clone(),
                ..proxy::Settings::default()
            };
            let started = proxy::start(proxy_settings, clock.clone()).await;
            proxies.push(started.map_err(|error| CliError::refused(format!("proxy {index}: {error:#}")))?);
        }
        let model = model_to_try(&admin).await?;
        let house = Self { proxies, control_plane, simulator, key, model };
        until_enforced(&admin, house.proxies.len()).await?;
        Ok(house)
    }

    fn welcome(&self) -> Value {
        let proxies = self.proxies.iter().map(|proxy| {
            json!({"url": format!("http://{}", proxy.data_addr), "ops": format!("http://{}", proxy.ops_addr)})
        });
        json!({
            "proxies": proxies.collect::<Vec<_>>(),
            "admin": format!("http://{}", self.control_plane.admin_addr),
            "grpc": format!("http://{}", self.control_plane.grpc_addr),
            "simulator": format!("http://{}", self.simulator.addr),
            "key": self.key,
            "model": self.model,
        })
    }

    /// Callers first, so that their calls end while everything behind them still works.
    async fn close(self, tasks: &Tasks) {
        for proxy in self.proxies {
            proxy.shutdown().await;
        }
        self.control_plane.shutdown().await;
        if let Err(still) = tasks.shutdown(GRACE).await {
            tracing::warn!(?still, "stopped without waiting for these any longer");
        }
    }
}

/// What a new user reads: where everything is, and a call that works.
fn greeting(out: &Out, welcome: &Value, data: &Path) -> String {
    let mut text = format!("\n{}\n\n", out.strong("Frontdoor is open."));
    for proxy in items(welcome, "/proxies") {
        text.push_str(&format!(
            "  proxy      {}/v1   (health and metrics: {})\n",
            cell(proxy, "/url"),
            cell(proxy, "/ops")
        ));
    }
    text.push_str(&format!("  admin API  {}\n", cell(welcome, "/admin")));
    text.push_str(&format!("  proxies connect to  {}\n", cell(welcome, "/grpc")));
    text.push_str(&format!("  simulated providers {}\n", cell(welcome, "/simulator")));
    text.push_str(&format!(
        "  state      {}   (admin token: {})\n",
        data.display(),
        data.join("admin-token").display()
    ));
    let key = cell(welcome, "/key");
    text.push_str(&format!("  key        {}\n\nTry it:\n\n", out.strong(&key)));
    let (url, model) = (cell(welcome, "/proxies/0/url"), cell(welcome, "/model"));
    text.push_str(&format!(
        "  curl {url}/v1/chat/completions -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\\n    \
         -d '{{\"model\": \"{model}\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'\n\n"
    ));
    text.push_str("Ctrl-C stops it; the next `frontdoor up` goes on from here.\n");
    text
}

async fn start_simulator(settings: &Up, tasks: &Tasks) -> Result<simulator::Running, CliError> {
    let settings =
        simulator::Settings { listen: settings.simulator_listen, ..simulator::Settings::default() };
    simulator::start(settings, tasks)
        .await
        .map_err(|error| CliError::refused(format!("the simulator: {error:#}")))
}

async fn start_control_plane(
    settings: &Up,
    global: &Global,
    clock: Clock,
) -> Result<control_plane::Running, CliError> {
    let plane = control_plane::Settings {
        admin_listen: settings.admin_listen,
        grpc_listen: settings.grpc_listen,
        store: settings.store.clone(),
        admin_token: settings.admin_token.clone(),
        ..control_plane::Settings::ephemeral(global.data.clone())
    };
    control_plane::start(plane, clock)
        .await
        .map_err(|error| CliError::refused(format!("the control plane: {error:#}")))
}

/// Two ports higher for each further proxy; port 0 stays "any".
fn shifted(address: SocketAddr, index: u16) -> SocketAddr {
    let mut address = address;
    if address.port() != 0 {
        address.set_port(address.port().saturating_add(index.saturating_mul(2)));
    }
    address
}

/// A directory only its owner reads: it holds tokens.
fn make_private(data: &Path) -> Result<(), CliError> {
    use std::os::unix::fs::DirBuilderExt;

    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(|error| {
        CliError::refused(format!(
            "the data directory {} cannot be made: {error}; --data names another",
            data.display()
        ))
    })
}

fn admin_of(
    settings: &Up,
    global: &Global,
    running: &control_plane::Running,
) -> Result<AdminClient, CliError> {
    let global =
        Global { server: format!("http://{}", running.admin_addr), server_ca: None, ..global.clone() };
    let made = running.admin_token.as_deref().map(str::parse).transpose();
    let made = made.map_err(|error| CliError::refused(format!("the token that was made: {error}")))?;
    match settings.admin_token.clone().or(made) {
        Some(token) => AdminClient::with_token(&global, token),
        None => AdminClient::new(&global),
    }
}

/// The starter policy on a new store. Files named on the command line always, and nothing beside them but the keys of the
/// applications they have (no difference makes no version).
async fn set_policy(settings: &Up, admin: &AdminClient, simulator: SocketAddr) -> Result<(), CliError> {
    if !settings.policy.is_empty() {
        let documents = documents::read(&settings.policy)?;
        let delete = not_in(&documents, &verbs::all_resources(admin, "").await?);
        let proposal = Proposal { delete, ..Proposal::of(&documents, "the policy given to frontdoor up") };
        verbs::change(admin, proposal).await?;
        return Ok(());
    }
    let history = admin.get("/v1/history?limit=1").await?;
    if !items(&history, "/items").is_empty() {
        return Ok(());
    }
    let mut documents = Vec::new();
    for (name, text) in starter::documents(simulator, &settings.providers) {
        let parsed = policy::parse_located(name, &text).map_err(|diagnostics| CliError::Refused {
            message: "the starter policy has problems".to_owned(),
            diagnostics,
        })?;
        documents.extend(parsed);
    }
    verbs::change(admin, Proposal::of(&documents, "the starter policy of frontdoor up")).await?;
    Ok(())
}

/// What is there but not in the documents, as `{kind, name}`. A key stays as long as its application does.
fn not_in(documents: &[policy::Parsed], present: &[Value]) -> Vec<Value> {
    let wanted: HashSet<String> =
        documents.iter().map(|document| document.resource.id().to_string()).collect();
    let is_wanted = |resource: &Value| match cell(resource, "/kind").as_str() {
        "Key" => wanted.contains(&format!("Consumer/{}", cell(resource, "/spec/consumer"))),
        kind => wanted.contains(&format!("{kind}/{}", cell(resource, "/name"))),
    };
    let unwanted = present.iter().filter(|resource| !is_wanted(resource));
    unwanted
        .map(|resource| json!({"kind": cell(resource, "/kind"), "name": cell(resource, "/name")}))
        .collect()
}

/// `demo` of the starter policy, else the first model that chats and whose name is no pattern.
async fn model_to_try(admin: &AdminClient) -> Result<String, CliError> {
    let models = verbs::all_resources(admin, "kind=Model").await?;
    let chats = |model: &&Value| {
        let capabilities = items(model, "/spec/capabilities");
        capabilities.is_empty() || capabilities.iter().any(|capability| capability == "chat")
    };
    let names: Vec<String> = models.iter().filter(chats).map(|model| cell(model, "/name")).collect();
    let named = names.iter().find(|name| *name == "demo").or(names.iter().find(|name| !name.contains('*')));
    Ok(named.or(names.first()).cloned().unwrap_or_else(|| "MODEL".to_owned()))
}

/// The key of the last time when it still works, else a new one for the first application.
async fn first_key(admin: &AdminClient, data: &Path) -> Result<String, CliError> {
    let path = data.join("first-key");
    if let Some(key) = kept_key(admin, &path).await? {
        return Ok(key);
    }
    let consumers = admin.get("/v1/resources?kind=Consumer").await?;
    let Some(consumer) = items(&consumers, "/items").first().map(|consumer| cell(consumer, "/name")) else {
        return Err(CliError::refused(
            "the policy has no Consumer, so nobody could call: add one (examples/starter.yaml shows how)",
        ));
    };
    let made = verbs::create_key(admin, &consumer, "made by frontdoor up").await?;
    keep(&path, &json!({"id": cell(&made, "/id"), "key": cell(&made, "/key")}))?;
    Ok(cell(&made, "/key"))
}

async fn kept_key(admin: &AdminClient, path: &Path) -> Result<Option<String>, CliError> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(None) };
    let Ok(kept) = serde_json::from_str::<Value>(&text) else { return Ok(None) };
    let keys = verbs::all_keys(admin).await?;
    let works = keys.iter().any(|key| {
        cell(key, "/id") == cell(&kept, "/id") && key.pointer("/revoked") != Some(&Value::Bool(true))
    });
    Ok(works.then(|| cell(&kept, "/key")))
}

fn keep(path: &PathBuf, kept: &Value) -> Result<(), CliError> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};

    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| writeln!(file, "{kept}"))
        .map_err(|error| CliError::refused(format!("{} cannot be written: {error}", path.display())))
}

/// Waits until every proxy of this process enforces the head, so that the printed `curl` line works at once.
async fn until_enforced(admin: &AdminClient, proxies: usize) -> Result<(), CliError> {
    let looked = tokio::time::timeout(FIRST_VERSION, async {
        loop {
            let fleet = admin.get("/v1/fleet").await?;
            let head = fleet.pointer("/head").cloned().unwrap_or_default();
            let ready = items(&fleet, "/items").iter().filter(|proxy| {
                proxy.pointer("/connected") == Some(&Value::Bool(true))
                    && proxy.pointer("/version") == Some(&head)
            });
            if ready.count() >= proxies {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    looked.await.unwrap_or_else(|_elapsed| {
        Err(CliError::refused("the proxies did not take up the policy in time; `frontdoor fleet` says why"))
    })
}

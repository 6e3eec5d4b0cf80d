//! What each verb asks of the admin API, and how its answer reads as a table.

mod audit;
mod change;
mod explain;
mod fleet;
mod history;
mod keys;
mod resources;
mod usage;

pub(crate) use change::{Proposal, change};
pub(crate) use resources::all as all_resources;
use serde_json::Value;

use crate::{
    client::AdminClient,
    error::CliError,
    output::Out,
    settings::{Audit, Global, Verb},
};

/// Performs one verb that needs a runtime.
pub(crate) async fn perform(verb: Verb, global: &Global, out: &mut Out) -> Result<(), CliError> {
    match verb {
        Verb::Up(settings) => crate::up::run(*settings, global, out).await,
        Verb::Simulate(settings) => simulate(settings).await,
        Verb::Audit(Audit::Verify { file: Some(file) }) => audit::verify_file(out, &file),
        verb => talk(verb, &AdminClient::new(global)?, out).await,
    }
}

async fn talk(verb: Verb, client: &AdminClient, out: &mut Out) -> Result<(), CliError> {
    match verb {
        Verb::Apply(apply) => change::apply(client, out, &apply).await,
        Verb::Delete { kind, name, message } => change::delete(client, out, kind, &name, message).await,
        Verb::Diff(diff) => change::diff(client, out, &diff).await,
        Verb::Rollback { version, message } => change::rollback(client, out, version, &message).await,
        Verb::Get { kind, name } => resources::get(client, out, kind, name.as_deref()).await,
        Verb::History { kind, name, limit } => history::list(client, out, kind, name.as_deref(), limit).await,
        Verb::Show { version } => history::show(client, out, version).await,
        Verb::Fleet => fleet::show(client, out).await,
        Verb::Key(key) => keys::perform(client, out, key).await,
        Verb::Usage(usage) => usage::show(client, out, &usage).await,
        Verb::Explain { request_id } => explain::show(client, out, &request_id).await,
        Verb::Audit(audit) => audit::perform(client, out, audit).await,
        Verb::Up(_)
        | Verb::ControlPlane(_)
        | Verb::Proxy(_)
        | Verb::Simulate(_)
        | Verb::Schema { .. }
        | Verb::Completions { .. } => {
            Err(CliError::Usage("this verb does not talk to a control plane".to_owned()))
        }
    }
}

/// `frontdoor schema KIND`: needs no control plane.
pub(crate) fn schema(out: &mut Out, kind: policy::Kind) -> Result<(), CliError> {
    let schema: Value = policy::json_schema(kind);
    out.show(&schema, |_, schema| format!("{schema:#}"))
}

/// Every key there is, for `up`.
pub(crate) async fn all_keys(client: &AdminClient) -> Result<Vec<Value>, CliError> {
    keys::all(client).await
}

/// A key with the server's defaults, for `up`.
pub(crate) async fn create_key(client: &AdminClient, consumer: &str, note: &str) -> Result<Value, CliError> {
    keys::create(client, consumer, None, Vec::new(), Some(note.to_owned())).await
}

async fn simulate(settings: simulator::Settings) -> Result<(), CliError> {
    simulator::run(settings).await.map_err(|error| CliError::refused(format!("{error:#}")))
}

//! What the command line and the environment say: every verb with its arguments. The only place in this crate that
//! reads the environment.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::output::Format;

/// The single front door to AI models: start it, change its policy, read its history.
#[derive(Debug, Parser)]
#[command(name = "frontdoor", version, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb that talks to the control plane takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The control plane's admin API.
    #[arg(
        long,
        global = true,
        env = "FRONTDOOR_SERVER",
        default_value = "http://127.0.0.1:7070",
        value_name = "URL"
    )]
    pub server: String,
    /// The admin token. Without it: the file `admin-token` in the data directory of `frontdoor up`.
    #[arg(long, global = true, env = "FRONTDOOR_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<control_plane::Secret>,
    /// Where `frontdoor up` keeps its state, and where its admin token is found.
    #[arg(
        long = "data",
        global = true,
        env = "FRONTDOOR_DATA",
        default_value = "./.frontdoor",
        value_name = "DIR"
    )]
    pub data: PathBuf,
    /// How answers are printed.
    #[arg(short = 'o', long = "output", global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Trust this certificate authority for an `https` server (PEM), instead of the public ones.
    #[arg(long = "server-ca", global = true, env = "FRONTDOOR_SERVER_CA", value_name = "FILE")]
    pub server_ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start everything on this machine: control plane, proxy, simulated providers.
    Up(Box<Up>),
    /// Start the control plane alone.
    ControlPlane(Box<control_plane::Process>),
    /// Start a proxy alone.
    Proxy(Box<proxy::Settings>),
    /// Start the simulated provider alone.
    Simulate(simulator::Settings),
    /// Change the policy: one atomic change, whatever the number of documents.
    Apply(Apply),
    /// Show resources, or one of them.
    Get { kind: policy::Kind, name: Option<String> },
    /// Delete a resource.
    Delete {
        kind: policy::Kind,
        name: String,
        /// Why, for the history.
        #[arg(short, long)]
        message: Option<String>,
    },
    /// Compare two versions, or files against the newest version.
    Diff(Diff),
    /// Show the versions of the policy, newest first, or only those that touched a resource.
    History {
        kind: Option<policy::Kind>,
        name: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show one version: who, when, why and what changed.
    Show { version: u64 },
    /// Make a new version with the content of an older one.
    Rollback {
        version: u64,
        /// Why, for the history.
        #[arg(short, long)]
        message: String,
    },
    /// Show which proxy runs which version, acked or refused and why.
    Fleet,
    /// Make, list and revoke callers' keys.
    #[command(subcommand)]
    Key(Key),
    /// Show calls, tokens and cost.
    Usage(Usage),
    /// Show why a call went where it went. The id is in the answer's `x-frontdoor-request-id` header.
    Explain { request_id: String },
    /// Check the history's hash chain.
    #[command(subcommand)]
    Audit(Audit),
    /// Print the JSON Schema of a kind.
    Schema { kind: policy::Kind },
    /// Print the completion script for a shell.
    Completions { shell: clap_complete::Shell },
}

/// `frontdoor up`.
#[derive(Debug, Args)]
pub struct Up {
    /// Use only this policy instead of the starter policy: one or several files; a directory stands for its files.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub policy: Vec<PathBuf>,
    /// How many proxies to start. Each further one listens two ports higher.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub proxies: u16,
    /// The first admin token, instead of a random one.
    #[arg(long, env = "FRONTDOOR_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub admin_token: Option<control_plane::Secret>,
    /// `sqlite:PATH`, `etcd:http://HOST:2379[,…]` or `memory:`. Without it: SQLite in the data directory.
    #[arg(long, env = "FRONTDOOR_STORE", value_name = "URL")]
    pub store: Option<String>,
    /// Where applications call the first proxy.
    #[arg(long, env = "FRONTDOOR_PROXY_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: std::net::SocketAddr,
    /// Health, readiness and metrics of the first proxy.
    #[arg(
        long,
        env = "FRONTDOOR_PROXY_OPS_LISTEN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDRESS"
    )]
    pub ops_listen: std::net::SocketAddr,
    /// The admin API.
    #[arg(long, env = "FRONTDOOR_ADMIN_LISTEN", default_value = "127.0.0.1:7070", value_name = "ADDRESS")]
    pub admin_listen: std::net::SocketAddr,
    /// Where proxies connect.
    #[arg(long, env = "FRONTDOOR_GRPC_LISTEN", default_value = "127.0.0.1:7071", value_name = "ADDRESS")]
    pub grpc_listen: std::net::SocketAddr,
    /// The simulated provider.
    #[arg(
        long,
        env = "FRONTDOOR_SIMULATOR_LISTEN",
        default_value = "127.0.0.1:9100",
        value_name = "ADDRESS"
    )]
    pub simulator_listen: std::net::SocketAddr,
    /// Export traces to this OpenTelemetry collector (gRPC).
    #[arg(long, env = "FRONTDOOR_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    #[command(flatten)]
    pub providers: ProviderKeys,
}

/// Which real providers the starter policy has. Only whether a key is there is looked at: the proxy reads the value.
#[derive(Debug, Args)]
pub struct ProviderKeys {
    #[arg(long, hide = true, env = "OPENAI_API_KEY", hide_env_values = true)]
    pub openai_api_key: Option<String>,
    #[arg(long, hide = true, env = "ANTHROPIC_API_KEY", hide_env_values = true)]
    pub anthropic_api_key: Option<String>,
    #[arg(long, hide = true, env = "GEMINI_API_KEY", hide_env_values = true)]
    pub gemini_api_key: Option<String>,
}

/// `frontdoor apply`.
#[derive(Debug, Args)]
pub struct Apply {
    /// YAML or JSON files, directories of them, or `-` for standard input.
    #[arg(short = 'f', long = "file", required = true, num_args = 1.., value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
    /// Check and show what would change, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Why, for the history.
    #[arg(short, long)]
    pub message: Option<String>,
}

/// `frontdoor diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// Compare these files with the newest version.
    #[arg(short = 'f', long = "file", num_args = 1.., value_name = "FILE|DIR|-", conflicts_with_all = ["from", "to"])]
    pub files: Vec<PathBuf>,
    /// The older version.
    #[arg(value_name = "V1", required_unless_present = "files", requires = "to")]
    pub from: Option<u64>,
    /// The newer version.
    #[arg(value_name = "V2")]
    pub to: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key for an application. It is shown once.
    Create {
        /// The Consumer resource the key belongs to.
        consumer: String,
        /// When it stops working, as an RFC 3339 time.
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// Narrow it to these models (names or patterns), separated by commas.
        #[arg(long, value_delimiter = ',', value_name = "MODEL,…")]
        models: Vec<String>,
        /// What it is for.
        #[arg(long)]
        note: Option<String>,
    },
    /// List the keys; never their values.
    List,
    /// Revoke a key by its id.
    Revoke { id: String },
}

/// `frontdoor usage`.
#[derive(Debug, Args)]
pub struct Usage {
    /// Group by these, separated by commas: organisation, team, application, key, model, provider, hour.
    #[arg(long, value_delimiter = ',', default_value = "team,model", value_name = "DIMENSION,…")]
    pub by: Vec<String>,
    /// From this time: RFC 3339, or an age such as `90m`, `24h`, `7d`.
    #[arg(long, value_name = "TIME|AGE")]
    pub since: Option<String>,
    /// Up to this time, likewise.
    #[arg(long, value_name = "TIME|AGE")]
    pub until: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Check that every version's hash covers the one before it: of the server, or of an exported file, offline.
    Verify {
        /// A file with one commit a line, oldest first, as `frontdoor audit export` writes it.
        file: Option<PathBuf>,
    },
    /// Write the whole history to standard output, one commit a line, oldest first.
    Export,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_verb_contradicts_another_or_the_global_flags() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_token_is_not_shown_by_debug() {
        let cli = Cli::try_parse_from(["frontdoor", "fleet", "--token", "fda_planted"]).unwrap();
        assert!(!format!("{cli:?}").contains("planted"));
    }

    #[test]
    fn one_flag_takes_as_many_files_as_a_shell_pattern_makes() {
        let files = |verb: &str, flag: &str| {
            let cli = Cli::try_parse_from(["frontdoor", verb, flag, "a.yaml", "b.yaml", "-o", "json"]);
            match cli.unwrap_or_else(|error| panic!("{error}")).verb {
                Verb::Apply(apply) => apply.files.len(),
                Verb::Diff(diff) => diff.files.len(),
                Verb::Up(up) => up.policy.len(),
                other => panic!("{other:?}"),
            }
        };
        for (verb, flag) in [("apply", "-f"), ("diff", "-f"), ("up", "--policy")] {
            assert_eq!(files(verb, flag), 2, "{verb} {flag}");
        }
    }
}

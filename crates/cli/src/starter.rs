//! The policy that `frontdoor up` begins with: the simulated providers, and the real ones whose keys are there.

use std::net::SocketAddr;

use crate::settings::ProviderKeys;

/// The same file that `examples/` shows; its address is replaced by the simulator's.
const STARTER: &str = include_str!("../../../examples/starter.yaml");
const STARTER_SIMULATOR: &str = "127.0.0.1:9100";

const OPENAI: &str = include_str!("../../../examples/providers/openai.yaml");
const ANTHROPIC: &str = include_str!("../../../examples/providers/anthropic.yaml");
const GEMINI: &str = include_str!("../../../examples/providers/gemini.yaml");

/// The starter policy as `(name, text)` documents.
pub(crate) fn documents(simulator: SocketAddr, keys: &ProviderKeys) -> Vec<(&'static str, String)> {
    let mut documents = vec![("starter.yaml", STARTER.replace(STARTER_SIMULATOR, &simulator.to_string()))];
    let real = [
        (&keys.openai_api_key, "openai.yaml", OPENAI),
        (&keys.anthropic_api_key, "anthropic.yaml", ANTHROPIC),
        (&keys.gemini_api_key, "gemini.yaml", GEMINI),
    ];
    for (key, name, text) in real {
        if key.as_deref().is_some_and(|key| !key.is_empty()) {
            documents.push((name, text.to_owned()));
        }
    }
    documents
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(openai: Option<&str>) -> ProviderKeys {
        ProviderKeys {
            openai_api_key: openai.map(str::to_owned),
            anthropic_api_key: None,
            gemini_api_key: None,
        }
    }

    #[test]
    fn the_starter_policy_names_the_simulator_where_it_listens() {
        let documents = documents("127.0.0.1:1234".parse().unwrap(), &keys(None));
        assert_eq!(documents.len(), 1);
        assert!(documents[0].1.contains("http://127.0.0.1:1234") && !documents[0].1.contains("9100"));
    }

    #[test]
    fn a_real_provider_is_there_only_with_its_key_and_the_key_is_not_written_down() {
        let simulator = "127.0.0.1:9100".parse().unwrap();
        assert_eq!(documents(simulator, &keys(Some(""))).len(), 1);
        let with = documents(simulator, &keys(Some("sk-planted")));
        assert_eq!(with.len(), 2);
        assert!(with.iter().all(|(_, text)| !text.contains("sk-planted")));
    }

    #[test]
    fn every_starter_document_parses() {
        let all = ProviderKeys {
            openai_api_key: Some("a".into()),
            anthropic_api_key: Some("b".into()),
            gemini_api_key: Some("c".into()),
        };
        for (name, text) in documents("127.0.0.1:9100".parse().unwrap(), &all) {
            policy::parse_documents(name, &text).unwrap();
        }
    }
}

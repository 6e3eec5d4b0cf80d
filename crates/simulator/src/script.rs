//! The script: which calls get which behaviour, and how many times. It must not know what a behaviour does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::behaviour::Behaviour;

/// Rules in order; the first that matches and has times left decides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// In order.
    pub rules: Vec<Rule>,
}

/// Which calls behave how. What is left out matches everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// The model asked for, without its `@…`; a `*` at the end stands for any rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The path, with or without `/v1`: as it came, or as the ledger names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The key in `authorization: Bearer`, `x-api-key`, `api-key`, `x-goog-api-key` or `?key=`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// How many calls the rule is for; without it, every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// What to do with them.
    pub behaviour: Behaviour,
}

impl Script {
    /// Reads and checks a script in JSON: `{"rules": [{"model": "sim-gpt", "times": 2, "behaviour": {"status": 503}}]}`.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let script: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        for (position, rule) in script.rules.iter().enumerate() {
            rule.behaviour.check().map_err(|reason| format!("rules[{position}]: {reason}"))?;
        }
        Ok(script)
    }
}

impl Rule {
    /// A call without a model, such as a list, is only for rules that name its path.
    fn matches(&self, paths: [&str; 2], model: &str, api_key: Option<&str>) -> bool {
        let is_path =
            |wanted: &str| paths.iter().any(|path| without_version(wanted) == without_version(path));
        self.times != Some(0)
            && self.model.as_deref().is_none_or(|pattern| is_match(pattern, model))
            && self.path.as_deref().map_or(!model.is_empty(), is_path)
            && self.api_key.as_deref().is_none_or(|wanted| api_key == Some(wanted))
    }
}

fn is_match(pattern: &str, model: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == model, |prefix| model.starts_with(prefix))
}

/// The path without its `/v1`, which some callers leave out.
fn without_version(path: &str) -> &str {
    path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

/// The script in force.
#[derive(Debug, Default)]
pub(crate) struct ScriptInForce(Mutex<Script>);

impl ScriptInForce {
    pub(crate) fn replace(&self, script: Script) {
        *self.lock() = script;
    }

    pub(crate) fn current(&self) -> Script {
        self.lock().clone()
    }

    /// The behaviour for one call, which uses up one of the rule's times.
    pub(crate) fn take(&self, paths: [&str; 2], model: &str, api_key: Option<&str>) -> Behaviour {
        let mut script = self.lock();
        let Some(rule) = script.rules.iter_mut().find(|rule| rule.matches(paths, model, api_key)) else {
            return Behaviour::default();
        };
        if let Some(times) = &mut rule.times {
            *times -= 1;
        }
        rule.behaviour.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_force(json: &str) -> ScriptInForce {
        let script = ScriptInForce::default();
        script.replace(Script::parse(json.as_bytes()).unwrap());
        script
    }

    #[test]
    fn a_rule_is_used_as_many_times_as_it_says() {
        let script = in_force(r#"{"rules":[{"times":2,"behaviour":{"status":503}}]}"#);
        let statuses: Vec<_> = (0..3).map(|_| script.take(["/v1/messages"; 2], "m", None).status).collect();
        assert_eq!(statuses, [Some(503), Some(503), None]);
    }

    #[test]
    fn model_path_and_key_must_all_match() {
        let script = in_force(
            r#"{"rules":[{"model":"sim-*","path":"/chat/completions","api_key":"k","behaviour":{"status":500}}]}"#,
        );
        assert_eq!(script.take(["/v1/chat/completions"; 2], "sim-gpt", Some("k")).status, Some(500));
        assert_eq!(script.take(["/v1/chat/completions"; 2], "gpt", Some("k")).status, None);
        assert_eq!(script.take(["/v1/messages"; 2], "sim-gpt", Some("k")).status, None);
        assert_eq!(script.take(["/v1/chat/completions"; 2], "sim-gpt", Some("other")).status, None);
        assert_eq!(script.take(["/v1/chat/completions"; 2], "sim-gpt", None).status, None);
    }

    #[test]
    fn a_script_with_an_unknown_key_is_refused() {
        let error = Script::parse(br#"{"rules":[{"modle":"x","behaviour":{}}]}"#).unwrap_err();
        assert!(error.contains("modle"), "{error}");
        let error = Script::parse(br#"{"rules":[{"behaviour":{"status":200}}]}"#).unwrap_err();
        assert!(error.starts_with("rules[0]:"), "{error}");
    }
}

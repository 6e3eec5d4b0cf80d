//! The verdict: what was promised, what was seen, and whether it holds.

/// One promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    what: String,
    promised: String,
    seen: String,
    pub(super) holds: bool,
}

/// There must be none.
pub(super) fn nothing(what: &str, seen: u64) -> Check {
    equal(what, 0, seen)
}

/// It must be exactly so many.
pub(super) fn equal(what: &str, promised: u64, seen: u64) -> Check {
    Check {
        what: what.to_owned(),
        promised: promised.to_string(),
        seen: seen.to_string(),
        holds: seen == promised,
    }
}

/// It must not have grown by more than is allowed from early to late. Nothing seen is no proof.
pub(super) fn growth(what: &str, ends: Option<(u64, u64)>, allowed: u64) -> Check {
    let (seen, holds) = match ends {
        Some((early, late)) => (format!("{early} → {late}"), late <= early + allowed),
        None => ("too short a run".to_owned(), false),
    };
    Check { what: what.to_owned(), promised: format!("at most +{allowed}"), seen, holds }
}

/// The checks as Markdown.
pub(super) fn render(checks: &[Check]) -> String {
    let mut text = String::from("| | promised | seen | |\n|---|---:|---:|---|\n");
    for Check { what, promised, seen, holds } in checks {
        let word = if *holds { "holds" } else { "BROKEN" };
        text.push_str(&format!("| {what} | {promised} | {seen} | {word} |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_holds_up_to_what_is_allowed() {
        assert!(growth("memory", Some((10, 18)), 8).holds);
        assert!(!growth("memory", Some((10, 19)), 8).holds);
        assert!(growth("memory", Some((10, 5)), 8).holds);
        assert!(!growth("memory", None, 8).holds);
    }

    #[test]
    fn a_broken_promise_stands_out() {
        let table = render(&[equal("calls in the ledger", 5, 4), nothing("records dropped", 0)]);
        assert!(table.contains("| calls in the ledger | 5 | 4 | BROKEN |"), "{table}");
        assert!(table.contains("| records dropped | 0 | 0 | holds |"), "{table}");
    }
}

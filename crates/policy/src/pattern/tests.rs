use proptest::prelude::*;

use super::{Pattern, Patterns};

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap()
}

#[test]
fn a_star_stands_for_the_rest_of_the_name() {
    assert_eq!(pattern("openai/*").star("openai/gpt-5"), Some("gpt-5"));
    assert_eq!(pattern("openai/*").star("openai/"), Some(""));
    assert_eq!(pattern("openai/*").star("anthropic/x"), None);
    assert_eq!(pattern("gpt-5").star("gpt-5"), None);
    assert!(pattern("gpt-5").matches("gpt-5"));
    assert!(!pattern("gpt-5").matches("gpt-5-mini"));
}

#[test]
fn two_stars_or_a_star_in_the_middle_are_refused() {
    for text in ["a*b*", "*a", "a*b", "**"] {
        assert!(text.parse::<Pattern>().unwrap_err().contains("at most one `*`"), "{text}");
    }
}

#[test]
fn overlap_is_found_whichever_is_longer() {
    assert!(pattern("gpt-*").overlaps(&pattern("gpt-5*")));
    assert!(pattern("gpt-5*").overlaps(&pattern("gpt-*")));
    assert!(pattern("gpt-*").overlaps(&pattern("gpt-5")));
    assert!(!pattern("gpt-*").overlaps(&pattern("claude-*")));
    assert!(!pattern("a").overlaps(&pattern("b")));
}

proptest! {
    #[test]
    fn a_pattern_matches_exactly_the_names_that_begin_like_it(stem in "[a-z][a-z0-9./-]{0,8}", name in "[a-z][a-z0-9./-]{0,12}") {
        prop_assert_eq!(pattern(&format!("{stem}*")).matches(&name), name.starts_with(&stem));
        prop_assert_eq!(pattern(&stem).matches(&name), name == stem);
        prop_assert!(Patterns::all().matches(&name));
    }

    #[test]
    fn overlapping_is_symmetric_and_follows_from_a_common_match(a in "[ab]{1,3}\\*?", b in "[ab]{1,3}\\*?", name in "[ab]{1,4}") {
        let (a, b) = (pattern(&a), pattern(&b));
        prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
        if a.matches(&name) && b.matches(&name) {
            prop_assert!(a.overlaps(&b));
        }
    }
}

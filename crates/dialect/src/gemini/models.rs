//! What Gemini models can do, as one table by name. It must not know calls.

/// How the amount of thinking is told to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thinks {
    /// It does not think, and refuses to be asked.
    Never,
    /// In words, the least first.
    Level(&'static [&'static str]),
    /// In tokens: the least and the most; `rests` when it can be turned off.
    Budget { least: u32, most: u32, rests: bool },
}

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ability {
    pub(crate) thinks: Thinks,
    /// It takes JSON Schema beside the older subset of OpenAPI.
    pub(crate) json_schema: bool,
    /// It refuses calls of tools in history that lack the seal it puts on them.
    pub(crate) wants_seals: bool,
    /// It sees images and documents inside results of tools.
    pub(crate) sees_results: bool,
}

const OLD: Ability =
    Ability { thinks: Thinks::Never, json_schema: false, wants_seals: false, sees_results: false };
const PLAIN: Ability = Ability { json_schema: true, ..OLD };
const UNKNOWN: Ability = PLAIN;

const fn budget(least: u32, most: u32, rests: bool) -> Ability {
    Ability { thinks: Thinks::Budget { least, most, rests }, ..PLAIN }
}

const fn level(words: &'static [&'static str]) -> Ability {
    Ability { thinks: Thinks::Level(words), json_schema: true, wants_seals: true, sees_results: true }
}

/// Names that begin so; the first line that fits wins.
const MODELS: &[(&str, Ability)] = &[
    ("gemini-1", OLD),
    ("gemini-2.0", PLAIN),
    ("gemini-2.5-flash-lite", budget(512, 24_576, true)),
    ("gemini-2.5-flash", budget(1, 24_576, true)),
    ("gemini-2.5-pro", budget(128, 32_768, false)),
    ("gemini-2.5-computer-use", budget(128, 32_768, false)),
    ("gemini-robotics-er-1.5", budget(1, 24_576, true)),
    ("gemini-3-pro", level(&["low", "high"])),
    ("gemini-3-flash", level(&["minimal", "low", "medium", "high"])),
    ("gemini-3.1-pro", level(&["low", "medium", "high"])),
    ("gemini-3.1-flash", level(&["minimal", "low", "medium", "high"])),
    // What a name without a number stands for changes; these words are known to each of them.
    ("gemini-pro-latest", level(&["low", "high"])),
    ("gemini-flash", level(&["low", "high"])),
    ("gemini-3", level(&["minimal", "low", "medium", "high", "xhigh"])),
    ("gemini-4", level(&["minimal", "low", "medium", "high", "xhigh"])),
];

/// Parts of names of models that make something else than words; none of them can be asked to think.
const OTHERS: &[&str] = &["-image", "-tts", "embedding", "-live", "-native-audio", "gemma", "learnlm"];

/// What a model can do; of an unknown one that reasons, how it is told can only be guessed.
pub(crate) fn ability(model: &str, reasons: Option<bool>) -> Ability {
    let name = model.rsplit('/').next().unwrap_or(model);
    let known = MODELS.iter().find(|(start, _)| name.starts_with(start)).map(|(_, ability)| *ability);
    let mut ability = match (known, reasons) {
        (Some(ability), _) => ability,
        // All models that think take a budget; newer ones for the sake of older callers.
        (None, Some(true)) => budget(1, 24_576, false),
        (None, _) => UNKNOWN,
    };
    if reasons == Some(false) || OTHERS.iter().any(|other| name.contains(other)) {
        ability.thinks = Thinks::Never;
    }
    ability
}

/// The words for an amount of thinking, the least first.
const WORDS: [&str; 6] = ["minimal", "low", "medium", "high", "xhigh", "max"];

/// How far up a word stands; nothing for a word that is not known.
pub(crate) fn rank(word: &str) -> Option<usize> {
    WORDS.iter().position(|known| *known == word)
}

/// The word of a budget, as Google's own table between the two has it.
pub(crate) fn word_of(budget: u32) -> &'static str {
    match budget {
        0 => "none",
        1..=1_024 => "low",
        1_025..=8_192 => "medium",
        _ => "high",
    }
}

/// The budget of a word, as Google's own table between the two has it; above it, all there is.
pub(crate) fn budget_of(word: &str, most: u32) -> u32 {
    match word {
        "minimal" | "low" => 1_024,
        "medium" => 8_192,
        "high" => 24_576,
        _ => most,
    }
}

/// The least level that is not below a word, or the highest there is.
pub(crate) fn level_of(word: &str, levels: &[&'static str]) -> Option<&'static str> {
    let wanted = rank(word)?;
    let enough = levels.iter().find(|level| rank(level).is_some_and(|rank| rank >= wanted));
    enough.or(levels.last()).copied()
}

#[cfg(test)]
mod tests {
    use super::{Thinks, ability, level_of};

    #[test]
    fn a_model_is_known_by_the_start_of_its_name_wherever_it_is_hosted() {
        assert_eq!(ability("gemini-2.0-flash", None).thinks, Thinks::Never);
        assert!(matches!(ability("models/gemini-2.5-flash-001", None).thinks, Thinks::Budget { .. }));
        assert!(matches!(ability("gemini-3-flash-preview", None).thinks, Thinks::Level(_)));
        assert!(!ability("gemini-1.5-pro", None).json_schema);
    }

    #[test]
    fn a_model_that_does_not_reason_is_never_asked_to_think() {
        for name in ["gemini-2.5-flash-image", "gemini-2.5-flash-preview-tts", "gemini-3-pro-image", "x"] {
            assert_eq!(ability(name, None).thinks, Thinks::Never, "{name}");
        }
        assert_eq!(ability("gemini-2.5-pro", Some(false)).thinks, Thinks::Never);
        assert!(matches!(ability("my-deployment", Some(true)).thinks, Thinks::Budget { .. }));
    }

    #[test]
    fn a_level_is_the_next_one_that_is_enough() {
        assert_eq!(level_of("medium", &["low", "high"]), Some("high"));
        assert_eq!(level_of("minimal", &["low", "high"]), Some("low"));
        assert_eq!(level_of("max", &["low", "high", "xhigh"]), Some("xhigh"));
        assert_eq!(level_of("much", &["low"]), None);
    }
}

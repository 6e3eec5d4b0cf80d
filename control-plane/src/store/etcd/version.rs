//! Which releases of etcd a policy may be entrusted to.

/// What to do about a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Fit,
    /// Works, and has known faults that a later patch repairs.
    Outdated(String),
    /// Loses data.
    Unsafe(String),
}

/// The first patch of each line without known faults that matter here.
const REPAIRED: [((u32, u32), u32); 3] = [((3, 4), 38), ((3, 5), 23), ((3, 6), 5)];

/// Judges a release by the version a member tells.
pub(super) fn judge(version: &str) -> Verdict {
    let Some((major, minor, patch)) = parse(version) else {
        return Verdict::Outdated(format!("etcd tells version `{version}`, which cannot be judged"));
    };
    if (major, minor) == (3, 5) && patch <= 2 {
        return Verdict::Unsafe(format!(
            "etcd {version} can lose and mix up data after a crash; upgrade it to 3.5.23 or later"
        ));
    }
    if (major, minor) < (3, 4) {
        return Verdict::Outdated(format!(
            "etcd {version} is no longer maintained; upgrade it to 3.5.23 or later"
        ));
    }
    match REPAIRED.iter().find(|(line, _)| *line == (major, minor)) {
        Some((_, repaired)) if patch < *repaired => Verdict::Outdated(format!(
            "etcd {version} has known faults; upgrade it to {major}.{minor}.{repaired} or later"
        )),
        Some(_) | None => Verdict::Fit,
    }
}

fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let release = version.split(['-', '+']).next()?;
    let mut numbers = release.split('.').map(|number| number.parse().ok());
    let parsed = (numbers.next()??, numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_that_lose_data_are_unsafe_and_their_neighbours_are_not() {
        for version in ["3.5.0", "3.5.1", "3.5.2", "3.5.2-rc.1"] {
            assert!(matches!(judge(version), Verdict::Unsafe(_)), "{version}");
        }
        for version in [
            "3.4.23", "3.4.37", "3.5.3", "3.5.22", "3.6.0", "3.6.4", "3.3.27", "2.3.8", "", "x", "3.5",
            "3.5.1.1",
        ] {
            assert!(matches!(judge(version), Verdict::Outdated(_)), "{version}");
        }
        for version in ["3.4.38", "3.5.23", "3.5.24+build", "3.6.5", "3.7.0", "4.0.0"] {
            assert_eq!(judge(version), Verdict::Fit, "{version}");
        }
    }
}

//! Did you mean.

/// Below this, two names have little in common but their first letters.
const ALIKE: f64 = 0.8;

/// The candidate that is most like this word, if one is like it at all.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_not_strangers() {
        let known = ["header", "idle", "body", "half_close", "linger"];
        for (slip, meant) in
            [("idel", "idle"), ("half-close", "half_close"), ("lingre", "linger"), ("HEADER", "header")]
        {
            assert_eq!(closest(slip, known), Some(meant));
        }
        assert_eq!(closest("keepalive", known), None);
        assert_eq!(closest("", known), None);
    }
}

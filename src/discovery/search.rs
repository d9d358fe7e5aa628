//! Where a name is looked for, as resolv.conf(5) has it (pure).

/// Domains to look in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Without a dot at their end, in this order.
    pub domains: Vec<String>,
    /// A name with so many dots is tried as it is before.
    pub ndots: usize,
}

impl Search {
    /// The absolute names that a name may stand for, in the order in which they are asked for. One that
    /// ends with a dot stands for itself.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let mut candidates: Vec<String> = self.domains.iter().map(|domain| within(name, domain)).collect();
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        let place = if dots >= self.ndots { 0 } else { candidates.len() };
        candidates.insert(place, name.to_owned());
        // A domain may lead to the same name again, and to none that is longer than names may be.
        let mut seen = Vec::new();
        candidates.retain(|candidate| {
            let fits = candidate.len() <= 253 && !seen.contains(candidate);
            seen.push(candidate.clone());
            fits
        });
        candidates
    }
}

fn within(name: &str, domain: &str) -> String {
    if domain.is_empty() { name.to_owned() } else { format!("{name}.{domain}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(domains: &[&str], ndots: usize) -> Search {
        Search { domains: domains.iter().map(|domain| (*domain).to_owned()).collect(), ndots }
    }

    /// What kubelet writes for a pod.
    const POD: [&str; 3] = ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"];

    #[test]
    fn few_dots_are_looked_for_in_the_domains_first() {
        assert_eq!(
            search(&POD, 5).candidates("app.default.svc"),
            [
                "app.default.svc.default.svc.cluster.local",
                "app.default.svc.svc.cluster.local",
                "app.default.svc.cluster.local",
                "app.default.svc",
            ]
        );
    }

    #[test]
    fn many_dots_are_asked_for_as_they_are_first() {
        assert_eq!(search(&["a", "b"], 1).candidates("x.y"), ["x.y", "x.y.a", "x.y.b"]);
        assert_eq!(search(&["a"], 1).candidates("x"), ["x.a", "x"]);
        assert_eq!(search(&["a"], 0).candidates("x"), ["x", "x.a"]);
    }

    #[test]
    fn a_dot_at_the_end_is_no_search() {
        assert_eq!(search(&POD, 5).candidates("app.example."), ["app.example"]);
    }

    #[test]
    fn nothing_is_asked_for_twice_or_too_long() {
        assert_eq!(search(&["", "a", "a"], 1).candidates("x"), ["x", "x.a"]);
        let long = "a".repeat(250);
        assert_eq!(search(&["b", "b.long.domain"], 1).candidates(&long), [format!("{long}.b"), long]);
    }
}

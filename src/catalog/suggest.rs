//! What somebody may have meant by a name that does not exist.

/// The candidate most like `name`, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + name.chars().count().max(candidate.chars().count()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Advice for a name that is none of `known`: the nearest one, and all there are.
pub fn advice(name: &str, known: &[&str]) -> String {
    let all = match known {
        [] => return String::new(),
        [only] => format!("there is only {only}"),
        [first @ .., last] => format!("there are {} and {last}", first.join(", ")),
    };
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"? {all}"),
        None => all,
    }
}

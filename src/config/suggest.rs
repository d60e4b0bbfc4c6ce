//! What to say about a key that does not exist: the one that was probably meant.

/// Words of `redis.conf`, `sentinel.conf` and common habit, and what they are called here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("down_after_milliseconds", "health.down_after"),
    ("failover_timeout", "failover.timeout"),
    ("maxclients", "sessions.max"),
    ("max_clients", "sessions.max"),
    ("threads", "workers"),
    ("user", "group.credentials.username"),
    ("bind", "listen.address"),
    ("servers", "group.nodes"),
    ("grace_period", "drain.timeout"),
];

/// Why `key` of `section` is a problem. `known` has every key path, without list positions.
pub(super) fn unknown_key(section: &str, key: &str, known: &[String]) -> String {
    let section = &super::problems::without_positions(section);
    let wanted = key.to_lowercase().replace('-', "_");
    if matches!(&*wanted, "password" | "auth_pass" | "requirepass" | "masterauth" | "token") {
        let keys =
            if section == "control" { "`token_file`" } else { "`password_file` or `password_env`" };
        return format!("is not a key that exists; secrets stay out of this file: write {keys}");
    }
    let mut text = "is not a key that exists".to_owned();
    let here = known.iter().filter(|it| parent(it) == *section);
    if let Some(near) = nearest(&wanted, here.map(|it| leaf(it))) {
        text.push_str(&format!("; did you mean `{near}`?"));
    } else if let Some((_, meant)) = ELSEWHERE.iter().find(|(word, _)| *word == wanted) {
        text.push_str(&format!("; did you mean `{meant}`?"));
    } else if let Some(path) = known.iter().find(|it| leaf(it) == wanted) {
        text.push_str(&format!("; did you mean `{path}`?"));
    } else if let Some(near) = nearest(&wanted, known.iter().map(|it| leaf(it))) {
        let path = known.iter().find(|it| leaf(it) == near).map_or(near, String::as_str);
        text.push_str(&format!("; did you mean `{path}`?"));
    } else {
        let here: Vec<_> = known.iter().filter(|it| parent(it) == *section).collect();
        let keys: Vec<_> = here.iter().map(|it| format!("`{}`", leaf(it))).collect();
        text.push_str(&format!("; the keys here are {}", keys.join(", ")));
    }
    text
}

/// The word of `words` that `wanted` is a slip of, if there is one.
pub(super) fn nearest<'a>(wanted: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    words
        .map(|word| (distance(wanted, word), word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

fn leaf(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, leaf)| leaf)
}

fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(parent, _)| parent)
}

/// How many letters must be put in, left out or replaced to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        for (y, cell) in b.chars().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal.saturating_add(usize::from(x != y));
            diagonal = *cell;
            left = replaced.min(left.min(*cell).saturating_add(1));
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i.saturating_add(1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_slips() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("ab", "", 2),
            ("interval", "interval", 0),
            ("intervall", "interval", 1),
            ("intreval", "interval", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn suggests_the_key_that_was_meant() {
        let known: Vec<_> = ["health", "health.interval", "health.down_after", "group.nodes.name"]
            .map(str::to_owned)
            .into();
        for (section, key, expected) in [
            ("health", "intervall", "; did you mean `interval`?"),
            ("health", "down-after", "; did you mean `down_after`?"),
            ("", "down_after", "; did you mean `health.down_after`?"),
            ("health", "down-after-milliseconds", "; did you mean `health.down_after`?"),
            ("group.nodes[3]", "nane", "; did you mean `name`?"),
            ("health", "colour", "; the keys here are `interval`, `down_after`"),
        ] {
            let text = unknown_key(section, key, &known);
            assert_eq!(text.strip_prefix("is not a key that exists"), Some(expected), "{key}");
        }
    }

    #[test]
    fn sends_secrets_elsewhere() {
        assert!(unknown_key("group.credentials", "password", &[]).contains("`password_file`"));
    }
}

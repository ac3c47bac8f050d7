//! Words of messages.

use std::fmt::Display;

/// A count with the words that belong to it: `1 pod is draining`, `2 pods are draining`.
#[must_use]
pub(crate) fn plural<N: Copy + Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let words = if count == N::from(1) { one } else { many };
    format!("{count} {words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let counted = [0, 1, 2].map(|count: i32| plural(count, "pod is draining", "pods are draining"));
        assert_eq!(counted, ["0 pods are draining", "1 pod is draining", "2 pods are draining"]);
    }
}

//! What is different between two texts: lines that go, and lines that come in their place.

/// Unchanged lines that are shown around.
const AROUND: usize = 3;

/// Lines of both, those that differ with `-` and `+` before them. Empty where nothing differs.
pub(super) fn diff(before: &[String], after: &[String]) -> Vec<String> {
    if before == after {
        return Vec::new();
    }
    let same = before.iter().zip(after).take_while(|(one, other)| one == other).count();
    let (old, new) = (&before[same..], &after[same..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(one, other)| one == other).count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
    let behind = &after[after.len() - tail..];
    let with = |sign: char, lines: &[String]| lines.iter().map(|line| format!("{sign} {line}")).collect::<Vec<_>>();
    [
        with(' ', &before[same.saturating_sub(AROUND)..same]),
        with('-', old),
        with('+', new),
        with(' ', &behind[..behind.len().min(AROUND)]),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(before: &str, after: &str) -> String {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        diff(&lines(before), &lines(after)).join("|")
    }

    #[test]
    fn what_differs_is_shown_with_what_is_around_it() {
        assert_eq!(differ("a b c", "a b c"), "");
        assert_eq!(differ("a b c d x e f g h", "a b c d y z e f g h"), "  b|  c|  d|- x|+ y|+ z|  e|  f|  g");
        assert_eq!(differ("a", "a a"), "  a|+ a");
        assert_eq!(differ("a a", "a"), "  a|- a");
        assert_eq!(differ("a", "b"), "- a|+ b");
        assert_eq!(diff(&[], &["a".to_owned()]), ["+ a"]);
    }
}

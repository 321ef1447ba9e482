//! The table of figures in the book: a row for each test that the book's lists name.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::Figures;

const BEGIN: &str = "<!-- figures begin: written by make faults, not by hand -->\n";
const END: &str = "<!-- figures end -->";
/// What stands around the lists.
const LISTS: [(&str, &str); 2] =
    [("<!-- quick begin -->\n", "<!-- quick end -->"), ("<!-- long begin -->\n", "<!-- long end -->")];
const HEAD: &str = "| scenario | took | records | ran twice | longest pause | letters | memory at most |\n|---|---|---|---|---|---|---|\n";

/// The page with these figures in its table, in the place of those that its tests had before. The others keep theirs, for as long as the lists of
/// the page name them.
///
/// # Errors
/// When the page has no place for it.
pub fn put_into(page: &str, figures: &BTreeMap<String, Figures>) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("no `{}`", BEGIN.trim()))?;
    let (table, after) = rest.split_once(END).with_context(|| format!("no `{END}`"))?;
    let known: BTreeMap<&str, &str> = table.lines().filter_map(|row| Some((name_of(row)?, row))).collect();
    let mut rows = String::new();
    for name in names(page)? {
        let row = match (figures.get(&name), known.get(name.as_str())) {
            (Some(figures), _) => row(&name, figures),
            (None, Some(row)) => (*row).to_owned(),
            (None, None) => continue,
        };
        rows += &row;
        rows.push('\n');
    }
    Ok(format!("{before}{BEGIN}{HEAD}{rows}{END}{after}"))
}

/// The tests that the lists of a page name, in order.
fn names(page: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (begin, end) in LISTS {
        let list = page.split_once(begin).and_then(|(_, rest)| rest.split_once(end));
        let (list, _) = list.with_context(|| format!("no list behind `{}`", begin.trim()))?;
        for line in list.lines() {
            let mut quoted = line.split('`').skip(1).step_by(2);
            let module = quoted.next().with_context(|| format!("no module in `{line}`"))?;
            names.extend(quoted.map(|name| format!("{module}::{name}")));
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn name_of(row: &str) -> Option<&str> {
    row.strip_prefix("| `")?.split_once('`').map(|(name, _)| name)
}

fn row(name: &str, figures: &Figures) -> String {
    let Figures { from_ms, to_ms, records, twice, pause_ms, letters, memory, is_brief } = *figures;
    let brief = if is_brief { ", brief" } else { "" };
    let memory = if memory == 0 { String::new() } else { format!("{} MiB", memory >> 20) };
    let cells = [
        seconds(to_ms.saturating_sub(from_ms)) + brief,
        thousands(records),
        thousands(twice),
        seconds(pause_ms),
        thousands(letters),
        memory,
    ];
    format!("| `{name}` | {} |", cells.join(" | "))
}

fn seconds(ms: u64) -> String {
    if ms < 10_000 { format!("{}.{} s", ms / 1_000, ms % 1_000 / 100) } else { format!("{} s", ms / 1_000) }
}

fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "<!-- quick begin -->\n- `stops`: `drains`, `hangs`\n<!-- quick end -->\n\
        <!-- long begin -->\n- `crashes`: `kill9`\n<!-- long end -->\n";

    fn page(rows: &str) -> String {
        format!("above\n{BEGIN}{rows}{END}\nbelow\n{LISTED}")
    }

    #[test]
    fn a_row_is_replaced_and_the_others_stay_while_they_are_listed() -> Result<()> {
        let rows = format!("{HEAD}| `gone::long_ago` | 1 |\n| `stops::drains` | old |\n| `stops::hangs` | old |\n");
        let figures = Figures {
            from_ms: 1_000,
            to_ms: 13_900,
            records: 1_234_567,
            twice: 0,
            pause_ms: 1_290,
            letters: 999,
            memory: 77 << 20,
            is_brief: false,
        };
        let brief = Figures { is_brief: true, ..figures };
        let new = BTreeMap::from([("stops::drains".to_owned(), figures), ("crashes::kill9".to_owned(), brief)]);
        let fresh = "1,234,567 | 0 | 1.2 s | 999 | 77 MiB |";
        let made = format!(
            "{HEAD}| `crashes::kill9` | 12 s, brief | {fresh}\n| `stops::drains` | 12 s | {fresh}\n| `stops::hangs` | old |\n"
        );
        assert_eq!(put_into(&page(&rows), &new)?, page(&made));
        // As often as one likes.
        assert_eq!(put_into(&page(&made), &new)?, page(&made));
        Ok(())
    }

    #[test]
    fn a_page_without_a_place_is_refused() {
        assert!(put_into(LISTED, &BTreeMap::new()).is_err());
        assert!(put_into(&format!("{BEGIN}{END}"), &BTreeMap::new()).is_err());
    }
}

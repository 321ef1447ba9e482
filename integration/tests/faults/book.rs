//! The book names which of these `make test` has, and which are left to `make faults` for the time that they take.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};

/// Set to rewrite the lists.
const BLESS: &str = "DAEMONRY_BLESS";
const BOOK: &str = "../docs/testing.md";

/// The names of tests, by their modules.
type Names = BTreeMap<String, Vec<String>>;

#[test]
fn the_book_names_what_is_run_each_time_and_what_at_length() -> Result<()> {
    let (all, long) = (names(&[])?, names(&["--ignored"])?);
    let mut quick = all;
    for (module, names) in &mut quick {
        names.retain(|name| !long.get(module).is_some_and(|long| long.contains(name)));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(BOOK);
    let book = fs::read_to_string(&path)?;
    let made = with(&with(&book, "quick", &quick)?, "long", &long)?;
    if env::var_os(BLESS).is_some() {
        fs::write(&path, &made)?;
    }
    ensure!(
        fs::read_to_string(&path)? == made,
        "docs/testing.md lists other faults than there are: run this test with {BLESS}=1, and commit it"
    );
    Ok(())
}

fn names(which: &[&str]) -> Result<Names> {
    let listed = Command::new(env::current_exe()?).args(["--list", "--format", "terse"]).args(which).output()?;
    let mut names = Names::new();
    for line in String::from_utf8(listed.stdout)?.lines() {
        let name = line.strip_suffix(": test").context("a name")?;
        let (module, name) = name.split_once("::").context("each has a module")?;
        names.entry(module.to_owned()).or_default().push(name.to_owned());
    }
    Ok(names)
}

/// The book with this list between its marks.
fn with(book: &str, list: &str, names: &Names) -> Result<String> {
    let (begin, end) = (format!("<!-- {list} begin -->\n"), format!("<!-- {list} end -->"));
    let (before, rest) = book.split_once(&begin).with_context(|| format!("no `{}`", begin.trim()))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("no `{end}`"))?;
    let rows = names.iter().filter(|(_, names)| !names.is_empty());
    let rows = rows.map(|(module, names)| format!("- `{module}`: `{}`\n", names.join("`, `")));
    Ok(format!("{before}{begin}{}{end}{after}", rows.collect::<String>()))
}

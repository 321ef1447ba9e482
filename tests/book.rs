//! What stands in the README and in the book is true of the program: configurations can work, and the first daemon is the one that is
//! compiled and tested. The Rust code itself is compiled with the documentation's, see `src/documentation.rs`.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use daemonry::app::App;
use daemonry::handler::extract::Text;
use daemonry::handler::{Router, on};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn chapters() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// The code blocks of a text in this language, whatever else their fences say.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(fence), None) => open = Some((fence.split(',').next() == Some(language), String::new())),
            (Some(_), Some(_)) => {
                if let Some((true, block)) = open.take() {
                    blocks.push(block);
                }
            }
            (None, Some((_, block))) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a code block is not closed");
    blocks
}

async fn created(Text(_order): Text) {}

/// The shop of all chapters.
fn shop() -> App {
    let router = Router::new().topic("orders.created", on(created).dead_letter("orders.created.dlq"));
    App::new("shop").consumer("orders", router)
}

#[test]
fn every_yaml_block_is_a_configuration_that_can_work() {
    let mut checked = 0;
    for path in chapters().into_iter().chain([root().join("README.md")]) {
        for block in blocks(&read(&path), "yaml") {
            let name = path.file_name().unwrap().to_str().unwrap();
            shop().check_text(name, &block).unwrap_or_else(|faults| panic!("{faults}\nin\n{block}"));
            checked += 1;
        }
    }
    assert!(checked >= 5, "only {checked} were found");
}

#[test]
fn the_first_daemon_is_the_example_that_is_tested() {
    let shown = blocks(&read("docs/first-daemon.md"), "rust").join("\n");
    assert!(shown == read("examples/first_daemon/main.rs"), "docs/first-daemon.md and examples/first_daemon differ");
    let configuration = blocks(&read("docs/first-daemon.md"), "yaml").concat();
    assert_eq!(configuration, read("examples/config/shop.yaml"), "docs/first-daemon.md and examples/config differ");
}

#[test]
fn every_chapter_is_in_the_book_and_its_code_is_compiled() {
    let (summary, compiled) = (read("docs/SUMMARY.md"), read("src/documentation.rs"));
    for path in chapters() {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("]({name})")), "{name} is not in docs/SUMMARY.md");
        if !blocks(&read(&path), "rust").is_empty() {
            assert!(compiled.contains(&format!("docs/{name}\"")), "{name} is not in src/documentation.rs");
        }
    }
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    for path in chapters().into_iter().chain(["README.md", "ARCHITECTURE.md"].map(|name| root().join(name))) {
        let text = read(&path);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if file.contains("://") || target.contains(['`', ' ', '<']) {
                continue;
            }
            let to = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(to.exists(), "{}: {target} leads nowhere", path.display());
            let heads = |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-") == anchor;
            let found = anchor.is_empty() || read(&to).lines().any(|line| line.starts_with('#') && heads(line));
            assert!(found, "{}: {target} names no heading", path.display());
        }
    }
}

/// The tests of all sources below this folder, by their names.
fn tests_below(folder: &Path, found: &mut HashSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = read(&path);
            let mut lines = source.lines().map(str::trim_start);
            while let Some(line) = lines.next() {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    let name = lines.find_map(|line| line.split_once("fn ")?.1.split_once('('));
                    found.extend(name.map(|(name, _)| name.to_owned()));
                }
            }
        }
    }
}

#[test]
fn each_promise_names_tests_that_there_are() {
    let mut tests = HashSet::new();
    ["src", "tests", "integration"].iter().for_each(|folder| tests_below(&root().join(folder), &mut tests));
    let guarantees = read("docs/guarantees.md");
    let (promised, _) = guarantees.split_once("## Exit codes").expect("the promises come first");
    let rows = promised.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise"));
    let mut promises = 0;
    for row in rows {
        let shown = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap();
        let names: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing shows: {row}");
        for name in names {
            assert!(tests.contains(name), "there is no test `{name}`, which is to show: {row}");
        }
        promises += 1;
    }
    assert!(promises >= 30, "only {promises} were found");
}

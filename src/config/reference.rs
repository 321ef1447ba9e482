//! The reference of a configuration: every key with its type, its default and its meaning, from the schema.

use serde_json::Value;

use super::schema::{Guide, Shape, of_every_program};
use super::{APP, APP_MEANING};

/// What stands above the tables.
const HEAD: &str = "# Configuration

Every key that a program of daemonry's can be configured with. Made by `config reference` from the types that a file is read into.

A value counts more the later it stands here: the default, the file, the environment's `RUST_LOG` and `DAEMONRY__…` variables,
`--set` on the command line.

- **`${NAME}`** in a value is the environment variable's, `${NAME:-text}` has a text to use instead, `${file:PATH}` is what the file
  holds without the end of its last line, and `$$` is a dollar.
- **`DAEMONRY__DAEMONS__ORDERS__WORKERS=32`** sets `daemons.orders.workers`. Two underscores stand between the keys; case doesn't count;
  in the names of daemons, clusters and topics one underscore stands for `_`, `-` and `.`, in librdkafka's properties for a dot. On the
  command line it is `--set daemons.orders.workers=32`. Neither can add a cluster.
- **Durations** have a unit, `d`, `h`, `min`, `s` or `ms`, as in `1h30min`. **Sizes** too: `B`, `KiB`, `MiB`, `GiB`, and `kB`, `MB`, `GB`.
  **Rates** say how many within a time: `100/s`, `20/1min`.
- **Secrets** are never shown. What comes out of `${file:…}`, stands at a key with a secret's name, or comes from a variable with one, is shown
  neither in an error nor by `config print`.
- What is said of a **topic** counts more than what the program says of it. A pattern of the program goes by its text, as in
  `topics: {orders\\.[a-z]+: {timeout: 30s}}` or `--set 'daemons.orders.topics.orders\\.[a-z]+.timeout=30s'`; no variable can name one.
";

/// The whole reference, as Markdown.
///
/// ```
/// assert!(daemonry::config::reference().contains("| `log.format` | `human`, `json` | `human` |"));
/// ```
pub fn reference() -> String {
    let schema = of_every_program();
    let mut text = HEAD.to_owned();
    let guide = Guide::new(&schema);
    let Shape::Section(sections) = guide.shape() else { return text };
    for section in sections {
        let below = guide.below(section);
        text.push_str(&format!(
            "\n## {section}\n\n{}\n\n| key | type | default | meaning |\n|---|---|---|---|\n",
            meaning(below)
        ));
        let mut rows = Vec::new();
        collect(&mut rows, section, below);
        rows.into_iter().for_each(|row| text.push_str(&row));
    }
    text.push_str(&format!("\n## {APP}\n\n{APP_MEANING}\n"));
    text
}

fn collect(rows: &mut Vec<String>, path: &str, guide: Guide<'_>) {
    match guide.shape() {
        Shape::Section(keys) => {
            for key in keys {
                collect(rows, &format!("{path}.{key}"), guide.below(key));
            }
        }
        Shape::Names(below) => {
            let name = match path {
                "kafka" => "<cluster>",
                "daemons" => "<daemon>",
                path if path.ends_with(".topics") => "<topic>",
                _ => "<property>",
            };
            match below.shape() {
                Shape::Single => rows.push(row(&format!("{path}.{name}"), below, meaning(guide))),
                _ => collect(rows, &format!("{path}.{name}"), below),
            }
        }
        Shape::Single => rows.push(row(path, guide, meaning(guide))),
    }
}

fn row(path: &str, guide: Guide<'_>, meaning: &str) -> String {
    let default = match guide.word("default") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) if text.is_empty() => String::new(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(other) => format!("`{other}`"),
    };
    format!("| `{path}` | {} | {default} | {} |\n", kind(guide), meaning.replace('|', "\\|"))
}

fn meaning(guide: Guide<'_>) -> &str {
    guide.word("description").and_then(Value::as_str).unwrap_or_default()
}

/// What a single value may be.
fn kind(guide: Guide<'_>) -> String {
    let quoted = |value: &Value| value.as_str().map(|text| format!("`{text}`"));
    if let Some(Value::Array(names)) = guide.word("enum") {
        return names.iter().filter_map(quoted).collect::<Vec<_>>().join(", ");
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(Value::Array(choices)) = guide.word(choice) {
            let choices = choices.iter().filter(|choice| choice["type"] != "null");
            return choices
                .map(|choice| quoted(&choice["const"]).unwrap_or_else(|| kind(Guide::new(choice))))
                .collect::<Vec<_>>()
                .join(", ");
        }
    }
    if let Some(title) = guide.word("title").and_then(Value::as_str) {
        return title.to_owned();
    }
    let name = |kind: &str| match kind {
        "integer" => "whole number".to_owned(),
        "string" => "text".to_owned(),
        "boolean" => "`true`, `false`".to_owned(),
        other => other.to_owned(),
    };
    match guide.word("type") {
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").map_or_else(String::new, name)
        }
        Some(Value::String(kind)) => name(kind),
        _ => String::new(),
    }
}

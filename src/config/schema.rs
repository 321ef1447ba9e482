//! The JSON schema of a configuration, made from the types that it is read into.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::program::{Program, Reads};
use super::raw::{Address, Properties, RawConfig};
use super::secret::Secret;
use super::units::{Limit, PerTime, Period, Size};
use super::{APP, APP_MEANING};

macro_rules! written_as_text {
    ($unit:ty, $name:literal, $schema:expr) => {
        impl JsonSchema for $unit {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

written_as_text!(
    Period,
    "duration",
    json_schema!({"type": "string", "title": "duration", "pattern": Self::PATTERN, "minLength": 2})
);
written_as_text!(
    Limit,
    "limit",
    json_schema!({"type": "string", "title": "duration, `none`", "pattern": Self::PATTERN, "minLength": 2})
);
written_as_text!(Size, "size", json_schema!({"type": "string", "title": "size", "pattern": Self::PATTERN}));
written_as_text!(PerTime, "rate", json_schema!({"type": "string", "title": "rate", "pattern": Self::PATTERN}));
written_as_text!(Secret, "secret", json_schema!({"type": "string", "title": "secret"}));
written_as_text!(
    Address,
    "address",
    json_schema!({"type": "string", "title": "address", "pattern": "^.+:[0-9]{1,5}$"})
);
written_as_text!(
    Properties,
    "properties",
    json_schema!({"type": "object", "additionalProperties": {"title": "text, number, true or false", "type": ["string", "number", "boolean"]}})
);

/// The schema of what every program has, without the `app` section.
pub(super) fn of_every_program() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<RawConfig>().to_value()
}

/// The schema of the configuration of a program that nobody here knows: names of daemons and topics are left open.
pub(super) fn of_any(program: &Program<'_>) -> Value {
    let (mut schema, mut open) = (of(program), of_every_program());
    allow_substitution(&mut open);
    let mut daemon = open["properties"]["daemons"]["additionalProperties"].take();
    // As in a program's: a section with nothing in it has all by default.
    daemon["type"] = json!(["object", "null"]);
    schema["properties"]["daemons"]["additionalProperties"] = daemon;
    schema
}

/// The schema of a program's configuration: with its daemons and topics, and with `${…}` allowed for every single value.
pub(crate) fn of(program: &Program<'_>) -> Value {
    let mut schema = of_every_program();
    schema["title"] = json!(format!("{} configuration", program.name));
    allow_substitution(&mut schema);
    let every = schema["properties"]["daemons"]["additionalProperties"].take();
    let daemons: Map<String, Value> = program
        .daemons
        .iter()
        .map(|(name, reads)| {
            let mut daemon = every.clone();
            match reads {
                Reads::Topics(routes) => {
                    let topics = &mut daemon["properties"]["topics"];
                    let topic = topics["additionalProperties"].take();
                    let named = routes.topics().into_iter().map(|name| (name, topic.clone()));
                    topics["properties"] = Value::Object(named.collect());
                    topics["additionalProperties"] = json!(false);
                }
                Reads::Unknown => {}
                Reads::Nothing => {
                    let enabled = daemon["properties"]["enabled"].take();
                    daemon["properties"] = json!({"enabled": enabled});
                }
            }
            // A section with nothing in it has all by default.
            daemon["type"] = json!(["object", "null"]);
            ((*name).to_owned(), daemon)
        })
        .collect();
    schema["properties"]["daemons"]["properties"] = Value::Object(daemons);
    schema["properties"]["daemons"]["additionalProperties"] = json!(false);
    if program.app.is_some() {
        schema["properties"][APP] = json!({"type": "object", "description": APP_MEANING});
    }
    schema
}

/// Allows `${…}` for every single value below that isn't any text anyway.
fn allow_substitution(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.values_mut().for_each(allow_substitution);
        return;
    }
    if let Some(names) = object.get_mut("additionalProperties").filter(|names| names.is_object()) {
        allow_substitution(names);
        return;
    }
    let any_text = !object.contains_key("pattern")
        && object
            .get("type")
            .is_some_and(|kind| *kind == json!("string") || kind.is_array() && object.get("minimum").is_none());
    if any_text && !object.contains_key("enum") {
        return;
    }
    let mut written = std::mem::take(object);
    for shared in ["description", "default", "title"] {
        object.extend(written.remove(shared).map(|value| (shared.to_owned(), value)));
    }
    object.insert("anyOf".to_owned(), json!([written, {"type": "string", "pattern": "\\$\\{"}]));
}

/// How the schema leads from key to key.
#[derive(Clone, Copy)]
pub(super) struct Guide<'s>(&'s Value);

/// What stands at a place of the schema.
pub(super) enum Shape<'s> {
    /// A section with these keys.
    Section(Vec<&'s str>),
    /// A section with names of the user's, or of the program's, as keys.
    Names(Guide<'s>),
    /// A single value.
    Single,
}

impl<'s> Guide<'s> {
    pub(super) fn new(schema: &'s Value) -> Self {
        Self(schema)
    }

    pub(super) fn shape(self) -> Shape<'s> {
        if let Some(Value::Object(properties)) = self.0.get("properties") {
            return Shape::Section(properties.keys().map(String::as_str).collect());
        }
        match self.0.get("additionalProperties") {
            Some(names) if names.is_object() => Shape::Names(Self(names)),
            _ => Shape::Single,
        }
    }

    /// Below a key of a section.
    pub(super) fn below(self, key: &str) -> Self {
        Self(&self.0["properties"][key])
    }

    /// A word about what stands here, such as `description`.
    pub(super) fn word(self, name: &str) -> Option<&'s Value> {
        self.0.get(name)
    }
}

use daemonry::handler::extract::{Key, Text};
use daemonry::handler::{Route, on_batch};

async fn store(_key: Key, _lines: Vec<Text>) {}

fn main() {
    let _: Route<(), _> = on_batch(store);
}

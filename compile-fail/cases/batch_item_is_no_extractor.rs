use daemonry::handler::{Route, on_batch};

async fn store(_lines: Vec<String>) {}

fn main() {
    let _: Route<(), _> = on_batch(store);
}

use daemonry::handler::extract::Text;
use daemonry::handler::{Route, on_batch};

async fn store(_line: Text) {}

fn main() {
    let _: Route<(), _> = on_batch(store);
}

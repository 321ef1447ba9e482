use daemonry::handler::extract::Key;
use daemonry::handler::{Route, on_blocking};

async fn create(_key: Key) {}

fn main() {
    let _: Route = on_blocking(create);
}

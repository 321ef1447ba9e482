use daemonry::handler::extract::Key;
use daemonry::handler::{Route, on};

async fn create(_key: Key, _order: String) {}

fn main() {
    let _: Route = on(create);
}

use daemonry::handler::extract::Key;
use daemonry::handler::{Route, on};

async fn create(_1: Key, _2: Key, _3: Key, _4: Key, _5: Key, _6: Key, _7: Key, _8: Key, _9: Key) {}

fn main() {
    let _: Route = on(create);
}

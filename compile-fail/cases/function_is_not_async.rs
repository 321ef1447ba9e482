use daemonry::handler::extract::Key;
use daemonry::handler::{Route, on};

fn create(_key: Key) {}

fn main() {
    let _: Route = on(create);
}

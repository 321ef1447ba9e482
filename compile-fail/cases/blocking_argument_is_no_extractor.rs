use daemonry::handler::{Route, on_blocking};

fn create(_order: String) {}

fn main() {
    let _: Route = on_blocking(create);
}

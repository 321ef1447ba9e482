use daemonry::handler::extract::State;
use daemonry::handler::{Route, on};

#[derive(Clone)]
struct App;

#[derive(Clone)]
struct Pool;

async fn create(State(_pool): State<Pool>) {}

fn main() {
    let _: Route<App> = on(create);
}

use daemonry::handler::{Route, on};

async fn create() -> u32 {
    7
}

fn main() {
    let _: Route = on(create);
}

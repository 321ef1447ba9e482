use daemonry::handler::{Route, on};

struct Failure;

async fn create() -> Result<(), Failure> {
    Ok(())
}

fn main() {
    let _: Route = on(create);
}

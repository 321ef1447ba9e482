use std::rc::Rc;

use daemonry::handler::{Route, on};

async fn create() {
    let shared = Rc::new(7);
    std::future::ready(()).await;
    drop(shared);
}

fn main() {
    let _: Route = on(create);
}

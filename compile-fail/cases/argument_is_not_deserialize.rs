use daemonry::handler::extract::Json;
use daemonry::handler::{Route, on};

struct Order;

async fn create(Json(_order): Json<Order>) {}

fn main() {
    let _: Route = on(create);
}

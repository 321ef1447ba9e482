//! Dead letters, from the side of whoever reads them. What writes them is [`pipeline::dead_letter`](crate::pipeline::dead_letter), which
//! has the table of their headers.

mod letter;

pub use letter::{DeadLetter, NotALetter};

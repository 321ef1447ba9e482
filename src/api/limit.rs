//! How many a question may ask for.

use super::problem::Problem;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// Where nothing is said.
    pub(super) usual: usize,
    /// No more than these, where there is a bound.
    pub(super) most: Option<usize>,
}

impl Limit {
    /// What is answered to whoever asks for so many.
    ///
    /// # Errors
    /// That it is none, or too many.
    pub(super) fn of(self, asked: Option<usize>) -> Result<usize, Problem> {
        let limit = asked.unwrap_or(self.usual);
        let bounds = match self.most {
            Some(most) if !(1..=most).contains(&limit) => format!("between 1 and {most}"),
            None if limit == 0 => "1 at least".to_owned(),
            _ => return Ok(limit),
        };
        Err(Problem::bad_request(format!("`limit` is {limit}, but must be {bounds}")))
    }
}

//! What a panic said.

use std::any::Any;

/// The message of a caught panic.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a value that is not text").to_owned()
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn panics_are_quoted_where_they_are_text() {
        let said = |panics: fn()| message(&*catch_unwind(panics).unwrap_err());
        assert_eq!(said(|| panic!("out of luck")), "out of luck");
        assert_eq!(said(|| panic!("out of {}", "luck")), "out of luck");
        assert_eq!(said(|| std::panic::panic_any(7)), "a value that is not text");
    }
}

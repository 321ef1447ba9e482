//! What a panic said, and what is to be expected of what users' code has made.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The message of a caught panic, which ends here.
pub(crate) fn message(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a value that is not text").to_owned();
    // A value that can't be dropped is kept for ever: who knows what the next one would do.
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(another);
    }
    text
}

/// Drops what users' code has made.
///
/// # Errors
/// What it panicked with.
pub(crate) fn let_go<T>(thing: T) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| drop(thing))).map_err(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_quoted_where_they_are_text() {
        let said = |panics: fn()| message(catch_unwind(panics).unwrap_err());
        assert_eq!(said(|| panic!("out of luck")), "out of luck");
        assert_eq!(said(|| panic!("out of {}", "luck")), "out of luck");
        assert_eq!(said(|| std::panic::panic_any(7)), "a value that is not text");
    }

    struct Explosive;

    impl Drop for Explosive {
        fn drop(&mut self) {
            panic!("it goes off");
        }
    }

    #[test]
    fn what_panics_when_it_is_dropped_does_so_in_here() {
        assert_eq!(let_go(Explosive), Err("it goes off".to_owned()));
        let thrown = catch_unwind(|| std::panic::panic_any(Explosive)).unwrap_err();
        assert_eq!(message(thrown), "a value that is not text");
    }
}

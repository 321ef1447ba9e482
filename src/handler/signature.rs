//! What a function looks like, before what it takes and answers is asked for.
//!
//! The compiler finds out first which arguments a function has, by these, and then whether each of them can be drawn, by the handlers'
//! traits. Asked for both at once it would find that none of the many ways to be a handler fits, and could say no more than that.

use std::future::Future;

use super::for_all_arguments;

/// An `async fn` of so many arguments, whatever they are. Implemented for all there are up to eight.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an `async fn` of at most eight arguments",
    label = "not an `async fn` of at most eight arguments",
    note = "a plain `fn` goes into `on_blocking`; several arguments can be drawn as one by a `FromRecord` of your own"
)]
pub trait AsyncFunction<Args> {}

/// A plain `fn` of so many arguments, whatever they are. Implemented for all there are up to eight.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `fn` of at most eight arguments",
    label = "not a `fn` of at most eight arguments",
    note = "several arguments can be drawn as one by a `FromRecord` of your own"
)]
pub trait Function<Args> {}

/// An `async fn` whose last argument is a `Vec`, whatever the others are. Implemented for all there are up to three others.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an `async fn` whose last argument is a `Vec`, after at most three others",
    label = "not an `async fn` that takes a `Vec` last",
    note = "a batch's handler takes `Vec<T>` where `T: FromRecord`, or `Vec<(T1, T2)>`, and before it `State`, `Producer` or `Cancellation`"
)]
pub trait BatchFunction<Args> {}

macro_rules! impl_functions {
    ($($arg:ident),*) => {
        impl<F, Fut, $($arg,)*> AsyncFunction<($($arg,)*)> for F
        where
            F: Fn($($arg,)*) -> Fut,
            Fut: Future,
        {
        }

        impl<F, Answer, $($arg,)*> Function<($($arg,)*)> for F where F: Fn($($arg,)*) -> Answer {}
    };
}
for_all_arguments!(impl_functions);

macro_rules! impl_batch_function {
    ($($arg:ident),*) => {
        impl<F, Fut, T, $($arg,)*> BatchFunction<(T, $($arg,)*)> for F
        where
            F: Fn($($arg,)* Vec<T>) -> Fut,
            Fut: Future,
        {
        }
    };
}
impl_batch_function!();
impl_batch_function!(A1);
impl_batch_function!(A1, A2);
impl_batch_function!(A1, A2, A3);

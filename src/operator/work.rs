//! Where a command's work is done: on a runtime that ends with it.

use tokio::runtime::Builder;

use super::failure::Failure;

/// Does the work. What blocks beside it is not waited for at the end.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("no runtime can be started: {error}")))?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

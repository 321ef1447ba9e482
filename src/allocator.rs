//! The process's allocator, where the program chose the one that comes with daemonry.
//!
//! `malloc` and its kin are taken from mimalloc for the whole process, C libraries included: librdkafka allocates every record on one
//! thread and frees it on another. A program that sets a `#[global_allocator]` keeps that for what is Rust.

use libmimalloc_sys as _;

/// Has the linker take the library, though nobody calls it by its own names.
#[used]
static LINKED: unsafe extern "C" fn(usize) -> *mut std::ffi::c_void = libmimalloc_sys::mi_malloc;

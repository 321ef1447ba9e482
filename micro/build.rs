//! Notes what the benchmarks are compiled by: instruction counts mean something only beside others of the same compiler.

use std::env;
use std::process::Command;

fn main() {
    let rustc = env::var_os("RUSTC").expect("set by cargo");
    let version = Command::new(rustc).arg("--version").output().expect("the compiler runs");
    let version = String::from_utf8_lossy(&version.stdout);
    let target = env::var("TARGET").expect("set by cargo");
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().replace('\x1f', " ");
    let compiler = format!("{} for {target} {flags}", version.trim());
    println!("cargo::rustc-env=COMPILER={}", compiler.trim());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTFLAGS");
}

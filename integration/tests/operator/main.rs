//! The operator's tools on a real Kafka: the command line, as a process of the binary `daemonry`; and the pages, in a real browser.

mod browser;
mod doctor;
mod fleet;
mod lag;
mod pages;
mod process;
mod reset;
mod scene;
mod secure;

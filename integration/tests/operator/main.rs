//! The operator's tools on a real Kafka: the command line, as a process of the binary `daemonry`; and the pages, in a real browser. The API is held against its own document.

mod browser;
mod doctor;
mod doctor_secured;
mod fleet;
mod lag;
mod letters;
mod openapi;
mod pages;
mod process;
mod records;
mod reset;
mod scene;
mod secure;
mod shop;

//! What the pipeline promises, one scenario a test: the whole of it over the in-memory broker, in virtual time.

#![allow(clippy::unwrap_used, missing_docs)]

mod assignments;
mod backpressure;
mod batches;
mod breakers;
mod commits;
mod failures;
mod gate;
mod hauls;
mod letters;
mod long_jobs;
mod measures;
mod order;
mod overdue;
mod patterns;
mod producing;
mod quarantine;
mod retries;
mod routes;
mod scaling;
mod scene;
mod skipping;
mod stalls;
mod steering;
mod stops;
mod threads;
mod traces;
mod view;

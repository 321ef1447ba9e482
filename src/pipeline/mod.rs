//! The pipeline, from a record to its commit, one way:
//! source → reader → lanes → workers → tracker → committer → source.

pub mod demand;
pub mod metadata;
pub mod source;
pub mod ticket;
pub mod tracker;

//! Daemons on a broker that lets only known users in, and lets those do only what they were granted: that each way in works, and that
//! each mistake says what it is and what to do.

mod api;
mod letters;
mod mistakes;
mod rights;
mod rotation;
mod scene;
mod ways_in;

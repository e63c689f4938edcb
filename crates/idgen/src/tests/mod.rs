//! Ranges, the ring, the rate, the table of codes.

mod codes;
mod range;
mod rate;
mod ring;
mod threads;

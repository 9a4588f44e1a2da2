//! Sessions over the memory backend: join, live, resume, limits, ends.

mod ends;
mod follow;
mod world;

//! The hot log, method by method, on real servers.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

mod hot {
    mod append;
    mod archiving;
    mod cluster;
    mod full;
    mod gate;
    mod opening;
    mod page;
    mod place;
    mod replicas;
    mod restart;
    mod target;
    mod window;
}

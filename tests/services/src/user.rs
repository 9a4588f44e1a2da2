//! Who a server runs as, where we are root and it must not be.

use std::fs;

use anyhow::{Context as _, Result};

/// Users that may run a server, best first.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// A user of this machine.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: u32,
    pub(crate) group: u32,
}

/// The user for a server that refuses to run as root; none where we are not root and it can run as us.
pub(crate) fn instead_of_root() -> Result<Option<User>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
    let found = CANDIDATES.iter().find_map(|name| find(&users, name));
    found
        .map(Some)
        .context("the server does not run as root, and there is neither a user postgres nor a user nobody")
}

/// Lines are `name:password:user id:group id:…`.
fn find(users: &str, name: &str) -> Option<User> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let mut numbers = fields.skip(1).map(str::parse);
        Some(User { id: numbers.next()?.ok()?, group: numbers.next()?.ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:8::/:\npostgres:x:101:104:,,,:/var:/bin/bash\n";
        let found = find(users, "postgres").unwrap();
        assert_eq!((found.id, found.group), (101, 104));
        assert!(find(users, "nobody").is_none());
    }
}

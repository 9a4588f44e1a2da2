use std::fmt;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// <https://stomp.github.io/stomp-specification-1.0.html>
    V1_0,
    /// <https://stomp.github.io/stomp-specification-1.1.html>
    V1_1,
    /// <https://stomp.github.io/stomp-specification-1.2.html>
    V1_2,
}

impl Version {
    /// Every version, the newest first.
    pub const ALL: [Self; 3] = [Self::V1_2, Self::V1_1, Self::V1_0];

    /// As it stands in a header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }

    /// The name of the WebSocket subprotocol.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::V1_0 => "v10.stomp",
            Self::V1_1 => "v11.stomp",
            Self::V1_2 => "v12.stomp",
        }
    }

    /// The newest version of those in an `accept-version` header, with commas between them. Without the header it is 1.0.
    #[must_use]
    pub fn negotiate(accepted: Option<&str>) -> Option<Self> {
        let Some(accepted) = accepted else { return Some(Self::V1_0) };
        Self::ALL.into_iter().find(|version| accepted.split(',').any(|name| name.trim() == version.as_str()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_spoken() {
        for (accepted, expected) in [
            (None, Some(Version::V1_0)),
            (Some("1.0,1.1,1.2"), Some(Version::V1_2)),
            (Some("1.1, 1.0"), Some(Version::V1_1)),
            (Some("1.3,1.0"), Some(Version::V1_0)),
            (Some("2.0"), None),
            (Some(""), None),
        ] {
            assert_eq!(Version::negotiate(accepted), expected, "{accepted:?}");
        }
    }
}

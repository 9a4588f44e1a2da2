//! Headers as they go over the wire: <https://stomp.github.io/stomp-specification-1.2.html#Value_Encoding>.

use super::{Command, Version};

/// How headers of a frame are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escaping {
    /// As they are: what would end the line cannot be said.
    None,
    /// Line feeds, colons and backslashes.
    V1_1,
    /// Carriage returns too.
    V1_2,
}

impl Escaping {
    pub(super) const fn of(command: Command, version: Version) -> Self {
        match version {
            _ if !command.is_escaped() => Self::None,
            Version::V1_0 => Self::None,
            Version::V1_1 => Self::V1_1,
            Version::V1_2 => Self::V1_2,
        }
    }

    /// Appends a name or a value. A character that cannot be said becomes a space.
    pub(super) fn write(self, out: &mut Vec<u8>, text: &str, is_name: bool) {
        for byte in text.bytes() {
            match (self, byte) {
                (_, 0) | (Self::None | Self::V1_1, b'\r') | (Self::None, b'\n') => out.push(b' '),
                (Self::None, b':') if is_name => out.push(b' '),
                (Self::V1_1 | Self::V1_2, b'\n') => out.extend_from_slice(b"\\n"),
                (Self::V1_1 | Self::V1_2, b':') => out.extend_from_slice(b"\\c"),
                (Self::V1_1 | Self::V1_2, b'\\') => out.extend_from_slice(b"\\\\"),
                (Self::V1_2, b'\r') => out.extend_from_slice(b"\\r"),
                _ => out.push(byte),
            }
        }
    }

    /// Reads a name or a value; `None` where it has an escape that means nothing.
    pub(super) fn read(self, text: &str) -> Option<String> {
        if self == Self::None || !text.contains('\\') {
            return Some(text.to_owned());
        }
        let mut out = String::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            if char != '\\' {
                out.push(char);
                continue;
            }
            out.push(match chars.next()? {
                'n' => '\n',
                'c' => ':',
                '\\' => '\\',
                'r' if self == Self::V1_2 => '\r',
                _ => return None,
            });
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_escapes() {
        for (escaping, text, written) in [
            (Escaping::V1_2, "a:b\n\r\\", "a\\cb\\n\\r\\\\"),
            (Escaping::V1_1, "a:b\n\r\\", "a\\cb\\n \\\\"),
            (Escaping::None, "a:b\n\r\\\0", "a:b  \\ "),
        ] {
            let mut out = Vec::new();
            escaping.write(&mut out, text, false);
            assert_eq!(String::from_utf8(out).unwrap(), written, "{escaping:?}");
        }
        assert_eq!(Escaping::V1_2.read("a\\cb\\n\\r\\\\").as_deref(), Some("a:b\n\r\\"));
        assert_eq!(Escaping::V1_1.read("\\r"), None);
        assert_eq!(Escaping::V1_2.read("\\t"), None);
        assert_eq!(Escaping::V1_2.read("x\\"), None);
        assert_eq!(Escaping::None.read("\\t").as_deref(), Some("\\t"));
    }
}

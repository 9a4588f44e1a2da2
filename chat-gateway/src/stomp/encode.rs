//! Frames in, bytes out.

use bytes::Bytes;

use super::{Command, Frame, Version, escape::Escaping};

impl Frame {
    /// The frame as it goes over the wire in this version. A frame that may have a body gets its `content-length`, whatever
    /// its headers say.
    ///
    /// What a version cannot say in a header (line ends and NUL, where they are not escaped) becomes a space.
    #[must_use]
    pub fn encode(&self, version: Version) -> Bytes {
        let headers = self.headers.iter();
        encode(self.command, version, headers, &self.body)
    }
}

/// As [`Frame::encode`], without a frame.
pub(super) fn encode<'a>(
    command: Command,
    version: Version,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    body: &[u8],
) -> Bytes {
    let escaping = Escaping::of(command, version);
    let mut out = Vec::with_capacity(256 + body.len());
    out.extend_from_slice(command.as_str().as_bytes());
    out.push(b'\n');
    for (name, value) in headers.filter(|(name, _)| *name != "content-length") {
        escaping.write(&mut out, name, true);
        out.push(b':');
        escaping.write(&mut out, value, false);
        out.push(b'\n');
    }
    if command.has_body() {
        out.extend_from_slice(b"content-length:");
        out.extend_from_slice(body.len().to_string().as_bytes());
        out.extend_from_slice(b"\n\n");
        out.extend_from_slice(body);
    } else {
        out.push(b'\n');
    }
    out.push(0);
    out.into()
}

/// Bounds of one frame, each with a default that is a public constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameLimits {
    /// Headers of a frame. Default [`FrameLimits::HEADERS`].
    pub headers: usize,
    /// Bytes of one header, or of the command, without the line's end. Default [`FrameLimits::LINE_BYTES`].
    pub line_bytes: usize,
    /// Bytes of the command and all headers, without the lines' ends. Default [`FrameLimits::HEAD_BYTES`].
    pub head_bytes: usize,
    /// Bytes of the body. Default [`FrameLimits::BODY_BYTES`].
    pub body_bytes: usize,
}

impl FrameLimits {
    /// Default of [`FrameLimits::headers`]: 64.
    pub const HEADERS: usize = 64;
    /// Default of [`FrameLimits::line_bytes`]: 8 KiB, enough for a token.
    pub const LINE_BYTES: usize = 8 * 1024;
    /// Default of [`FrameLimits::head_bytes`]: 16 KiB.
    pub const HEAD_BYTES: usize = 16 * 1024;
    /// Default of [`FrameLimits::body_bytes`]: 64 KiB.
    pub const BODY_BYTES: usize = 64 * 1024;

    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            headers: Self::HEADERS,
            line_bytes: Self::LINE_BYTES,
            head_bytes: Self::HEAD_BYTES,
            body_bytes: Self::BODY_BYTES,
        }
    }

    /// With other bounds of the head: [`headers`](Self::headers), [`line_bytes`](Self::line_bytes) and
    /// [`head_bytes`](Self::head_bytes).
    #[must_use]
    pub const fn with_head(mut self, headers: usize, line_bytes: usize, head_bytes: usize) -> Self {
        (self.headers, self.line_bytes, self.head_bytes) = (headers, line_bytes, head_bytes);
        self
    }

    /// With other [`body_bytes`](Self::body_bytes).
    #[must_use]
    pub const fn with_body_bytes(mut self, bytes: usize) -> Self {
        self.body_bytes = bytes;
        self
    }
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self::new()
    }
}

//! Bytes in, frames out; no more is kept than one frame within the limits.

use bytes::Bytes;

use super::{Command, Frame, FrameLimits, Headers, Version, escape::Escaping};

/// Why bytes are no frame. The decoder answers nothing else from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The first line names no command.
    #[error("no such command")]
    UnknownCommand,
    /// A header without a colon, or without a name.
    #[error("a header has a name, a colon and a value")]
    MalformedHeader,
    /// An escape that means nothing in this version.
    #[error("a header has an escape that means nothing")]
    UndefinedEscape,
    /// A command or a header that is not UTF-8, or has a NUL.
    #[error("a header is not text")]
    NotText,
    /// A `content-length` that is no number.
    #[error("the content-length is no number")]
    InvalidContentLength,
    /// No NUL after the body.
    #[error("no NUL follows the body")]
    Unterminated,
    /// A body where none may be.
    #[error("only SEND, MESSAGE and ERROR have a body")]
    UnexpectedBody,
    /// More headers than [`FrameLimits::headers`].
    #[error("a frame has at most {max} headers")]
    TooManyHeaders {
        /// The bound.
        max: usize,
    },
    /// A line longer than [`FrameLimits::line_bytes`].
    #[error("a line has at most {max} bytes")]
    LineTooLong {
        /// The bound.
        max: usize,
    },
    /// Command and headers longer than [`FrameLimits::head_bytes`].
    #[error("command and headers have at most {max} bytes")]
    HeadTooLong {
        /// The bound.
        max: usize,
    },
    /// A body longer than [`FrameLimits::body_bytes`].
    #[error("a body has at most {max} bytes")]
    BodyTooLong {
        /// The bound.
        max: usize,
    },
}

impl DecodeError {
    /// Whether a bound was reached, and not a rule broken.
    #[must_use]
    pub const fn is_limit(self) -> bool {
        matches!(
            self,
            Self::TooManyHeaders { .. }
                | Self::LineTooLong { .. }
                | Self::HeadTooLong { .. }
                | Self::BodyTooLong { .. }
        )
    }
}

/// What bytes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// A frame.
    Frame(Frame),
    /// Line ends between frames: a sign of life, however many they are.
    HeartBeat,
}

/// Reads frames from bytes that come in pieces, wherever they are cut.
#[derive(Debug)]
pub struct Decoder {
    limits: FrameLimits,
    version: Version,
    state: State,
    /// The line that is not whole yet.
    line: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// Between frames.
    Between,
    /// In the command or a header.
    Head {
        command: Option<Command>,
        headers: Headers,
        bytes: usize,
    },
    Body {
        command: Command,
        headers: Headers,
        body: Vec<u8>,
        /// Its length, where the frame says it.
        length: Option<usize>,
    },
    Failed(DecodeError),
}

impl Decoder {
    /// A decoder of version 1.2, until it is told [another](Self::set_version).
    #[must_use]
    pub const fn new(limits: FrameLimits) -> Self {
        Self { limits, version: Version::V1_2, state: State::Between, line: Vec::new() }
    }

    /// Reads the frames from here on as those of this version.
    pub const fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Reads on until there is a frame or a sign of life; `None` when the input is used up. What was read is taken from it.
    ///
    /// # Errors
    /// Why this is no frame, at this call and at every later one.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Decoded>, DecodeError> {
        let read = self.read(input);
        if let Err(error) = read {
            (self.state, self.line) = (State::Failed(error), Vec::new());
        }
        read
    }

    /// Bytes that are kept of the frame that is not whole yet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        let frame = match &self.state {
            State::Head { bytes, .. } => *bytes,
            State::Body { headers, body, .. } => {
                body.len() + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            }
            State::Between | State::Failed(_) => 0,
        };
        frame + self.line.len()
    }

    fn read(&mut self, input: &mut &[u8]) -> Result<Option<Decoded>, DecodeError> {
        loop {
            match &mut self.state {
                State::Failed(error) => return Err(*error),
                State::Between => {
                    let ends = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                    *input = &input[ends..];
                    if ends > 0 {
                        return Ok(Some(Decoded::HeartBeat));
                    }
                    if input.is_empty() {
                        return Ok(None);
                    }
                    self.state = State::Head { command: None, headers: Headers::new(), bytes: 0 };
                }
                State::Head { .. } => {
                    if !self.take_line(input)? {
                        return Ok(None);
                    }
                    self.read_line()?;
                }
                State::Body { command, headers, body, length } => {
                    if !take_body(input, body, *length, self.limits.body_bytes)? {
                        return Ok(None);
                    }
                    if !body.is_empty() && !command.has_body() {
                        return Err(DecodeError::UnexpectedBody);
                    }
                    let frame = Frame {
                        command: *command,
                        headers: std::mem::take(headers),
                        body: Bytes::from(std::mem::take(body)),
                    };
                    self.state = State::Between;
                    return Ok(Some(Decoded::Frame(frame)));
                }
            }
        }
    }

    /// Adds to the line up to its end; false if that is not there yet.
    fn take_line(&mut self, input: &mut &[u8]) -> Result<bool, DecodeError> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let (piece, rest) = input.split_at(end.unwrap_or(input.len()));
        let max = self.limits.line_bytes;
        // The line's end may have a carriage return before it.
        let room = max.saturating_add(1) - self.line.len();
        if piece.iter().take(room).any(|byte| *byte == 0) {
            return Err(DecodeError::NotText);
        }
        if piece.len() > room {
            return Err(DecodeError::LineTooLong { max });
        }
        self.line.extend_from_slice(piece);
        *input = rest.get(1..).unwrap_or_default();
        if end.is_none() {
            return Ok(false);
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        if self.line.len() > max { Err(DecodeError::LineTooLong { max }) } else { Ok(true) }
    }

    /// Reads the whole line, which is the command, a header, or the end of them.
    fn read_line(&mut self) -> Result<(), DecodeError> {
        let line = std::mem::take(&mut self.line);
        let State::Head { command, headers, bytes } = &mut self.state else { return Ok(()) };
        *bytes += line.len();
        if *bytes > self.limits.head_bytes {
            return Err(DecodeError::HeadTooLong { max: self.limits.head_bytes });
        }
        let Some(known) = *command else {
            *command = Some(Command::of(&line).ok_or(DecodeError::UnknownCommand)?);
            return Ok(());
        };
        if line.is_empty() {
            let headers = std::mem::take(headers);
            let length = self.length(known, &headers)?;
            self.state = State::Body { command: known, headers, body: Vec::new(), length };
            return Ok(());
        }
        if headers.len() >= self.limits.headers {
            return Err(DecodeError::TooManyHeaders { max: self.limits.headers });
        }
        let line = str::from_utf8(&line).map_err(|_| DecodeError::NotText)?;
        let (mut name, mut value) = line.split_once(':').ok_or(DecodeError::MalformedHeader)?;
        if self.version == Version::V1_0 && known.is_escaped() {
            // From 1.1 on, spaces belong to the header.
            (name, value) = (name.trim(), value.trim());
        }
        if name.is_empty() {
            return Err(DecodeError::MalformedHeader);
        }
        let escaping = Escaping::of(known, self.version);
        let read = |text| escaping.read(text).ok_or(DecodeError::UndefinedEscape);
        headers.push(read(name)?, read(value)?);
        Ok(())
    }

    fn length(&self, command: Command, headers: &Headers) -> Result<Option<usize>, DecodeError> {
        let Some(length) = headers.get("content-length") else {
            return Ok(None);
        };
        let length = length.trim();
        if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(DecodeError::InvalidContentLength);
        }
        let max = self.limits.body_bytes;
        match length.parse::<usize>() {
            Ok(length) if length > 0 && !command.has_body() => Err(DecodeError::UnexpectedBody),
            Ok(length) if length <= max => Ok(Some(length)),
            _ => Err(DecodeError::BodyTooLong { max }),
        }
    }
}

/// Adds to the body up to its end; false if that is not there yet.
fn take_body(
    input: &mut &[u8],
    body: &mut Vec<u8>,
    length: Option<usize>,
    max: usize,
) -> Result<bool, DecodeError> {
    let wanted = match length {
        Some(length) => (length - body.len()).min(input.len()),
        None => input.iter().position(|byte| *byte == 0).unwrap_or(input.len()),
    };
    if wanted > max - body.len() {
        return Err(DecodeError::BodyTooLong { max });
    }
    let (piece, rest) = input.split_at(wanted);
    body.extend_from_slice(piece);
    *input = rest;
    if length.is_some_and(|length| body.len() < length) {
        return Ok(false);
    }
    match rest.split_first() {
        None => Ok(false),
        Some((0, rest)) => {
            *input = rest;
            Ok(true)
        }
        Some(_) => Err(DecodeError::Unterminated),
    }
}

use std::fmt;

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// A signed text, or a token that is neither of the others.
    Token,
    /// What the holder signed.
    Presentation,
    /// What an issuer signed.
    Credential,
}

/// Why something is not accepted: what was looked at, and what is wrong with it. It says nothing of what is in it, so it may be
/// told to whoever presented it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject {
    /// What was looked at.
    pub part: Part,
    /// What is wrong with it.
    pub reason: Reason,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reject {
            /// In words, such as `the presentation has expired`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match (self.part, self.reason) {
                    $((Part::Token, Reason::$name) => concat!("the token ", $text),
                    (Part::Presentation, Reason::$name) => concat!("the presentation ", $text),
                    (Part::Credential, Reason::$name) => concat!("the credential ", $text),)*
                }
            }
        }
    };
}

reasons! {
    /// There is none.
    Missing = "is missing",
    /// More bytes than are looked at.
    TooLarge = "is too large",
    /// Not three parts of base64url, or not the JSON that belongs into them.
    Malformed = "is malformed",
    /// Readers of JSON disagree about which of two members counts.
    DuplicateName = "has a name twice in its JSON",
    /// `alg` is `none`.
    Unsigned = "is not signed",
    /// `alg` is not known, or not taken here.
    UnknownAlgorithm = "is signed by an algorithm that is not accepted",
    /// A header that has to be understood and is not (`crit`).
    CriticalHeader = "has a header that must be understood and is not",
    /// Nobody of that name is known, or no such key of theirs.
    UnknownKey = "is signed by a key that is not known",
    /// The identifier is of a method that needs a network, or of none.
    UnknownMethod = "names somebody whose keys cannot be found",
    /// The key is malformed, weak, too short, or for something else.
    BadKey = "is signed by a key that cannot be used",
    /// The key is for another algorithm.
    WrongAlgorithm = "is signed by another algorithm than its key's",
    /// The signature does not fit.
    WrongSignature = "has a wrong signature",
    /// `exp`, `expirationDate` or `validUntil` is over.
    Expired = "has expired",
    /// `nbf`, `iat`, `issuanceDate` or `validFrom` is to come.
    NotYetValid = "is not valid yet",
    /// It says neither when it ends nor when it was made.
    NoExpiry = "has no expiry",
    /// It may be presented for longer than is accepted.
    TooLong = "is valid for too long",
    /// `aud` names somebody else or nobody.
    WrongAudience = "is meant for another audience",
    /// It has no `nonce`.
    NoNonce = "has no nonce",
    /// `nonce` is another one.
    WrongNonce = "has another nonce",
    /// Its `nonce` is none that was given out, or was too old when the presentation was made.
    UnknownNonce = "has a nonce that was not given out here in time",
    /// Another presentation had this `nonce`.
    NonceUsed = "has a nonce that was used before",
    /// Its issuer is not among the trusted ones.
    UntrustedIssuer = "has an issuer that is not trusted",
    /// The signed token and what is in it name different ones.
    Inconsistent = "contradicts itself",
    /// It does not say who signed it.
    NoIssuer = "does not say whose it is",
    /// A credential about nobody: whoever has it could present it.
    NoSubject = "is not bound to a holder",
    /// A credential about somebody else.
    NotTheHolder = "is about somebody else than the holder",
    /// A presentation of nothing.
    NoCredential = "has no credential",
    /// More than are looked at.
    TooManyCredentials = "has too many credentials",
    /// None of the types that are asked for.
    WrongType = "is not of the type that is asked for",
    /// It may have been withdrawn, and nothing here can find out.
    StatusUnknown = "has a status that cannot be looked up",
    /// The token beside it is of another user.
    OtherUser = "is of somebody else than the token",
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Reject {}

impl Reason {
    /// Of this part.
    #[must_use]
    pub const fn of(self, part: Part) -> Reject {
        Reject { part, reason: self }
    }
}

/// A fault put into the engine on purpose, to prove that the simulation notices it. Without the feature `mutations` none
/// can be chosen and the checks compile to nothing.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// A gap between two live entries is passed over instead of being read from the log.
    NoGapRepair,
    /// A lost last entry is never looked for, and neither is what a reported loss of events covered.
    NoHeadCheck,
    /// A live entry that is known already is handed on again.
    KeepRepeats,
    /// A join takes the live position after it has read its page, instead of going on from the page.
    ReadBeforeRegister,
    /// A new epoch of the log is not noticed.
    IgnoreEpoch,
    /// A session that fell behind goes on at the live position without a word.
    SkipWhenBehind,
    /// The end of a membership does not end subscriptions.
    IgnoreRemoval,
    /// Expired and revoked sessions go on.
    IgnoreExpiry,
    /// Senders are answered before the log has answered.
    AckBeforeStore,
    /// A batch that the log did not answer is acknowledged as stored.
    AckOnError,
    /// Connections of a node are not registered again after its lease ran out.
    NoReregistration,
}

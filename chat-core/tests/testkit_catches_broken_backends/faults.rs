//! What may be wrong with a log.

/// One broken guarantee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// None: the wrapper by itself must pass every case.
    Sound,
    /// A repeat is stored again.
    NoDedup,
    /// A repeat is answered as such whatever it says.
    PayloadNotCompared,
    /// A rewritten draft is compared by what it became.
    RewriteNotRecognised,
    /// Two senders' client ids are one.
    DedupWithoutSender,
    /// Member and room are looked at before the repeat.
    ChecksBeforeDedup,
    /// A duplicate uses up a position.
    GapAfterDuplicate,
    /// The outcomes of a batch come in another order.
    OutcomesOutOfOrder,
    /// Ids fall while positions grow.
    IdsFall,
    /// A reader is shown an entry before the one before it.
    LaterEntryFirst,
    /// A cursor of a foreign epoch is taken for one of this.
    ForeignEpochAnswered,
    /// A cursor beyond the head is answered with an empty page.
    BeyondHeadAnswered,
    /// An expired cursor is answered with what is left.
    ExpiredAnswered,
    /// A place before what is kept is an error in both directions.
    BeforeTrimmedExpires,
    /// Who was a member once may write for ever.
    MembershipNotChecked,
    /// A closed room takes entries.
    InactiveNotChecked,
    /// Bodies are counted in bytes.
    BodyCountedInBytes,
    /// Everybody edits everybody's messages.
    TargetOwnerNotChecked,
    /// Every page claims to reach the head.
    AlwaysReachesHead,
    /// The timeline is the whole log.
    TimelineIgnored,
    /// Reading before a place shows what was sent instead of what was edited.
    EditNotShownBefore,
    /// Deleted bodies are given out.
    DeleteDoesNotRedact,
    /// The edits of deleted messages are given out.
    DeletedEditsShown,
    /// Trimming everything begins again at 1.
    TrimReusesPositions,
    /// The heads of many rooms come in another order.
    HeadsOutOfOrder,
    /// A batch of which a part is stored already is answered with an error for ever.
    RepeatOfHalfABatchFails,
    /// A restored store goes on in the old epoch.
    RestoreKeepsEpoch,
}

//! The labels with a fixed set of values.

use super::instrument::label;
use crate::pipeline::dead_letter::{PublishError, Reason};
use crate::pipeline::source::{CommitError, Loss};

label! {
    /// How a record ended, or an attempt of it.
    pub enum MessageStatus("status") {
        /// The handler succeeded. Once a record.
        Success = "success",
        /// Its dead letter was acknowledged. Once a record.
        DeadLettered = "dead_lettered",
        /// It was passed over on purpose. Once a record.
        Skipped = "skipped",
        /// An attempt failed. Once an attempt.
        Failed = "failed",
        /// A failed attempt that is followed by another. Once an attempt.
        Retried = "retried",
    }
}

label! {
    /// How the last attempt of a dead-lettered record failed.
    pub enum DeadLetterReason("reason") {
        /// An argument of the handler could not be drawn from it.
        Undecodable = "undecodable",
        /// The handler said that no attempt will succeed.
        Poison = "poison",
        /// The route doesn't retry errors of this kind.
        NotRetryable = "not_retryable",
        /// The handler gave an error.
        Error = "error",
        /// The handler panicked.
        Panic = "panic",
        /// The handler took too long.
        Timeout = "timeout",
        /// The process ended without warning each time that it ran alone.
        Crash = "crash",
    }
}

impl From<Reason> for DeadLetterReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Undecodable => Self::Undecodable,
            Reason::Poison => Self::Poison,
            Reason::NotRetryable => Self::NotRetryable,
            Reason::Error => Self::Error,
            Reason::Panic => Self::Panic,
            Reason::Timeout => Self::Timeout,
            Reason::Crash => Self::Crash,
        }
    }
}

label! {
    /// Why a dead letter could not be published.
    pub enum DeadLetterFailure("reason") {
        /// Its topic doesn't exist.
        UnknownTopic = "unknown_topic",
        /// It is larger than its topic takes.
        TooLarge = "too_large",
        /// Writing to its topic is not allowed.
        NotAuthorized = "not_authorized",
        /// It was not acknowledged, for a reason that may pass.
        Unavailable = "unavailable",
    }
}

impl From<&PublishError> for DeadLetterFailure {
    fn from(error: &PublishError) -> Self {
        match error {
            PublishError::UnknownTopic(_) => Self::UnknownTopic,
            PublishError::TooLarge(_) => Self::TooLarge,
            PublishError::NotAuthorized(_) => Self::NotAuthorized,
            PublishError::Unavailable(_) => Self::Unavailable,
        }
    }
}

label! {
    /// What came of a commit.
    pub enum CommitStatus("status") {
        /// Acknowledged.
        Success = "success",
        /// Failed; it is tried again.
        Retriable = "retriable",
        /// Refused while the group rebalances; it is tried again.
        RebalanceInProgress = "rebalance_in_progress",
        /// Refused: the assignment is gone.
        IllegalGeneration = "illegal_generation",
        /// Refused: another member took this one's place.
        Fenced = "fenced",
        /// Refused: what goes with the offset is too large.
        MetadataTooLarge = "metadata_too_large",
        /// Failed, and the client is rebuilt.
        Fatal = "fatal",
    }
}

impl From<&CommitError> for CommitStatus {
    fn from(error: &CommitError) -> Self {
        match error {
            CommitError::Retriable(_) => Self::Retriable,
            CommitError::RebalanceInProgress => Self::RebalanceInProgress,
            CommitError::IllegalGeneration(_) => Self::IllegalGeneration,
            CommitError::Fenced => Self::Fenced,
            CommitError::MetadataTooLarge => Self::MetadataTooLarge,
            CommitError::Fatal(_) => Self::Fatal,
        }
    }
}

label! {
    /// How the assignment changed.
    pub enum RebalanceKind("kind") {
        /// Partitions came.
        Assigned = "assigned",
        /// Partitions were given up.
        Revoked = "revoked",
        /// Partitions were taken away without asking.
        Lost = "lost",
    }
}

label! {
    /// What happened to what was to be read next.
    pub enum LossCause("cause") {
        /// It was removed before it was read.
        Removed = "removed",
        /// The log was cut below what was read of it.
        Truncated = "truncated",
        /// The topic was deleted and made anew.
        Recreated = "recreated",
    }
}

impl From<Loss> for LossCause {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Removed => Self::Removed,
            Loss::Truncated => Self::Truncated,
            Loss::Recreated => Self::Recreated,
        }
    }
}

label! {
    /// Why a partition is not read.
    pub enum HoldReason("reason") {
        /// What is finished above its oldest unfinished record could no longer be remembered.
        Window = "window",
        /// As much of it is parked as may be.
        Parked = "parked",
        /// A dead letter of it can't be published.
        DeadLetter = "dead_letter",
        /// Somebody has paused it.
        Paused = "paused",
        /// The circuit breaker of its route is open.
        CircuitBreaker = "circuit_breaker",
    }
}

label! {
    /// What a circuit breaker is at.
    pub enum BreakerState("state") {
        /// Nothing of its route is started.
        Open = "open",
        /// One record is tried.
        HalfOpen = "half_open",
        /// Everything is started.
        Closed = "closed",
    }
}

label! {
    /// What a daemon is at.
    pub enum DaemonPhase("state") {
        /// It is made, or runs and was not ready yet.
        Starting = "starting",
        /// It runs, and has been ready in this run.
        Running = "running",
        /// It failed, and waits for its restart.
        Restarting = "restarting",
        /// It ended as it should.
        Ended = "ended",
        /// It failed for good, and the process stops.
        Failed = "failed",
    }
}

label! {
    /// Where the number of workers goes.
    pub enum ScalingDirection("direction") {
        /// There are more.
        Grow = "grow",
        /// There are fewer.
        Shrink = "shrink",
        /// There are as many.
        Hold = "hold",
    }
}

label! {
    /// What everything waits for, as far as the number of workers goes.
    pub enum ScalingReason("reason") {
        /// The handlers: lanes are ready that no worker is free for.
        HandlerBound = "handler-bound",
        /// The order: what is queued waits behind what runs, and more workers would have nothing to do.
        OrderingBound = "ordering-bound",
        /// The source: there is little to do.
        SourceBound = "source-bound",
        /// What the handlers ask: each attempt takes longer for the others.
        LatencyBound = "latency-bound",
        /// The rate that somebody has set.
        RateBound = "rate-bound",
        /// Nothing: the workers keep up.
        Balanced = "balanced",
    }
}

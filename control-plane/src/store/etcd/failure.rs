//! What a failed call means, told by its code. Messages decide only where etcd gives two meanings one code.

use etcd_client::Error;
use tonic::{Code, ConnectError, Status};

use crate::store::{LeaseId, Revision, Source, StoreError};

/// What a failed call means.
#[derive(Debug)]
pub(super) enum Failure {
    /// It never reached a member, or the member did not take it up: nothing was done.
    Undone { message: String, source: Option<Source> },
    /// It got no answer: it may have been done, or may still be.
    Doubtful { message: String, source: Option<Source> },
    /// The revision's history is gone.
    Compacted,
    /// The revision has not happened yet.
    Future,
    /// The lease is not there.
    NoLease,
    /// The answer is larger than we are ready to hold.
    TooLarge { source: Source },
    /// It will not be done, however often it is asked for.
    Refused { message: String, source: Source },
}

impl Failure {
    pub(super) fn of(error: Error) -> Self {
        match error {
            Error::GRpcStatus(status) => Self::of_status(status),
            // The client's own word for a keep-alive answered with a remaining life of zero.
            Error::LeaseKeepAliveError(said) if said == "lease not found" => Self::NoLease,
            Error::TransportError(_)
            | Error::IoError(_)
            | Error::WatchError(_)
            | Error::LeaseKeepAliveError(_) => Self::Doubtful {
                message: "the connection to etcd failed".to_owned(),
                source: Some(error.into()),
            },
            error => Self::refused("the etcd client refused the call", error),
        }
    }

    fn of_status(status: Status) -> Self {
        let message = format!("etcd answered: {}", status.message());
        match status.code() {
            _ if was_never_sent(&status) => Self::Undone {
                message: "no connection to etcd could be made".to_owned(),
                source: Some(status.into()),
            },
            Code::OutOfRange if status.message().contains("has been compacted") => Self::Compacted,
            Code::OutOfRange if status.message().contains("future revision") => Self::Future,
            Code::OutOfRange if status.message().contains("message length too large") => {
                Self::TooLarge { source: status.into() }
            }
            Code::NotFound if status.message().contains("lease not found") => Self::NoLease,
            Code::ResourceExhausted if status.message().contains("space exceeded") => Self::Undone {
                message: "etcd's space quota is used up; compact and defragment it, then disarm its alarm"
                    .to_owned(),
                source: Some(status.into()),
            },
            Code::ResourceExhausted => Self::Undone { message, source: Some(status.into()) },
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented => Self::refused(message, status),
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => Self::Doubtful { message, source: Some(status.into()) },
        }
    }

    pub(super) fn refused(message: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Refused { message: message.into(), source: source.into() }
    }

    /// Whether another member, or the same one later, may do better.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(self, Self::Undone { .. } | Self::Doubtful { .. })
    }

    /// The store's error for a read at a revision.
    pub(super) fn of_read(self, at: Option<Revision>) -> StoreError {
        let requested = at.unwrap_or_default();
        match self {
            Self::Compacted => StoreError::Compacted { requested },
            Self::Future => StoreError::FutureRevision { requested },
            other => other.into(),
        }
    }

    /// The store's error for a call that names a lease.
    pub(super) fn of_lease(self, lease: Option<LeaseId>) -> StoreError {
        match (self, lease) {
            (Self::NoLease, Some(lease)) => StoreError::LeaseNotFound(lease),
            (other, _) => other.into(),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Undone { message, source } | Failure::Doubtful { message, source } => {
                Self::Unavailable { message, source }
            }
            Failure::Refused { message, source } => Self::Refused { message, source: Some(source) },
            Failure::TooLarge { source } => {
                Self::refused("etcd's answer is larger than this release reads", source)
            }
            Failure::Compacted => Self::Refused {
                message: "etcd speaks of a compacted revision where none was asked for".to_owned(),
                source: None,
            },
            Failure::Future => Self::Refused {
                message: "etcd speaks of a future revision where none was asked for".to_owned(),
                source: None,
            },
            Failure::NoLease => Self::Refused {
                message: "etcd speaks of a lease where none was named".to_owned(),
                source: None,
            },
        }
    }
}

/// Whether the call ended before a byte of it left.
fn was_never_sent(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

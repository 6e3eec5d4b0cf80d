//! Call records in, acknowledgements out. One report at a time for each stream: the next is read when the last is safe,
//! so a proxy that reports faster than the disk can take is slowed down by its own flow control.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use futures_util::{Stream, stream};
use tonic::{Status, Streaming};

use super::hello;
use crate::usage::{Ack, Ledger, LedgerError};

/// Most records of one report.
const MAX_RECORDS: usize = 1_024;

type Stopping = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Intake {
    reports: Streaming<proto::ReportRequest>,
    ledger: Ledger,
    stopping: Stopping,
    acks: VecDeque<Ack>,
    is_over: bool,
}

/// The acknowledgements of a stream of reports. It ends with the reports, with an error, or when the process stops.
pub(super) fn acks(
    reports: Streaming<proto::ReportRequest>,
    ledger: Ledger,
    stopping: Stopping,
) -> impl Stream<Item = Result<proto::ReportResponse, Status>> + Send {
    let intake = Intake { reports, ledger, stopping, acks: VecDeque::new(), is_over: false };
    stream::unfold(intake, |mut intake| async move {
        let ack = intake.next().await?;
        intake.is_over = ack.is_err();
        Some((ack.map(response), intake))
    })
}

fn response(ack: Ack) -> proto::ReportResponse {
    proto::ReportResponse { boot_id: ack.boot_id, lane: ack.lane, sequence: ack.sequence }
}

impl Intake {
    async fn next(&mut self) -> Option<Result<Ack, Status>> {
        if self.is_over {
            return None;
        }
        loop {
            if let Some(ack) = self.acks.pop_front() {
                return Some(Ok(ack));
            }
            let report = tokio::select! {
                biased;
                () = &mut self.stopping => return Some(Err(Status::unavailable("the control plane is stopping"))),
                report = self.reports.message() => report,
            };
            match report {
                Ok(Some(report)) => match self.take(report).await {
                    Ok(acks) => self.acks.extend(acks),
                    Err(status) => return Some(Err(status)),
                },
                Ok(None) => return None,
                Err(status) => {
                    tracing::debug!(%status, "a report stream ended");
                    return None;
                }
            }
        }
    }

    async fn take(&mut self, report: proto::ReportRequest) -> Result<Vec<Ack>, Status> {
        if report.records.len() > MAX_RECORDS {
            let count = report.records.len();
            return Err(Status::invalid_argument(format!(
                "{count} records in a report, at most {MAX_RECORDS} are taken"
            )));
        }
        let proxy_id = hello::id("proxy_id", report.proxy_id).map_err(Status::invalid_argument)?;
        match self.ledger.accept(&proxy_id, report.records).await {
            Ok(accepted) => Ok(accepted.acks),
            Err(error) => Err(not_safe(&proxy_id, &error)),
        }
    }
}

/// Nothing was acknowledged, so the proxy keeps its records and comes again.
fn not_safe(proxy_id: &str, error: &LedgerError) -> Status {
    tracing::error!(
        proxy.id = proxy_id,
        error = error as &dyn std::error::Error,
        "call records could not be kept"
    );
    match error {
        LedgerError::Full { .. } => Status::resource_exhausted("the usage ledger's disk is full"),
        LedgerError::Unwritable { .. }
        | LedgerError::Corrupt { .. }
        | LedgerError::TooNew { .. }
        | LedgerError::Storage { .. }
        | LedgerError::Query(_) => Status::unavailable("the usage ledger cannot be written"),
    }
}

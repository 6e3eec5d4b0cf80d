//! The promises of the task set, on a paused clock.

use tokio::sync::oneshot;

use super::*;

const GRACE: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_a_task_that_finishes_its_work() {
    let tasks = Tasks::new();
    let stopping = tasks.stopping();
    let (done, was_done) = oneshot::channel();
    tasks.spawn("writer", TaskKind::Background, async move {
        stopping.await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        done.send(()).unwrap();
    });
    assert_eq!(tasks.shutdown(GRACE).await, Ok(()));
    was_done.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn shutdown_names_and_aborts_what_outlives_the_grace() {
    let tasks = Tasks::new();
    let deaf = tasks.spawn("deaf", TaskKind::Background, std::future::pending::<()>());
    assert_eq!(tasks.shutdown(GRACE).await, Err(vec![StillRunning { name: "deaf" }]));
    deaf.ended().await;
    assert!(tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_disposable_task_is_dropped_when_stopping_begins() {
    let tasks = Tasks::new();
    tasks.spawn("timer", TaskKind::Disposable, std::future::pending::<()>());
    let before = tokio::time::Instant::now();
    assert_eq!(tasks.shutdown(GRACE).await, Ok(()));
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_critical_task_becomes_the_reason_to_stop() {
    let tasks = Tasks::new();
    tasks.spawn("listener", TaskKind::Critical, async { fails("out of luck") });
    let end = tasks.critical_end().await;
    assert_eq!(end.to_string(), "task `listener` ended: panicked: out of luck");
}

#[tokio::test(start_paused = true)]
async fn a_critical_task_that_simply_returns_stops_the_process_too() {
    let tasks = Tasks::new();
    tasks.spawn("listener", TaskKind::Critical, async {});
    assert_eq!(tasks.critical_end().await.reason, "it was not asked to stop");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_background_task_leaves_the_others_running() {
    let tasks = Tasks::new();
    tasks.spawn("sweeper", TaskKind::Background, async { fails("dust") }).ended().await;
    let (done, was_done) = oneshot::channel();
    tasks.spawn("writer", TaskKind::Background, async move { done.send(()).unwrap() });
    was_done.await.unwrap();
    assert!(tokio::time::timeout(GRACE, tasks.critical_end()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_asked_for_is_no_failure() {
    let tasks = Tasks::new();
    let stopping = tasks.stopping();
    tasks.spawn("listener", TaskKind::Critical, stopping);
    tasks.shutdown(GRACE).await.unwrap();
    assert!(tokio::time::timeout(GRACE, tasks.critical_end()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn stopping_a_child_leaves_its_parent_running_but_not_the_other_way_round() {
    let tasks = Tasks::new();
    let child = tasks.child();
    child.spawn("inner", TaskKind::Background, child.stopping());
    tasks.spawn("outer", TaskKind::Background, tasks.stopping());
    assert_eq!(tasks.len(), 2);

    child.shutdown(GRACE).await.unwrap();
    assert!(!tasks.is_stopping());
    assert_eq!(tasks.len(), 1);

    let second = tasks.child();
    second.spawn("inner", TaskKind::Background, second.stopping());
    tasks.shutdown(GRACE).await.unwrap();
    assert!(second.is_stopping());
}

#[tokio::test(start_paused = true)]
async fn a_critical_end_in_a_child_is_seen_by_the_parent() {
    let tasks = Tasks::new();
    tasks.child().spawn("stream", TaskKind::Critical, async { Err::<(), _>("broken") });
    assert_eq!(tasks.critical_end().await, CriticalEnd { name: "stream", reason: "broken".to_owned() });
}

#[tokio::test(start_paused = true)]
async fn an_aborted_task_leaves_the_list() {
    let tasks = Tasks::new();
    let task = tasks.spawn("stuck", TaskKind::Background, std::future::pending::<()>());
    task.abort();
    task.ended().await;
    assert!(tasks.is_empty());
}

fn fails(message: &'static str) {
    panic!("{message}");
}

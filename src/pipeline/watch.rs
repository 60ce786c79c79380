//! Tasks that must not end unnoticed: one that panics or gives up makes its component failed in health.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use super::health::Health;

/// `task`; if it panics or ends with a reason, `component` has failed.
pub async fn watched(component: String, health: Arc<Health>, task: impl Future<Output = Result<(), String>>) {
    let mut task = pin!(task);
    let ended = std::future::poll_fn(|context| {
        // Whatever the task was in the middle of is never looked at again.
        match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) {
            Ok(polled) => polled,
            Err(panic) => Poll::Ready(Err(format!("it panicked: {}", said(panic.as_ref())))),
        }
    });
    if let Err(why) = ended.await {
        tracing::error!(component, why, "broke down; a reload that changes it, or a restart, brings it back");
        health.failed(&component, why);
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::health::State;

    async fn after(task: impl Future<Output = Result<(), String>>) -> State {
        let health = Arc::new(Health::default());
        health.set([("logs".to_owned(), State::Ready, vec!["processor batch".to_owned()])]);
        watched("processor batch".to_owned(), health.clone(), task).await;
        health.states().into_values().next().unwrap()
    }

    #[tokio::test]
    async fn a_task_that_panics_or_gives_up_has_failed_one_that_ends_has_not() {
        let failed = |why: &str| State::Failed(format!("processor batch: {why}"));
        assert_eq!(after(async { Ok(()) }).await, State::Ready);
        assert_eq!(after(async { Err("no more descriptors".to_owned()) }).await, failed("no more descriptors"));
        let panicking = async {
            tokio::task::yield_now().await;
            panic!("index {} out of range", 3)
        };
        assert_eq!(after(panicking).await, failed("it panicked: index 3 out of range"));
    }
}

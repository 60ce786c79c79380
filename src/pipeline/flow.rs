//! What is measured of every node in the same way: items in and out, how long it takes itself, a span if anybody traces.
//!
//! Time below a node does not count as its own. What a node hands on from a task of its own, as `batch` does, happens
//! after its `consume` and counts for nobody.

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::Instrument as _;

use super::{
    Batch, Boxed, Consumer, Headroom, Next, Outcome,
    component::{Context, StartError},
};
use crate::{
    otlp::Signal,
    telemetry::{Counter, FLOW, Histogram, SECONDS},
};

tokio::task_local! {
    /// What the nodes below the innermost watched one have taken so far.
    static BELOW: Cell<Duration>;
}

/// `next` with a span for each batch that `receiver` brings; `receiver` is its id.
pub fn receiver(receiver: &str, next: Next) -> Next {
    Arc::new(Received { receiver: receiver.to_owned(), next })
}

struct Received {
    receiver: String,
    next: Next,
}

impl Consumer for Received {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        let span = span("receiver", &self.receiver, &batch);
        // Asked only within the span, so that what the next node does is below it.
        Box::pin(traced(async { self.next.consume(batch).await }, span))
    }

    fn headroom(&self) -> Option<Headroom> {
        self.next.headroom()
    }

    fn drain(&self) -> Boxed<'_, ()> {
        self.next.drain()
    }
}

/// A span about `batch` in the component `kind` `id`: free while nobody traces.
pub fn span(kind: &'static str, id: &str, batch: &Batch) -> tracing::Span {
    tracing::info_span!(
        target: FLOW,
        "flow",
        otel.name = format_args!("{kind}/{id}/{}", batch.signal.name()),
        component.kind = kind,
        component.id = id,
        items = batch.items,
        bytes = batch.body.len(),
        outcome = tracing::field::Empty,
        otel.status_code = tracing::field::Empty,
    )
}

/// `consume` within `span`, which will say how it went.
pub async fn traced(consume: impl Future<Output = Outcome>, span: tracing::Span) -> Outcome {
    let outcome = consume.instrument(span.clone()).await;
    if !span.is_disabled() {
        let (name, failed) = match &outcome {
            Outcome::Accepted => ("accepted", false),
            Outcome::Partial { .. } => ("partial", true),
            Outcome::Retryable { .. } => ("retryable", true),
            Outcome::Permanent { .. } => ("permanent", true),
            Outcome::Overloaded { .. } => ("overloaded", true),
        };
        span.record("outcome", name);
        if failed {
            span.record("otel.status_code", "ERROR");
        }
    }
    outcome
}

/// The processor that `build` makes of the node it hands on to, watched on both sides.
pub fn processor(
    signal: Signal,
    next: Next,
    context: &Context,
    build: impl FnOnce(Next) -> Result<Next, StartError>,
) -> Result<Next, StartError> {
    let labels = [("processor", context.id.as_str()), ("otel_signal", signal.name())];
    let metrics = &context.metrics;
    let outgoing = metrics.counter("otelcol_processor_outgoing_items", "Items handed on by the processor.", &labels);
    let inner = build(Arc::new(Below { outgoing, next }))?;
    Ok(Arc::new(Processor {
        id: context.id.clone(),
        incoming: metrics.counter("otelcol_processor_incoming_items", "Items given to the processor.", &labels),
        duration: metrics.histogram(
            "otelcol_processor_internal_duration",
            "Seconds a batch spends in the processor itself.",
            SECONDS,
            &labels,
        ),
        inner,
    }))
}

struct Processor {
    id: String,
    incoming: Counter,
    duration: Histogram,
    inner: Next,
}

impl Consumer for Processor {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        self.incoming.add(batch.items as u64);
        let span = span("processor", &self.id, &batch);
        let consume = BELOW.scope(Cell::new(Duration::ZERO), async {
            let begun = Instant::now();
            let outcome = self.inner.consume(batch).await;
            self.duration.record(begun.elapsed().saturating_sub(BELOW.with(Cell::get)).as_secs_f64());
            outcome
        });
        Box::pin(traced(consume, span))
    }

    fn headroom(&self) -> Option<Headroom> {
        self.inner.headroom()
    }

    fn drain(&self) -> Boxed<'_, ()> {
        self.inner.drain()
    }
}

/// What a processor hands on to.
struct Below {
    outgoing: Counter,
    next: Next,
}

impl Consumer for Below {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(async move {
            self.outgoing.add(batch.items as u64);
            let begun = Instant::now();
            let outcome = self.next.consume(batch).await;
            let _ = BELOW.try_with(|below| below.set(below.get() + begun.elapsed()));
            outcome
        })
    }

    fn drain(&self) -> Boxed<'_, ()> {
        self.next.drain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::probe::{Script, context};

    /// Halves what it is given and takes 10 ms.
    struct Halves(Next);

    impl Consumer for Halves {
        fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                self.0.consume(Batch { items: batch.items / 2, ..batch }).await
            })
        }
    }

    #[tokio::test]
    async fn items_are_counted_on_both_sides_and_time_below_is_not_its_own() {
        let context = context("filter", std::path::Path::new("."));
        let sink = Script::new([Outcome::Accepted]);
        let inner = processor(Signal::Logs, sink.clone(), &context, |next| Ok(Arc::new(Halves(next)))).unwrap();
        let outer = Context { id: "first".into(), ..context.clone() };
        let node = processor(Signal::Logs, inner, &outer, Ok).unwrap();
        let batch = Batch { signal: Signal::Logs, body: bytes::Bytes::new(), items: 8 };
        assert_eq!(node.consume(batch).await, Outcome::Accepted);
        assert_eq!(sink.items(), [4]);
        let text = context.metrics.render(&crate::telemetry::Form::default());
        for line in [
            "otelcol_processor_incoming_items{processor=\"first\",otel_signal=\"logs\"} 8\n",
            "otelcol_processor_outgoing_items{processor=\"first\",otel_signal=\"logs\"} 8\n",
            "otelcol_processor_incoming_items{processor=\"filter\",otel_signal=\"logs\"} 8\n",
            "otelcol_processor_outgoing_items{processor=\"filter\",otel_signal=\"logs\"} 4\n",
            "otelcol_processor_internal_duration_bucket{processor=\"filter\",otel_signal=\"logs\",le=\"0.005\"} 0\n",
            "otelcol_processor_internal_duration_bucket{processor=\"first\",otel_signal=\"logs\",le=\"0.005\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}

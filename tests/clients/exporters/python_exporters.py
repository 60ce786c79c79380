"""Sends N spans, N log records and N metric points with each official Python exporter: gRPC and HTTP, plain and gzip.

usage: python_exporters.py GRPC_ENDPOINT HTTP_ENDPOINT N

Every batch has its own resource attribute `test.case`, every item its own `test.item`, so that the counting side
can tell a lost item from a doubled one. Prints the cases, one a line: CASE SIGNAL N.
"""

import sys

import grpc
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

# Delta: the points are sent once, by the collection at shutdown, and not again.
DELTA = {Counter: AggregationTemporality.DELTA}


def spans(exporter, resource: Resource, n: int) -> None:
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=2 * n))
    tracer = provider.get_tracer("clients")
    for item in range(n):
        with tracer.start_as_current_span("work", attributes={"test.item": item}) as span:
            span.add_event("half way", {"share": 0.5})
    provider.shutdown()


def logs(exporter, resource: Resource, n: int) -> None:
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=2 * n))
    logger = provider.get_logger("clients")
    for item in range(n):
        logger.emit(body={"text": "seat taken", "row": item}, attributes={"test.item": item}, event_name="seat.taken")
    provider.shutdown()


def metrics(exporter, resource: Resource, n: int) -> None:
    # never by the clock: the one collection is that of the shutdown
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    counter = provider.get_meter("clients").create_counter("seats")
    for item in range(n):
        counter.add(item + 1, {"test.item": item})
    provider.shutdown()


def main(grpc_endpoint: str, http_endpoint: str, n: int) -> None:
    def over_grpc(exporter, compression, **more):
        return exporter(endpoint=grpc_endpoint, insecure=True, compression=compression, **more)

    def over_http(exporter, compression, signal, **more):
        return exporter(endpoint=f"{http_endpoint}/v1/{signal}", compression=compression, **more)

    for squeeze in ("none", "gzip"):
        rpc = grpc.Compression.Gzip if squeeze == "gzip" else grpc.Compression.NoCompression
        http = Compression.Gzip if squeeze == "gzip" else Compression.NoCompression
        for transport, signal, send, exporter in (
            ("grpc", "traces", spans, over_grpc(GrpcSpans, rpc)),
            ("grpc", "logs", logs, over_grpc(GrpcLogs, rpc)),
            ("grpc", "metrics", metrics, over_grpc(GrpcMetrics, rpc, preferred_temporality=DELTA)),
            ("http", "traces", spans, over_http(HttpSpans, http, "traces")),
            ("http", "logs", logs, over_http(HttpLogs, http, "logs")),
            ("http", "metrics", metrics, over_http(HttpMetrics, http, "metrics", preferred_temporality=DELTA)),
        ):
            case = f"python-{transport}-{squeeze}-{signal}"
            send(exporter, Resource({"service.name": "clients", "test.case": case}), n)
            print(case, signal, n, flush=True)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

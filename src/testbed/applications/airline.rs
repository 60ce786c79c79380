//! The airline: a booking is a saga over queues, topics and direct invocations, and failures compensate. The shape is
//! that of the serverless airline-booking sample.

use super::{
    super::{
        application::{Application, Arrival, Dialect, Op, Pattern, Service, Spec, Stage, Trigger},
        invocation::{
            CONFLICT, Failure, Run,
            Severity::{Info, Warning},
        },
    },
    http, spec,
};

/// Eleven functions in Python.
pub const AIRLINE: Application = Application {
    name: "airline",
    domain: "airline.example",
    dialect: Dialect::Python,
    functions: FUNCTIONS,
    arrivals: &[
        Arrival { function: "search-flights", pattern: Pattern::People(6_500.0), spans: 3.9 },
        Arrival { function: "reserve-seat", pattern: Pattern::People(2_000.0), spans: 24.2 },
        Arrival { function: "get-loyalty", pattern: Pattern::People(2_400.0), spans: 3.0 },
    ],
    stages: &[
        Stage {
            function: "search-flights",
            entry: "search-flights",
            read: Op::dynamo("Query", "flights"),
            write: Op::dynamo("GetItem", "fares"),
            step: Op::dynamo("Query", "flights"),
            table: "customers",
            bucket: "airline-passports",
            queue: "loyalty-adjustments",
            secret: "partner-fares-token",
            neighbour: "refund-payment",
        },
        Stage {
            function: "get-loyalty",
            entry: "get-loyalty",
            read: Op::dynamo("Query", "loyalty"),
            write: Op::dynamo("GetItem", "loyalty-tiers"),
            step: Op::dynamo("GetItem", "loyalty-tiers"),
            table: "contacts",
            bucket: "airline-passports",
            queue: "payments",
            secret: "database-admin",
            neighbour: "cancel-booking",
        },
        Stage {
            function: "collect-payment",
            entry: "reserve-seat",
            read: Op::dynamo("GetItem", "bookings"),
            write: Op::dynamo("PutItem", "payments"),
            step: CHARGE,
            table: "contacts",
            bucket: "airline-invoices",
            queue: "refunds",
            secret: "database-admin",
            neighbour: "ingest-loyalty",
        },
        Stage {
            function: "ingest-loyalty",
            entry: "reserve-seat",
            read: Op::dynamo("GetItem", "loyalty"),
            write: Op::dynamo("PutItem", "loyalty"),
            step: Op::dynamo("PutItem", "loyalty"),
            table: "payments",
            bucket: "airline-catalogue-exports",
            queue: "payments",
            secret: "payment-api-key",
            neighbour: "confirm-booking",
        },
    ],
    newcomer: spec(
        ("upgrade-offers", Trigger::Schedule),
        (256, 440.0),
        ("airline.offers", 1),
        upgrade_offers,
        Op::dynamo("GetItem", "promotions"),
    ),
};

const FUNCTIONS: &[Spec] = &[
    spec(
        ("search-flights", http("GET", "/flights")),
        (512, 620.0),
        ("airline.catalogue", 31),
        search_flights,
        Op::dynamo("GetItem", "promotions"),
    ),
    spec(
        ("reserve-seat", http("POST", "/bookings")),
        (256, 410.0),
        ("airline.seats", 12),
        reserve_seat,
        Op::dynamo("GetItem", "seat-maps"),
    ),
    spec(
        ("reserve-booking", Trigger::Direct),
        (256, 430.0),
        ("airline.bookings", 18),
        reserve_booking,
        Op::dynamo("GetItem", "fares"),
    ),
    spec(
        ("collect-payment", Trigger::Queue("payments")),
        (512, 780.0),
        ("airline.payment", 24),
        collect_payment,
        Op::new(Service::Ssm, "GetParameter", "payment-limits"),
    ),
    spec(
        ("confirm-booking", Trigger::Direct),
        (256, 420.0),
        ("airline.bookings", 9),
        confirm_booking,
        Op::dynamo("GetItem", "fare-rules"),
    ),
    spec(
        ("notify-booking", Trigger::Topic("booking-events")),
        (256, 510.0),
        ("airline.notify", 7),
        notify_booking,
        Op::dynamo("GetItem", "templates"),
    ),
    spec(
        ("ingest-loyalty", Trigger::Topic("booking-events")),
        (256, 460.0),
        ("airline.loyalty", 15),
        ingest_loyalty,
        Op::dynamo("GetItem", "campaigns"),
    ),
    spec(
        ("get-loyalty", http("GET", "/loyalty/")),
        (256, 400.0),
        ("airline.loyalty", 11),
        get_loyalty,
        Op::dynamo("GetItem", "partners"),
    ),
    spec(
        ("refund-payment", Trigger::Direct),
        (256, 750.0),
        ("airline.payment", 6),
        refund_payment,
        Op::dynamo("PutItem", "refunds"),
    ),
    spec(
        ("cancel-booking", Trigger::Direct),
        (256, 410.0),
        ("airline.bookings", 8),
        cancel_booking,
        Op::dynamo("GetItem", "bookings"),
    ),
    spec(
        ("release-seat", Trigger::Direct),
        (256, 390.0),
        ("airline.seats", 5),
        release_seat,
        Op::dynamo("GetItem", "seat-maps"),
    ),
];

const PAYMENT_KEY: Op = Op::new(Service::Secrets, "GetSecretValue", "payment-api-key");
/// Charges the card.
pub const CHARGE: Op = Op::http("POST", "https://api.payments.example/v1/charges");
const REFUND: Op = Op::http("POST", "https://api.payments.example/v1/refunds?charge=");
const QUOTE: Op = Op::http("GET", "https://fares.partner-air.example/v2/quotes?itinerary=");
/// Asks for payment.
pub const ASK_FOR_PAYMENT: Op = Op::send("payments");

/// Cards declined.
const DECLINED: f64 = 0.04;
/// Bookings that cannot be confirmed although they are paid.
const UNCONFIRMED: f64 = 0.006;
/// Searches that are an administrator's rebuild of the catalogue.
const ADMIN: f64 = 1.0 / 2000.0;
/// Bookings that lift a traveller to the next tier.
const TIER_UPGRADE: f64 = 1.0 / 300.0;
/// Seats somebody else got first.
const SEAT_TAKEN: f64 = 0.012;

fn search_flights(run: &mut Run<'_>) -> Result<(), Failure> {
    if run.happens(ADMIN) {
        for _ in 0..2 + run.rng.below(3) {
            run.call(Op::dynamo("Scan", "flights"), 45.0)?;
        }
        run.call(Op::s3("PutObject", "airline-catalogue-exports"), 38.0)?;
        run.log(Info, 121, "catalogue rebuilt on request of an administrator".to_owned());
        return Ok(());
    }
    run.call(Op::dynamo("Query", "flights"), 9.0)?;
    for _ in 0..=run.rng.below(2) {
        run.call(Op::dynamo("GetItem", "fares"), 4.5)?;
    }
    if run.happens(0.35) {
        run.call(QUOTE, 120.0)?;
    }
    let (from, to, found) = (airport(run), airport(run), run.rng.below(14));
    run.log(Info, 64, format!("search {from}-{to} found {found} flights"));
    Ok(())
}

fn reserve_seat(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "flights"), 4.5)?;
    if run.happens(SEAT_TAKEN) {
        run.log(Warning, 58, "seat was taken meanwhile".to_owned());
        return Err(run.refused(Op::dynamo("UpdateItem", "seats"), 6.0, CONFLICT));
    }
    run.call(Op::dynamo("UpdateItem", "seats"), 6.5)?;
    run.start(Op::invoke("reserve-booking"), &["reserve-booking"], 60.0)
}

fn reserve_booking(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "flights"), 4.5)?;
    run.call(Op::dynamo("PutItem", "bookings"), 6.0)?;
    let booking = run.word(6);
    run.log(Info, 42, format!("booking {booking} reserved, waiting for payment"));
    run.start(ASK_FOR_PAYMENT, &["collect-payment"], 350.0)
}

fn collect_payment(run: &mut Run<'_>) -> Result<(), Failure> {
    if run.given.cold {
        run.call(PAYMENT_KEY, 22.0)?;
    }
    run.call(Op::dynamo("GetItem", "bookings"), 4.5)?;
    run.call(CHARGE, 210.0)?;
    run.call(Op::dynamo("PutItem", "payments"), 6.0)?;
    let (booking, cents) = (run.word(6), 4_000 + run.rng.below(90_000));
    if run.either(DECLINED, run.given.unlucky) {
        run.log(Warning, 97, format!("payment for booking {booking} declined by the issuer"));
        return run.start(Op::invoke("cancel-booking"), &["cancel-booking"], 60.0);
    }
    run.log(Info, 88, format!("payment of {}.{:02} EUR for booking {booking} captured", cents / 100, cents % 100));
    run.start(Op::invoke("confirm-booking"), &["confirm-booking"], 60.0)
}

fn confirm_booking(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "bookings"), 4.5)?;
    if run.happens(UNCONFIRMED) {
        let booking = run.word(6);
        run.log(Warning, 71, format!("booking {booking} cannot be confirmed, refunding"));
        return run.start(Op::invoke("refund-payment"), &["refund-payment"], 60.0);
    }
    run.call(Op::dynamo("UpdateItem", "bookings"), 6.5)?;
    let booking = run.word(6);
    run.log(Info, 77, format!("booking {booking} confirmed"));
    run.start(Op::publish("booking-events"), &["notify-booking", "ingest-loyalty"], 120.0)
}

fn notify_booking(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "bookings"), 4.5)?;
    run.call(Op::dynamo("GetItem", "contacts"), 4.5)?;
    run.call(Op::new(Service::Ses, "SendEmail", ""), 65.0).map(drop)
}

fn ingest_loyalty(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "loyalty"), 4.5)?;
    run.call(Op::dynamo("PutItem", "loyalty"), 6.0)?;
    if run.happens(TIER_UPGRADE) {
        run.call(Op::dynamo("UpdateItem", "loyalty-tiers"), 6.5)?;
        run.call(Op::publish("tier-events"), 15.0)?;
        run.log(Info, 53, "traveller lifted to the next tier".to_owned());
    }
    Ok(())
}

fn get_loyalty(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("Query", "loyalty"), 7.0)?;
    run.call(Op::dynamo("GetItem", "loyalty-tiers"), 4.5).map(drop)
}

fn refund_payment(run: &mut Run<'_>) -> Result<(), Failure> {
    if run.given.cold {
        run.call(PAYMENT_KEY, 22.0)?;
    }
    run.call(Op::dynamo("GetItem", "payments"), 4.5)?;
    run.call(REFUND, 240.0)?;
    run.call(Op::dynamo("UpdateItem", "payments"), 6.5)?;
    let booking = run.word(6);
    run.log(Info, 49, format!("payment for booking {booking} refunded"));
    run.start(Op::invoke("cancel-booking"), &["cancel-booking"], 60.0)
}

fn cancel_booking(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("UpdateItem", "bookings"), 6.5)?;
    let booking = run.word(6);
    run.log(Info, 35, format!("booking {booking} cancelled"));
    run.start(Op::invoke("release-seat"), &["release-seat"], 60.0)
}

fn release_seat(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "bookings"), 4.5)?;
    run.call(Op::dynamo("UpdateItem", "seats"), 6.5).map(drop)
}

fn upgrade_offers(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("Query", "bookings"), 12.0)?;
    run.call(Op::dynamo("GetItem", "seats"), 4.5)?;
    run.call(Op::new(Service::Ses, "SendEmail", ""), 65.0).map(drop)
}

fn airport(run: &mut Run<'_>) -> &'static str {
    const AIRPORTS: [&str; 8] = ["LIS", "DUB", "CDG", "FRA", "MAD", "JFK", "GRU", "NRT"];
    AIRPORTS.get(run.rng.below(AIRPORTS.len() as u64) as usize).copied().unwrap_or("LIS")
}

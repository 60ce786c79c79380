//! What each function does when nobody has tampered with it, and where a tampered one leaves that path.

use super::{
    application::{Function, Op, Service},
    attacks::Payload,
    invocation::{
        CONFLICT, Failure, Run,
        Severity::{Info, Warning},
    },
};

const PAYMENT_KEY: Op = Op::new(Service::Secrets, "GetSecretValue", "payment-api-key");
const CHARGE: Op = Op::new(Service::Http, "POST", "https://api.payments.example/v1/charges");
const REFUND: Op = Op::new(Service::Http, "POST", "https://api.payments.example/v1/refunds?charge=");
const QUOTE: Op = Op::new(Service::Http, "GET", "https://fares.partner-air.example/v2/quotes?itinerary=");

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

/// Runs a function's handler to its end or first failure. `payload` is what the attacker has it do, if this is the
/// function they hold.
pub fn handle(function: Function, run: &mut Run<'_>, payload: Option<Payload>) -> Result<(), Failure> {
    run.think(2.5);
    match function {
        Function::SearchFlights => search_flights(run),
        Function::ReserveSeat => reserve_seat(run),
        Function::ReserveBooking => reserve_booking(run, payload),
        Function::CollectPayment => collect_payment(run, payload),
        Function::ConfirmBooking => confirm_booking(run),
        Function::NotifyBooking => notify_booking(run),
        Function::IngestLoyalty => ingest_loyalty(run),
        Function::GetLoyalty => get_loyalty(run),
        Function::RefundPayment => refund_payment(run),
        Function::CancelBooking => cancel_booking(run),
        Function::ReleaseSeat => release_seat(run),
    }?;
    if let Some(payload) = payload.filter(|payload| !payload.alters_path()) {
        run.misbehave(payload)?;
    }
    run.think(1.5);
    Ok(())
}

fn search_flights(run: &mut Run<'_>) -> Result<(), Failure> {
    if run.happens(ADMIN) {
        for _ in 0..2 + run.rng.below(3) {
            run.call(Op::dynamo("Scan", "flights"), 45.0)?;
        }
        run.call(Op::new(Service::S3, "PutObject", "airline-catalogue-exports"), 38.0)?;
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
    run.start(Op::invoke(Function::ReserveBooking), &[Function::ReserveBooking], 60.0)
}

fn reserve_booking(run: &mut Run<'_>, payload: Option<Payload>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "flights"), 4.5)?;
    run.call(Op::dynamo("PutItem", "bookings"), 6.0)?;
    let booking = booking(run);
    run.log(Info, 42, format!("booking {booking} reserved, waiting for payment"));
    if payload == Some(Payload::SkipPayment) {
        return run.misbehave(Payload::SkipPayment);
    }
    run.start(Op::new(Service::Sqs, "SendMessage", "payments"), &[Function::CollectPayment], 350.0)
}

fn collect_payment(run: &mut Run<'_>, payload: Option<Payload>) -> Result<(), Failure> {
    if run.given.cold {
        run.call(PAYMENT_KEY, 22.0)?;
    }
    run.call(Op::dynamo("GetItem", "bookings"), 4.5)?;
    if payload == Some(Payload::BypassPayment) {
        run.misbehave(Payload::BypassPayment)?;
    } else {
        run.call(CHARGE, 210.0)?;
    }
    run.call(Op::dynamo("PutItem", "payments"), 6.0)?;
    let (booking, cents) = (booking(run), 4_000 + run.rng.below(90_000));
    let declined = run.rng.chance(DECLINED);
    if run.given.payload.map_or(declined, Payload::needs_decline) {
        run.log(Warning, 97, format!("payment for booking {booking} declined by the issuer"));
        return run.start(Op::invoke(Function::CancelBooking), &[Function::CancelBooking], 60.0);
    }
    run.log(Info, 88, format!("payment of {}.{:02} EUR for booking {booking} captured", cents / 100, cents % 100));
    run.start(Op::invoke(Function::ConfirmBooking), &[Function::ConfirmBooking], 60.0)
}

fn confirm_booking(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "bookings"), 4.5)?;
    if run.given.reads_fare_rules {
        run.call(Op::dynamo("GetItem", "fare-rules"), 5.0)?;
        run.think(9.0);
    }
    if run.happens(UNCONFIRMED) {
        let booking = booking(run);
        run.log(Warning, 71, format!("booking {booking} cannot be confirmed, refunding"));
        return run.start(Op::invoke(Function::RefundPayment), &[Function::RefundPayment], 60.0);
    }
    run.call(Op::dynamo("UpdateItem", "bookings"), 6.5)?;
    let booking = booking(run);
    run.log(Info, 77, format!("booking {booking} confirmed"));
    run.start(Op::publish("booking-events"), &[Function::NotifyBooking, Function::IngestLoyalty], 120.0)
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
    let booking = booking(run);
    run.log(Info, 49, format!("payment for booking {booking} refunded"));
    run.start(Op::invoke(Function::CancelBooking), &[Function::CancelBooking], 60.0)
}

fn cancel_booking(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("UpdateItem", "bookings"), 6.5)?;
    let booking = booking(run);
    run.log(Info, 35, format!("booking {booking} cancelled"));
    run.start(Op::invoke(Function::ReleaseSeat), &[Function::ReleaseSeat], 60.0)
}

fn release_seat(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "bookings"), 4.5)?;
    run.call(Op::dynamo("UpdateItem", "seats"), 6.5).map(drop)
}

fn airport(run: &mut Run<'_>) -> &'static str {
    const AIRPORTS: [&str; 8] = ["LIS", "DUB", "CDG", "FRA", "MAD", "JFK", "GRU", "NRT"];
    AIRPORTS.get(run.rng.below(AIRPORTS.len() as u64) as usize).copied().unwrap_or("LIS")
}

fn booking(run: &mut Run<'_>) -> String {
    let mut text = [0; 6];
    run.rng.fill_id(&mut text);
    text.into_iter().map(char::from).collect()
}

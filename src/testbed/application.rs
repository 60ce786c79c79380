//! The airline: its functions, what starts them, and the calls they can make. The shape is that of the serverless
//! airline-booking sample: a booking is a saga over queues, topics and direct invocations, and failures compensate.

/// The account everything runs in.
pub const ACCOUNT: &str = "123456789012";
/// The region everything runs in.
pub const REGION: &str = "eu-west-1";

/// One deployed function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// Lists flights; on rare occasions rebuilds the catalogue for an administrator.
    SearchFlights,
    /// Takes a booking request and holds a seat.
    ReserveSeat,
    /// Writes the booking down and asks for payment.
    ReserveBooking,
    /// Charges the card; a declined card compensates.
    CollectPayment,
    /// Makes the booking final and announces it.
    ConfirmBooking,
    /// Tells the traveller.
    NotifyBooking,
    /// Credits the traveller's points.
    IngestLoyalty,
    /// Shows the traveller's points.
    GetLoyalty,
    /// Compensation: gives the money back.
    RefundPayment,
    /// Compensation: strikes the booking.
    CancelBooking,
    /// Compensation: frees the seat.
    ReleaseSeat,
}

/// What starts a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A request through the API gateway.
    Http {
        /// `http.method`.
        method: &'static str,
        /// `http.route`; what ends in `=` or `/` gets something random after it in `http.target`.
        route: &'static str,
    },
    /// A message on this SQS queue.
    Queue(&'static str),
    /// A message on this SNS topic.
    Topic(&'static str),
    /// Another function's invocation.
    Direct,
}

/// What does not change about a function while it is deployed.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// `faas.name`.
    pub name: &'static str,
    /// What starts it.
    pub trigger: Trigger,
    /// `faas.max_memory`, MB.
    pub memory: u64,
    /// Median time to initialise, milliseconds.
    pub init_ms: f64,
    /// Name of its logger.
    pub logger: &'static str,
    /// `faas.version` when the simulation begins.
    pub version: u32,
}

impl Function {
    /// Every function, each at its own discriminant.
    pub const ALL: [Self; 11] = [
        Self::SearchFlights,
        Self::ReserveSeat,
        Self::ReserveBooking,
        Self::CollectPayment,
        Self::ConfirmBooking,
        Self::NotifyBooking,
        Self::IngestLoyalty,
        Self::GetLoyalty,
        Self::RefundPayment,
        Self::CancelBooking,
        Self::ReleaseSeat,
    ];

    /// How it is deployed.
    pub const fn spec(self) -> Spec {
        match self {
            Self::SearchFlights => spec("search-flights", http("GET", "/flights"), 512, 620.0, "airline.catalogue", 31),
            Self::ReserveSeat => spec("reserve-seat", http("POST", "/bookings"), 256, 410.0, "airline.seats", 12),
            Self::ReserveBooking => spec("reserve-booking", Trigger::Direct, 256, 430.0, "airline.bookings", 18),
            Self::CollectPayment => {
                spec("collect-payment", Trigger::Queue("payments"), 512, 780.0, "airline.payment", 24)
            }
            Self::ConfirmBooking => spec("confirm-booking", Trigger::Direct, 256, 420.0, "airline.bookings", 9),
            Self::NotifyBooking => {
                spec("notify-booking", Trigger::Topic("booking-events"), 256, 510.0, "airline.notify", 7)
            }
            Self::IngestLoyalty => {
                spec("ingest-loyalty", Trigger::Topic("booking-events"), 256, 460.0, "airline.loyalty", 15)
            }
            Self::GetLoyalty => spec("get-loyalty", http("GET", "/loyalty/"), 256, 400.0, "airline.loyalty", 11),
            Self::RefundPayment => spec("refund-payment", Trigger::Direct, 256, 750.0, "airline.payment", 6),
            Self::CancelBooking => spec("cancel-booking", Trigger::Direct, 256, 410.0, "airline.bookings", 8),
            Self::ReleaseSeat => spec("release-seat", Trigger::Direct, 256, 390.0, "airline.seats", 5),
        }
    }
}

const fn http(method: &'static str, route: &'static str) -> Trigger {
    Trigger::Http { method, route }
}

const fn spec(
    name: &'static str,
    trigger: Trigger,
    memory: u64,
    init_ms: f64,
    logger: &'static str,
    version: u32,
) -> Spec {
    Spec { name, trigger, memory, init_ms, logger, version }
}

/// What a call is made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// The target is a table.
    DynamoDb,
    /// The target is a topic.
    Sns,
    /// The target is a queue.
    Sqs,
    /// The target is a function.
    Lambda,
    /// The target is a secret, or empty.
    Secrets,
    /// The target is a bucket.
    S3,
    /// No target.
    Sts,
    /// No target.
    Ses,
    /// The target is a log group, of which botocore's instrumentation says nothing.
    Logs,
    /// The target is a URL; the call is made with `requests`.
    Http,
}

impl Service {
    /// As `rpc.service` has it: botocore's service id.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "DynamoDB",
            Self::Sns => "SNS",
            Self::Sqs => "SQS",
            Self::Lambda => "Lambda",
            Self::Secrets => "Secrets Manager",
            Self::S3 => "S3",
            Self::Sts => "STS",
            Self::Ses => "SES",
            Self::Logs => "CloudWatch Logs",
            Self::Http => "HTTP",
        }
    }

    /// The instrumentation scope its spans come from.
    pub const fn scope(self) -> &'static str {
        match self {
            Self::DynamoDb => "opentelemetry.instrumentation.botocore.dynamodb",
            Self::Sns => "opentelemetry.instrumentation.botocore.sns",
            Self::Sqs => "opentelemetry.instrumentation.botocore.sqs",
            Self::Lambda => "opentelemetry.instrumentation.botocore.lambda",
            Self::Secrets => "opentelemetry.instrumentation.botocore.secretsmanager",
            Self::S3 => "opentelemetry.instrumentation.botocore.s3",
            Self::Sts => "opentelemetry.instrumentation.botocore.sts",
            Self::Ses => "opentelemetry.instrumentation.botocore.ses",
            Self::Logs => "opentelemetry.instrumentation.botocore.logs",
            Self::Http => "opentelemetry.instrumentation.requests",
        }
    }

    /// The host an AWS call goes to.
    pub const fn host(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb.eu-west-1.amazonaws.com",
            Self::Sns => "sns.eu-west-1.amazonaws.com",
            Self::Sqs => "sqs.eu-west-1.amazonaws.com",
            Self::Lambda => "lambda.eu-west-1.amazonaws.com",
            Self::Secrets => "secretsmanager.eu-west-1.amazonaws.com",
            Self::S3 => "s3.eu-west-1.amazonaws.com",
            Self::Sts => "sts.eu-west-1.amazonaws.com",
            Self::Ses => "email.eu-west-1.amazonaws.com",
            Self::Logs => "logs.eu-west-1.amazonaws.com",
            Self::Http => "",
        }
    }
}

/// A call a function can make. What differs between two calls of one `Op` is only ids, times and how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Op {
    /// Whom it asks.
    pub service: Service,
    /// `rpc.method` or `http.method`.
    pub method: &'static str,
    /// Table, topic, queue, function, secret, bucket or URL. A URL that ends in `=` gets something random after it.
    pub target: &'static str,
}

impl Op {
    /// A call.
    pub const fn new(service: Service, method: &'static str, target: &'static str) -> Self {
        Self { service, method, target }
    }

    /// A DynamoDB call.
    pub const fn dynamo(method: &'static str, table: &'static str) -> Self {
        Self::new(Service::DynamoDb, method, table)
    }

    /// An invocation of another function.
    pub const fn invoke(function: Function) -> Self {
        Self::new(Service::Lambda, "Invoke", function.spec().name)
    }

    /// A message to a topic.
    pub const fn publish(topic: &'static str) -> Self {
        Self::new(Service::Sns, "Publish", topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_at_its_discriminant() {
        for (index, function) in Function::ALL.into_iter().enumerate() {
            assert_eq!(function as usize, index);
        }
    }
}

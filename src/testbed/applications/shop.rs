//! A shop whose roles are far too wide, as in the deliberately vulnerable DVSA: one order manager that may invoke
//! everything, functions that may read any table, an administrator's functions beside the customers'.

use super::{
    super::{
        application::{Application, Arrival, Dialect, Op, Pattern, Service, Spec, Stage, Trigger},
        benign::MINUTE,
        invocation::{
            Failure, Run,
            Severity::{Info, Warning},
            Size,
        },
    },
    http, spec,
};

/// Seventeen functions in Python.
pub const SHOP: Application = Application {
    name: "shop",
    domain: "shop.example",
    dialect: Dialect::Python,
    functions: FUNCTIONS,
    arrivals: &[
        Arrival { function: "order-manager", pattern: Pattern::People(3_800.0), spans: 9.0 },
        Arrival { function: "feedback-uploads", pattern: Pattern::People(300.0), spans: 3.0 },
        Arrival { function: "admin-get-orders", pattern: Pattern::People(70.0), spans: 3.0 },
        Arrival { function: "cron-cleaner", pattern: Pattern::Every(30 * MINUTE), spans: 4.0 },
        Arrival { function: "cron-jobs", pattern: Pattern::Daily(2), spans: 30.0 },
    ],
    stages: &[
        Stage {
            function: "order-manager",
            entry: "order-manager",
            read: Op::dynamo("GetItem", "shop-users"),
            write: Op::invoke("order-get"),
            step: Op::dynamo("GetItem", "shop-users"),
            table: "shop-cards",
            bucket: "shop-receipts",
            queue: "shop-refunds",
            secret: "shop-payment-key",
            neighbour: "admin-update-orders",
        },
        Stage {
            function: "feedback-uploads",
            entry: "feedback-uploads",
            read: Op::s3("GetObject", "shop-feedback"),
            write: Op::dynamo("PutItem", "shop-feedback"),
            step: Op::dynamo("PutItem", "shop-feedback"),
            table: "shop-orders",
            bucket: "shop-receipts",
            queue: "shop-orders",
            secret: "shop-admin",
            neighbour: "admin-update-inventory",
        },
        Stage {
            function: "order-billing",
            entry: "order-manager",
            read: Op::dynamo("GetItem", "shop-orders"),
            write: Op::dynamo("UpdateItem", "shop-orders"),
            step: Op::invoke("payment-processing"),
            table: "shop-users",
            bucket: "shop-exports",
            queue: "shop-refunds",
            secret: "shop-admin",
            neighbour: "admin-get-receipts",
        },
    ],
    newcomer: spec(
        ("order-reminders", Trigger::Schedule),
        (128, 400.0),
        ("shop.orders", 1),
        order_reminders,
        INVENTORY,
    ),
};

const FUNCTIONS: &[Spec] = &[
    spec(("order-manager", http("POST", "/order")), (256, 480.0), ("shop.orders", 21), order_manager, LIMITS),
    spec(("order-new", Trigger::Direct), (128, 390.0), ("shop.orders", 9), order_new, INVENTORY),
    spec(("order-get", Trigger::Direct), (128, 380.0), ("shop.orders", 7), order_get, INVENTORY),
    spec(("order-update", Trigger::Direct), (128, 380.0), ("shop.orders", 6), order_update, INVENTORY),
    spec(("order-shipping", Trigger::Direct), (128, 380.0), ("shop.orders", 8), order_shipping, INVENTORY),
    spec(("order-billing", Trigger::Direct), (128, 410.0), ("shop.billing", 12), order_billing, LIMITS),
    spec(("order-complete", Trigger::Direct), (128, 390.0), ("shop.orders", 10), order_complete, INVENTORY),
    spec(("order-cancel", Trigger::Direct), (128, 390.0), ("shop.orders", 5), order_cancel, INVENTORY),
    spec(("payment-processing", Trigger::Direct), (256, 640.0), ("shop.billing", 15), payment_processing, LIMITS),
    spec(("get-cart-total", Trigger::Direct), (128, 370.0), ("shop.cart", 4), get_cart_total, INVENTORY),
    spec(
        ("create-receipt", Trigger::Queue("shop-orders")),
        (256, 520.0),
        ("shop.receipts", 11),
        create_receipt,
        LIMITS,
    ),
    spec(
        ("send-receipt-email", Trigger::Bucket("shop-receipts")),
        (128, 430.0),
        ("shop.receipts", 8),
        send_receipt_email,
        LIMITS,
    ),
    spec(
        ("feedback-uploads", Trigger::Bucket("shop-feedback")),
        (256, 450.0),
        ("shop.feedback", 6),
        feedback_uploads,
        LIMITS,
    ),
    spec(
        ("admin-get-orders", http("GET", "/admin/orders")),
        (256, 440.0),
        ("shop.admin", 13),
        admin_get_orders,
        LIMITS,
    ),
    spec(("admin-update-orders", Trigger::Direct), (256, 440.0), ("shop.admin", 7), admin_update_orders, INVENTORY),
    spec(("admin-update-inventory", Trigger::Direct), (256, 440.0), ("shop.admin", 5), admin_update_inventory, LIMITS),
    spec(("admin-get-receipts", Trigger::Direct), (512, 560.0), ("shop.admin", 4), admin_get_receipts, LIMITS),
    spec(("cron-cleaner", Trigger::Schedule), (128, 400.0), ("shop.cron", 3), cron_cleaner, LIMITS),
    spec(("cron-jobs", Trigger::Schedule), (256, 420.0), ("shop.cron", 6), cron_jobs, LIMITS),
];

const LIMITS: Op = Op::dynamo("GetItem", "shop-limits");
const INVENTORY: Op = Op::dynamo("GetItem", "shop-inventory");
const GATEWAY: Op = Op::http("POST", "https://gateway.cards.example/v3/authorisations");

fn order_manager(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "shop-users"), 5.0)?;
    let step = run.rng.unit();
    let function = match step {
        step if step < 0.42 => "order-get",
        step if step < 0.60 => "order-new",
        step if step < 0.75 => "order-update",
        step if step < 0.85 => "order-shipping",
        step if step < 0.97 => "order-billing",
        _ => "order-cancel",
    };
    run.start(Op::invoke(function), &[function], 50.0)
}

fn order_new(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("PutItem", "shop-orders"), 6.0)?;
    let order = run.word(8);
    run.log(Info, 27, format!("order {order} created"));
    Ok(())
}

fn order_get(run: &mut Run<'_>) -> Result<(), Failure> {
    let orders = 1 + run.rng.below(6);
    run.call_sized(Op::dynamo("Query", "shop-orders"), 6.5, Size::rows(orders)).map(drop)
}

fn order_update(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "shop-orders"), 5.0)?;
    run.call(Op::dynamo("UpdateItem", "shop-orders"), 6.5).map(drop)
}

fn order_shipping(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "shop-orders"), 5.0)?;
    run.call(Op::dynamo("UpdateItem", "shop-orders"), 6.5).map(drop)
}

fn order_billing(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "shop-orders"), 5.0)?;
    run.start(Op::invoke("get-cart-total"), &["get-cart-total"], 40.0)?;
    run.start(Op::invoke("payment-processing"), &["payment-processing"], 40.0)?;
    run.call(Op::dynamo("UpdateItem", "shop-orders"), 6.5)?;
    run.start(Op::invoke("order-complete"), &["order-complete"], 60.0)
}

fn order_complete(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("UpdateItem", "shop-orders"), 6.5)?;
    let order = run.word(8);
    run.log(Info, 33, format!("order {order} complete"));
    run.start(Op::send("shop-orders"), &["create-receipt"], 300.0)
}

fn order_cancel(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "shop-orders"), 5.0)?;
    run.call(Op::dynamo("DeleteItem", "shop-orders"), 6.5).map(drop)
}

fn payment_processing(run: &mut Run<'_>) -> Result<(), Failure> {
    if run.given.cold {
        run.call(Op::new(Service::Secrets, "GetSecretValue", "shop-payment-key"), 22.0)?;
    }
    run.call(GATEWAY, 190.0)?;
    if run.happens(0.03) {
        run.log(Warning, 41, "card was declined".to_owned());
    }
    Ok(())
}

fn get_cart_total(run: &mut Run<'_>) -> Result<(), Failure> {
    for _ in 0..=run.rng.below(4) {
        run.call(INVENTORY, 4.5)?;
    }
    Ok(())
}

fn create_receipt(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "shop-orders"), 5.0)?;
    run.call(Op::dynamo("GetItem", "shop-users"), 5.0)?;
    run.start(Op::s3("PutObject", "shop-receipts"), &["send-receipt-email"], 400.0)
}

fn send_receipt_email(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::s3("GetObject", "shop-receipts"), 20.0)?;
    run.call(Op::new(Service::Ses, "SendEmail", ""), 65.0).map(drop)
}

fn feedback_uploads(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::s3("GetObject", "shop-feedback"), 22.0)?;
    run.call(Op::dynamo("PutItem", "shop-feedback"), 6.0).map(drop)
}

fn admin_get_orders(run: &mut Run<'_>) -> Result<(), Failure> {
    let orders = 20 + run.rng.below(80);
    run.call_sized(Op::dynamo("Scan", "shop-orders"), 40.0, Size::rows(orders))?;
    if run.happens(0.2) {
        let next = if run.rng.chance(0.5) { "admin-update-orders" } else { "admin-get-receipts" };
        return run.start(Op::invoke(next), &[next], 50.0);
    }
    Ok(())
}

fn admin_update_orders(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("UpdateItem", "shop-orders"), 6.5)?;
    if run.happens(0.5) {
        return run.start(Op::invoke("admin-update-inventory"), &["admin-update-inventory"], 50.0);
    }
    Ok(())
}

fn admin_update_inventory(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("UpdateItem", "shop-inventory"), 6.5).map(drop)
}

fn admin_get_receipts(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::s3("ListObjectsV2", "shop-receipts"), 30.0)?;
    for _ in 0..2 + run.rng.below(8) {
        run.call(Op::s3("GetObject", "shop-receipts"), 20.0)?;
    }
    run.call(Op::s3("PutObject", "shop-exports"), 45.0).map(drop)
}

fn cron_cleaner(run: &mut Run<'_>) -> Result<(), Failure> {
    let stale = run.rng.below(20);
    run.call_sized(Op::dynamo("Query", "shop-orders"), 12.0, Size::rows(stale))?;
    for _ in 0..run.rng.below(4) {
        run.call(Op::dynamo("DeleteItem", "shop-orders"), 6.0)?;
    }
    Ok(())
}

fn cron_jobs(run: &mut Run<'_>) -> Result<(), Failure> {
    for _ in 0..12 + run.rng.below(8) {
        run.call_sized(Op::dynamo("Scan", "shop-orders"), 50.0, Size::rows(400))?;
    }
    run.call(Op::s3("PutObject", "shop-exports"), 90.0)?;
    run.log(Info, 22, "daily export written".to_owned());
    Ok(())
}

fn order_reminders(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call_sized(Op::dynamo("Query", "shop-orders"), 14.0, Size::rows(12))?;
    run.call(Op::new(Service::Ses, "SendEmail", ""), 65.0).map(drop)
}

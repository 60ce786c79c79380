//! What others record of a function.

use super::*;

/// What somebody else recorded of function 1.
fn recorded(
    channel: Channel,
    at: Nanos,
    touched: &[(Family, Risk, &str)],
    quantities: &[(Quantity, u64)],
) -> Invocation {
    let touched = touched.iter().map(|(family, risk, name)| (*family, *risk, (*name).to_owned(), 1)).collect();
    let usual = Invocation::usual(1, at, &mut Random(3));
    Invocation { touched, channel, complete: false, counted: quantities.to_vec(), failed: false, cold: false, ..usual }
}

#[test]
fn what_others_record_and_the_function_hides_is_noticed() {
    let (mut ready, _) = trained(7);
    // Services and the platform have recorded for a while, with a call that is never traced.
    for n in 0..1500 {
        let at = START + 14 * DAY + n * 10 * SECOND;
        let network = (Family::Identity, Risk::Identity, "from 3.250.0.0/16");
        let untraced = (Family::Untraced, Risk::Read, "ssm.GetParameter");
        let keys = if n % 50 == 0 { vec![network, untraced] } else { vec![network] };
        recorded(Channel::Provider, at, &keys, &[]).observe(&mut ready);
        recorded(Channel::Platform, at, &[], &[(Quantity::MemoryMb, 80 + n % 7)]).observe(&mut ready);
        let change = (Family::Change, Risk::Control, "role/deployer lambda.UpdateFunctionCode");
        if n % 20 == 0 {
            recorded(Channel::Control, at, &[change], &[]).observe(&mut ready);
        }
    }
    let at = START + 14 * DAY + 16_000 * SECOND;
    #[rustfmt::skip]
    let table: [(&str, Channel, &[(Family, Risk, &str)], Option<Tier>); 7] = [
        ("a call that is never traced", Channel::Provider, &[(Family::Untraced, Risk::Read, "ssm.GetParameter")], None),
        ("its usual deployer", Channel::Control, &[(Family::Change, Risk::Control, "role/deployer lambda.UpdateFunctionCode")], None),
        ("a call without a span", Channel::Provider, &[(Family::Untraced, Risk::Read, "dynamodb.Scan on table/orders")], Some(Tier::Queue)),
        ("a call with nothing open", Channel::Provider, &[(Family::Orphan, Risk::Write, "s3.PutObject on bucket/x")], Some(Tier::Queue)),
        ("a credential elsewhere", Channel::Provider, &[(Family::Credential, Risk::Identity, "from 198.51.0.0/16 with aws-cli"),
            (Family::Identity, Risk::Identity, "from 198.51.0.0/16")], Some(Tier::Page)),
        ("an invocation without spans", Channel::Platform, &[(Family::Silence, Risk::Read, "success")], Some(Tier::Evidence)),
        ("a stranger's change", Channel::Control, &[(Family::Change, Risk::Control, "user/eve lambda.UpdateFunctionCode")], Some(Tier::Evidence)),
    ];
    for (name, channel, touched, at_least) in table {
        let mut detector = ready.clone();
        let verdict = recorded(channel, at, touched, &[]).observe(&mut detector);
        assert!(verdict.tier >= at_least, "{name}: {verdict:#?}");
        assert!(at_least.is_some() || verdict.tier.is_none(), "{name}: {verdict:#?}");
    }
    // What is new after a stranger's change is graver than the same on another day.
    let new = Invocation { at: at + SECOND, failed: false, ..Invocation::usual(1, at, &mut Random(3)) }.touch(
        Family::Resource,
        Risk::Read,
        "table/customers",
    );
    let before = new.observe(&mut ready.clone()).score;
    let change = [(Family::Change, Risk::Control, "user/eve lambda.UpdateFunctionCode")];
    recorded(Channel::Control, at, &change, &[]).observe(&mut ready);
    let after = new.observe(&mut ready);
    assert!(after.score > before + 3.0, "{before} became {}", after.score);
    assert!(after.evidence.iter().any(|row| row.feature == Feature::AfterChange), "{after:#?}");
}

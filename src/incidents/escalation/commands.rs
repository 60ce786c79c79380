//! Strong actions as the exact command of the cloud's own tool.
//!
//! A command is a list of arguments that no shell reads. Everything in it that came with telemetry must look like what
//! it says it is, or there is no command: an attacker who names his function `--profile` or `file:///etc/passwd` gets
//! nothing run.

use std::fmt::Write as _;

/// The function an action is for, as its resource attributes say.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// `cloud.provider`.
    pub provider: String,
    /// `cloud.account.id`: account, project or subscription.
    pub account: String,
    /// `cloud.region`.
    pub region: String,
    /// `cloud.resource_id`: an ARN, a resource id; may be empty.
    pub resource: String,
    /// `faas.name`.
    pub function: String,
    /// `faas.version`.
    pub version: String,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strong {
    /// Nothing runs any more.
    Quarantine,
    /// An earlier version gets all traffic.
    Rollback {
        /// The alias callers use.
        alias: String,
        /// Which; empty for the one before `faas.version`.
        version: String,
    },
    /// Whoever holds credentials of this role or account, from before now, can do nothing with them.
    Revoke {
        /// Whose; `{function}` stands for the function's name.
        role: String,
    },
}

impl Strong {
    /// `quarantine`, `rollback`, `revoke`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::Rollback { .. } => "rollback",
            Self::Revoke { .. } => "revoke",
        }
    }

    /// The arguments, and what they do, as a sentence. `now` is the time credentials must be younger than.
    pub fn command(&self, target: &Target, now: &str) -> Result<(Vec<String>, String), String> {
        match target.provider.as_str() {
            "aws" => self.on_aws(target, now),
            "gcp" => self.on_google(target),
            "azure" => self.on_azure(target),
            "" => Err("the function's resource does not say cloud.provider".to_owned()),
            other => Err(format!("there are no commands for {}", shown(other))),
        }
    }

    fn on_aws(&self, target: &Target, now: &str) -> Result<(Vec<String>, String), String> {
        let name = function_name(&target.function)?;
        match self {
            Self::Quarantine => {
                let (function, region) = lambda(target)?;
                let command = [
                    "aws",
                    "lambda",
                    "put-function-concurrency",
                    "--function-name",
                    &function,
                    "--reserved-concurrent-executions",
                    "0",
                    "--region",
                    &region,
                ];
                Ok((owned(&command), format!("Stops every invocation of {name}: its callers get errors")))
            }
            Self::Rollback { alias, version } => {
                let (function, region) = lambda(target)?;
                let version = if version.is_empty() { before(&target.version)? } else { version.clone() };
                let command = [
                    "aws",
                    "lambda",
                    "update-alias",
                    "--function-name",
                    &function,
                    "--name",
                    alias,
                    "--function-version",
                    &version,
                    "--routing-config",
                    "AdditionalVersionWeights={}",
                    "--region",
                    &region,
                ];
                Ok((owned(&command), format!("Points the alias {alias} of {name} at version {version}")))
            }
            Self::Revoke { role } => {
                let role = role.replace("{function}", &name);
                word(&role, "the role", 64, "+=,.@_-")?;
                let policy = format!(
                    r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Action":["*"],"Resource":["*"],"Condition":{{"DateLessThan":{{"aws:TokenIssueTime":"{now}"}}}}}}]}}"#
                );
                let command = [
                    "aws",
                    "iam",
                    "put-role-policy",
                    "--role-name",
                    &role,
                    "--policy-name",
                    "AWSRevokeOlderSessions",
                    "--policy-document",
                    &policy,
                ];
                Ok((owned(&command), format!("Denies everything to sessions of {role} that began before {now}")))
            }
        }
    }

    fn on_google(&self, target: &Target) -> Result<(Vec<String>, String), String> {
        let name = function_name(&target.function)?;
        word(&target.account, "cloud.account.id", 30, "-")?;
        match self {
            Self::Quarantine => {
                word(&target.region, "cloud.region", 30, "-")?;
                let command = [
                    "gcloud",
                    "run",
                    "services",
                    "update",
                    &name,
                    "--scaling=0",
                    "--region",
                    &target.region,
                    "--project",
                    &target.account,
                    "--quiet",
                ];
                Ok((owned(&command), format!("Leaves {name} without instances: its callers get errors")))
            }
            Self::Rollback { version, .. } if version.is_empty() => {
                Err("revisions have no order in their names: say which with `version`".to_owned())
            }
            Self::Rollback { version, .. } => {
                word(&target.region, "cloud.region", 30, "-")?;
                let revision = format!("--to-revisions={version}=100");
                let command = [
                    "gcloud",
                    "run",
                    "services",
                    "update-traffic",
                    &name,
                    &revision,
                    "--region",
                    &target.region,
                    "--project",
                    &target.account,
                    "--quiet",
                ];
                Ok((owned(&command), format!("Sends all traffic of {name} to {version}")))
            }
            Self::Revoke { role } => {
                let account = role.replace("{function}", &name);
                word(&account, "the service account", 120, ".@-")?;
                let command =
                    ["gcloud", "iam", "service-accounts", "disable", &account, "--project", &target.account, "--quiet"];
                Ok((owned(&command), format!("Disables {account}, for whoever uses it")))
            }
        }
    }

    fn on_azure(&self, target: &Target) -> Result<(Vec<String>, String), String> {
        if *self != Self::Quarantine {
            return Err(format!("there is no command for {} on Azure", self.name()));
        }
        // The resource may be one function of the app; only the app as a whole can be stopped.
        let app = target.resource.split("/functions/").next().unwrap_or_default();
        let parts: Vec<&str> = app.split('/').collect();
        let ["", "subscriptions", subscription, "resourceGroups", group, "providers", "Microsoft.Web", "sites", site] =
            parts.as_slice()
        else {
            return Err("cloud.resource_id is not that of a function app".to_owned());
        };
        word(subscription, "the subscription", 36, "-")?;
        word(group, "the resource group", 90, "-_.()")?;
        word(site, "the function app", 60, "-")?;
        let command =
            ["az", "functionapp", "stop", "--name", site, "--resource-group", group, "--subscription", subscription];
        Ok((owned(&command), format!("Stops the whole function app {site}, with all functions in it")))
    }
}

/// How Lambda is told the function, and where it is: its ARN without a version where there is one.
fn lambda(target: &Target) -> Result<(String, String), String> {
    let name = function_name(&target.function)?;
    let parts: Vec<&str> = target.resource.split(':').collect();
    let (function, region) = match parts.as_slice() {
        ["arn", partition, "lambda", region, account, "function", named, ..] => {
            if *named != name {
                return Err("cloud.resource_id is that of another function".to_owned());
            }
            word(partition, "the partition", 20, "-")?;
            account_id(account)?;
            (format!("arn:{partition}:lambda:{region}:{account}:function:{name}"), (*region).to_owned())
        }
        _ if target.account.is_empty() => (name, target.region.clone()),
        // A partial ARN: nothing in another account is meant.
        _ => {
            account_id(&target.account)?;
            (format!("{}:function:{name}", target.account), target.region.clone())
        }
    };
    word(&region, "cloud.region", 30, "-")?;
    Ok((function, region))
}

fn function_name(name: &str) -> Result<String, String> {
    word(name, "faas.name", 140, "-_").map(|()| name.to_owned())
}

fn account_id(account: &str) -> Result<(), String> {
    if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(format!("the account {} is not twelve digits", shown(account)))
}

/// The version published before `version`.
fn before(version: &str) -> Result<String, String> {
    match version.parse::<u64>() {
        Ok(number) if number > 1 => Ok((number - 1).to_string()),
        _ => Err(format!("no version comes before {}: say which with `version`", shown(version))),
    }
}

/// Whether `text` is nothing but a name; `more` is what it may have beside letters and digits, but not begin with.
pub fn word(text: &str, what: &str, most: usize, more: &str) -> Result<(), String> {
    let fit = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    if text.len() <= most && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fit) {
        return Ok(());
    }
    Err(if text.is_empty() { format!("{what} is not known") } else { format!("{what} is no name: {}", shown(text)) })
}

fn shown(text: &str) -> String {
    format!("`{}`", text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>())
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}

/// `arguments` as one would type them into a shell.
pub fn typed(arguments: &[String]) -> String {
    arguments.iter().fold(String::new(), |mut line, argument| {
        let safe = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
        let space = if line.is_empty() { "" } else { " " };
        if !argument.is_empty() && argument.chars().all(safe) {
            let _ = write!(line, "{space}{argument}");
        } else {
            let _ = write!(line, "{space}'{}'", argument.replace('\'', r"'\''"));
        }
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:lambda:eu-west-1:123456789012:function:checkout";

    fn target(change: impl FnOnce(&mut Target)) -> Target {
        let mut target = Target {
            provider: "aws".to_owned(),
            account: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
            resource: format!("{ARN}:7"),
            function: "checkout".to_owned(),
            version: "7".to_owned(),
        };
        change(&mut target);
        target
    }

    fn google() -> Target {
        target(|t| {
            "gcp".clone_into(&mut t.provider);
            "shop-prod".clone_into(&mut t.account);
            "europe-west1".clone_into(&mut t.region);
            t.resource.clear();
        })
    }

    fn azure(resource: &str) -> Target {
        target(|t| {
            "azure".clone_into(&mut t.provider);
            resource.clone_into(&mut t.resource);
        })
    }

    #[test]
    fn commands_are_exact() {
        let rollback = |version: &str| Strong::Rollback { alias: "live".into(), version: version.into() };
        let revoke = |role: &str| Strong::Revoke { role: role.into() };
        let app = "/subscriptions/5a1b-22/resourceGroups/shop_rg/providers/Microsoft.Web/sites/shop/functions/checkout";
        #[rustfmt::skip]
        let table = [
            (Strong::Quarantine, target(|_| {}), format!("aws lambda put-function-concurrency --function-name {ARN} --reserved-concurrent-executions 0 --region eu-west-1")),
            (Strong::Quarantine, target(|t| t.resource.clear()), "aws lambda put-function-concurrency --function-name 123456789012:function:checkout --reserved-concurrent-executions 0 --region eu-west-1".to_owned()),
            (rollback(""), target(|_| {}), format!("aws lambda update-alias --function-name {ARN} --name live --function-version 6 --routing-config 'AdditionalVersionWeights={{}}' --region eu-west-1")),
            (rollback("3"), target(|t| t.version.clear()), format!("aws lambda update-alias --function-name {ARN} --name live --function-version 3 --routing-config 'AdditionalVersionWeights={{}}' --region eu-west-1")),
            (revoke("{function}-role"), target(|_| {}), "aws iam put-role-policy --role-name checkout-role --policy-name AWSRevokeOlderSessions --policy-document '{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Deny\",\"Action\":[\"*\"],\"Resource\":[\"*\"],\"Condition\":{\"DateLessThan\":{\"aws:TokenIssueTime\":\"2026-11-23T14:02:09Z\"}}}]}'".to_owned()),
            (Strong::Quarantine, google(), "gcloud run services update checkout --scaling=0 --region europe-west1 --project shop-prod --quiet".to_owned()),
            (rollback("checkout-00041-abc"), google(), "gcloud run services update-traffic checkout --to-revisions=checkout-00041-abc=100 --region europe-west1 --project shop-prod --quiet".to_owned()),
            (revoke("{function}@shop-prod.iam.gserviceaccount.com"), google(), "gcloud iam service-accounts disable checkout@shop-prod.iam.gserviceaccount.com --project shop-prod --quiet".to_owned()),
            (Strong::Quarantine, azure(app), "az functionapp stop --name shop --resource-group shop_rg --subscription 5a1b-22".to_owned()),
        ];
        for (action, target, expected) in table {
            let (command, _) = action.command(&target, "2026-11-23T14:02:09Z").unwrap();
            assert_eq!(typed(&command), expected);
        }
    }

    #[test]
    fn what_is_no_name_gets_no_command() {
        let rollback = || Strong::Rollback { alias: "live".into(), version: String::new() };
        let revoke = || Strong::Revoke { role: "{function}".into() };
        #[rustfmt::skip]
        let table = [
            ("an option",          Strong::Quarantine, target(|t| "--profile".clone_into(&mut t.function)), "faas.name"),
            ("a file",             revoke(),           target(|t| "file:///etc/passwd".clone_into(&mut t.function)), "faas.name"),
            ("a space",            Strong::Quarantine, target(|t| "a b".clone_into(&mut t.function)), "faas.name"),
            ("nobody",             Strong::Quarantine, target(|t| t.function.clear()), "not known"),
            ("another function",   Strong::Quarantine, target(|t| "pay".clone_into(&mut t.function)), "another function"),
            ("a strange account",  Strong::Quarantine, target(|t| { t.resource.clear(); "me".clone_into(&mut t.account); }), "twelve digits"),
            ("no region",          Strong::Quarantine, target(|t| { t.resource.clear(); t.region.clear(); }), "cloud.region"),
            ("the first version",  rollback(),         target(|t| "1".clone_into(&mut t.version)), "`version`"),
            ("an unnumbered one",  rollback(),         target(|t| "$LATEST".clone_into(&mut t.version)), "`version`"),
            ("no revision",        rollback(),         google(), "`version`"),
            ("another cloud",      Strong::Quarantine, target(|t| "ibm".clone_into(&mut t.provider)), "no commands"),
            ("no cloud",           Strong::Quarantine, target(|t| t.provider.clear()), "cloud.provider"),
            ("no app",             Strong::Quarantine, azure("/subscriptions/a/b"), "function app"),
            ("an option as group", Strong::Quarantine, azure("/subscriptions/a/resourceGroups/-h/providers/Microsoft.Web/sites/x"), "resource group"),
            ("not there",          revoke(),           azure(""), "Azure"),
        ];
        for (row, action, target, wrong) in table {
            let said = action.command(&target, "2026-11-23T14:02:09Z").unwrap_err();
            assert!(said.contains(wrong), "{row}: {said}");
        }
    }

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        let arguments = owned(&["aws", "a b", "", "it's", "x;y", "{}"]);
        assert_eq!(typed(&arguments), r"aws 'a b' '' 'it'\''s' 'x;y' '{}'");
    }
}

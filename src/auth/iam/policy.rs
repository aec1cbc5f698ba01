//! Policies: what they say of one request.
//!
//! The same engine reads the policies of users, what a Lambda authorizer
//! returns, and an API's resource policy.
//!
//! Source: IAM user guide, "Policy evaluation logic" and "IAM JSON policy
//! element reference".

use std::borrow::Cow;

use serde_json::Value as Json;

use super::condition::{Condition, texts};
use super::pattern::{Pattern, Variables};

/// The action that a request to an API takes.
pub const INVOKE: &str = "execute-api:Invoke";

/// The action that a request to a function's URL takes.
pub const INVOKE_FUNCTION_URL: &str = "lambda:InvokeFunctionUrl";

/// What a policy says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it, none denies it.
    Allow,
    /// No statement is about it: an implicit deny.
    Silent,
    /// A statement denies it.
    Deny,
}

/// One request, as policies see it.
pub struct Ask<'a> {
    /// [`INVOKE`] or [`INVOKE_FUNCTION_URL`].
    pub action: &'a str,
    /// The ARN asked for.
    pub resource: &'a str,
    /// Another spelling of the same. A deny of either counts.
    pub other_spelling: Option<&'a str>,
    /// Who asks.
    pub principal: Principal<'a>,
    /// Who owns the API.
    pub owner_account: &'a str,
    /// The request's values, by lower-case condition key.
    pub keys: Variables<'a>,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal<'a> {
    /// Nobody that IAM knows.
    Anonymous,
    /// A user or role.
    Iam {
        /// His account.
        account: &'a str,
        /// `arn:aws:iam::123456789012:user/alice`.
        arn: &'a str,
    },
}

/// A policy, read once.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq)]
struct Statement {
    allows: bool,
    /// Absent where the policy belongs to whom it is about.
    principals: Option<Listed<PrincipalPattern>>,
    actions: Listed<Pattern>,
    resources: Listed<Pattern>,
    conditions: Vec<Condition>,
}

/// `Action` and `NotAction`, and their like.
#[derive(Clone, Debug, PartialEq)]
struct Listed<T> {
    not: bool,
    items: Vec<T>,
}

#[derive(Clone, Debug, PartialEq)]
enum PrincipalPattern {
    Anyone,
    Account(String),
    Arn(String),
    /// A service or another kind that never calls an API here.
    Other,
}

/// How a principal of a policy is the one who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    No,
    /// By his account only.
    ByAccount,
    Yes,
}

/// What a policy is attached to.
#[derive(Clone, Copy, Debug)]
pub enum Attached<'a> {
    /// A caller: no principals.
    ToCaller,
    /// An API: principals are wanted, and `execute-api:/…` is short for its ARN.
    ToApi {
        /// `arn:aws:execute-api:REGION:ACCOUNT:API`, without a slash.
        arn: &'a str,
    },
}

impl Policy {
    /// Reads a policy document.
    ///
    /// # Errors
    ///
    /// What is not understood. Nothing is passed over: half a policy is another policy.
    pub fn read(document: &Json, attached: Attached<'_>) -> Result<Self, String> {
        let Json::Object(members) = document else {
            return Err("the policy is no object".to_owned());
        };
        // Policy variables came with this version; before it `${…}` is text.
        let variables = match members.get("Version") {
            None => false,
            Some(Json::String(version)) if version == "2012-10-17" => true,
            Some(Json::String(version)) if version == "2008-10-17" => false,
            Some(_) => return Err("the policy's `Version` is not 2012-10-17".to_owned()),
        };
        let statements = match members.get("Statement") {
            Some(Json::Array(items)) => items.as_slice(),
            Some(one @ Json::Object(_)) => std::slice::from_ref(one),
            _ => return Err("the policy has no `Statement`".to_owned()),
        };
        let statements = statements
            .iter()
            .map(|statement| Statement::read(statement, attached, variables))
            .collect::<Result<_, _>>()?;
        Ok(Self { statements })
    }

    /// The statement that denies a request, counted from 1, if one does: for the operator.
    pub fn denied_by(&self, ask: &Ask<'_>) -> Option<usize> {
        let denies = |statement: &Statement| !statement.allows && statement.denies_for(ask);
        let at = self.statements.iter().position(denies)?;
        Some(at + 1)
    }

    /// What it says of a request.
    pub fn decide(&self, ask: &Ask<'_>) -> Decision {
        let mut decision = Decision::Silent;
        for statement in &self.statements {
            if statement.allows {
                if decision == Decision::Silent && statement.allows_for(ask) {
                    decision = Decision::Allow;
                }
            } else if statement.denies_for(ask) {
                return Decision::Deny;
            }
        }
        decision
    }
}

impl Statement {
    fn read(json: &Json, attached: Attached<'_>, variables: bool) -> Result<Self, String> {
        let Json::Object(members) = json else {
            return Err("a statement is no object".to_owned());
        };
        const KEYS: [&str; 9] = [
            "Sid",
            "Effect",
            "Principal",
            "NotPrincipal",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ];
        if let Some(unknown) = members.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("a statement has the unknown member `{unknown}`"));
        }
        let allows = match members.get("Effect").and_then(Json::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => return Err("the `Effect` of a statement is Allow or Deny".to_owned()),
        };
        let pair = |name: &str| -> Result<(bool, &Json), String> {
            let not = format!("Not{name}");
            match (members.get(name), members.get(&not)) {
                (Some(json), None) => Ok((false, json)),
                (None, Some(json)) => Ok((true, json)),
                _ => Err(format!("a statement has either `{name}` or `{not}`")),
            }
        };
        let (not, json) = pair("Action")?;
        let actions = Listed {
            not,
            items: list(json, "Action")?
                .iter()
                .map(|action| Pattern::wildcard(&action.to_ascii_lowercase(), false))
                .collect(),
        };
        let (not, json) = pair("Resource")?;
        let resources = Listed {
            not,
            items: list(json, "Resource")?
                .iter()
                .map(|resource| {
                    let full = match (attached, resource.strip_prefix("execute-api:/")) {
                        (Attached::ToApi { arn }, Some(rest)) => {
                            Cow::Owned(format!("{arn}/{rest}"))
                        }
                        _ => Cow::Borrowed(&**resource),
                    };
                    Pattern::wildcard(&full, variables)
                })
                .collect(),
        };
        let principals = match attached {
            Attached::ToCaller => None,
            Attached::ToApi { .. } => {
                let (not, json) = pair("Principal")?;
                let items = read_principals(json)?;
                Some(Listed { not, items })
            }
        };
        let conditions = match members.get("Condition") {
            None => Vec::new(),
            Some(json) => Condition::read_all(json, variables)?,
        };
        Ok(Self {
            allows,
            principals,
            actions,
            resources,
            conditions,
        })
    }

    fn allows_for(&self, ask: &Ask<'_>) -> bool {
        // What is allowed by leaving it out of a list must not be on it in any spelling.
        let resource = match (self.resources.not, ask.other_spelling) {
            (true, Some(other)) => self.is_about(ask.resource, ask) && self.is_about(other, ask),
            _ => self.is_about(ask.resource, ask),
        };
        resource && self.applies(ask, true)
    }

    fn denies_for(&self, ask: &Ask<'_>) -> bool {
        let resource = self.is_about(ask.resource, ask)
            || ask
                .other_spelling
                .is_some_and(|other| self.is_about(other, ask));
        resource && self.applies(ask, false)
    }

    fn is_about(&self, resource: &str, ask: &Ask<'_>) -> bool {
        self.resources
            .holds(|pattern| pattern.matches(resource, ask.keys))
    }

    /// Action, principal and conditions.
    fn applies(&self, ask: &Ask<'_>, grants: bool) -> bool {
        let action = ask.action.to_ascii_lowercase();
        if !self
            .actions
            .holds(|pattern| pattern.matches(&action, ask.keys))
        {
            return false;
        }
        let named = match &self.principals {
            None => Named::Yes,
            Some(listed) => {
                let best = listed
                    .items
                    .iter()
                    .map(|pattern| pattern.names(ask.principal))
                    .fold(Named::No, |best, one| match (best, one) {
                        (Named::Yes, _) | (_, Named::Yes) => Named::Yes,
                        (Named::ByAccount, _) | (_, Named::ByAccount) => Named::ByAccount,
                        _ => Named::No,
                    });
                match (listed.not, best) {
                    (false, best) => best,
                    (true, Named::No) => Named::Yes,
                    (true, _) => Named::No,
                }
            }
        };
        let named = match named {
            Named::Yes => true,
            Named::No => false,
            // To allow one's own account is to leave it to the policies of its users.
            Named::ByAccount => {
                !grants
                    || !matches!(ask.principal, Principal::Iam { account, .. } if account == ask.owner_account)
            }
        };
        named
            && self
                .conditions
                .iter()
                .all(|condition| condition.holds(ask.keys))
    }
}

impl<T> Listed<T> {
    fn holds(&self, fits: impl Fn(&T) -> bool) -> bool {
        self.items.iter().any(fits) != self.not
    }
}

impl PrincipalPattern {
    fn names(&self, principal: Principal<'_>) -> Named {
        match (self, principal) {
            (Self::Anyone, _) => Named::Yes,
            (Self::Account(own), Principal::Iam { account, .. }) if own == account => {
                Named::ByAccount
            }
            (Self::Arn(own), Principal::Iam { arn, .. })
                if own == arn || is_session_of(arn, own) =>
            {
                Named::Yes
            }
            _ => Named::No,
        }
    }
}

/// Whether `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION` is a session of
/// `arn:aws:iam::ACCOUNT:role/PATH/ROLE`.
fn is_session_of(session: &str, role: &str) -> bool {
    let (Some((session_start, session)), Some((role_start, role))) = (
        session.split_once(":assumed-role/"),
        role.split_once(":role/"),
    ) else {
        return false;
    };
    let session_role = session.split('/').next().unwrap_or_default();
    let role = role.rsplit('/').next().unwrap_or_default();
    session_role == role && session_start.replacen(":sts:", ":iam:", 1) == role_start
}

fn list<'j>(json: &'j Json, name: &str) -> Result<Vec<Cow<'j, str>>, String> {
    let all_text = match json {
        Json::String(_) => true,
        Json::Array(items) => !items.is_empty() && items.iter().all(Json::is_string),
        _ => false,
    };
    match texts(json) {
        Some(texts) if all_text => Ok(texts),
        _ => Err(format!("`{name}` of a statement is no text")),
    }
}

fn read_principals(json: &Json) -> Result<Vec<PrincipalPattern>, String> {
    let Json::Object(kinds) = json else {
        return match json.as_str() {
            Some("*") => Ok(vec![PrincipalPattern::Anyone]),
            _ => Err("`Principal` is `*` or an object".to_owned()),
        };
    };
    let mut principals = Vec::new();
    for (kind, names) in kinds {
        let names = list(names, "Principal")?;
        match kind.as_str() {
            "AWS" => {
                for name in names {
                    principals.push(aws_principal(&name)?);
                }
            }
            "Service" | "Federated" | "CanonicalUser" => {
                principals.push(PrincipalPattern::Other);
            }
            other => return Err(format!("`{other}` is no kind of principal")),
        }
    }
    Ok(principals)
}

fn aws_principal(name: &str) -> Result<PrincipalPattern, String> {
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    if name == "*" {
        return Ok(PrincipalPattern::Anyone);
    }
    if is_account(name) {
        return Ok(PrincipalPattern::Account(name.to_owned()));
    }
    let parts: Vec<&str> = name.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "iam", "", account, "root"] if is_account(account) => {
            Ok(PrincipalPattern::Account((*account).to_owned()))
        }
        // Wildcards are no part of a principal's name at AWS.
        ["arn", _, "iam" | "sts", "", account, who]
            if is_account(account) && !who.is_empty() && !who.contains(['*', '?']) =>
        {
            Ok(PrincipalPattern::Arn(name.to_owned()))
        }
        _ => Err(format!("`{name}` is no principal")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:execute-api:us-east-1:123456789012:api1/dev/GET/a";
    const ALICE: Principal<'_> = Principal::Iam {
        account: "123456789012",
        arn: "arn:aws:iam::123456789012:user/alice",
    };

    fn decide(document: &Json, attached: Attached<'_>, principal: Principal<'_>) -> Decision {
        let keys = |key: &str| (key == "aws:sourceip").then_some(Cow::Borrowed("10.0.0.1"));
        Policy::read(document, attached).unwrap().decide(&Ask {
            action: INVOKE,
            resource: ARN,
            other_spelling: None,
            principal,
            owner_account: "123456789012",
            keys: &keys,
        })
    }

    fn of_caller(statements: Json) -> Decision {
        let document = json!({"Version": "2012-10-17", "Statement": statements});
        decide(&document, Attached::ToCaller, Principal::Anonymous)
    }

    fn of_api(statements: Json, principal: Principal<'_>) -> Decision {
        let document = json!({"Version": "2012-10-17", "Statement": statements});
        let arn = "arn:aws:execute-api:us-east-1:123456789012:api1";
        decide(&document, Attached::ToApi { arn }, principal)
    }

    #[test]
    fn a_deny_wins_wherever_it_stands() {
        let allow = json!({"Effect": "Allow", "Action": "execute-api:*", "Resource": "*"});
        let deny = json!({"Effect": "Deny", "Action": "EXECUTE-API:INVOKE", "Resource": "*/GET/a"});

        assert_eq!(of_caller(json!([allow])), Decision::Allow);
        assert_eq!(of_caller(json!([allow, deny])), Decision::Deny);
        assert_eq!(of_caller(json!([deny, allow])), Decision::Deny);
        assert_eq!(of_caller(allow), Decision::Allow);
        assert_eq!(of_caller(json!([])), Decision::Silent);
    }

    #[test]
    fn lists_that_leave_out() {
        let statement = |action: Json, resource: Json| {
            let mut statement = json!({"Effect": "Allow"});
            for (name, value) in action
                .as_object()
                .unwrap()
                .iter()
                .chain(resource.as_object().unwrap())
            {
                statement[name] = value.clone();
            }
            of_caller(json!([statement]))
        };
        let any = json!({"Resource": "*"});

        assert_eq!(
            statement(json!({"NotAction": "s3:*"}), any.clone()),
            Decision::Allow
        );
        assert_eq!(
            statement(json!({"NotAction": ["s3:*", "execute-api:Inv*"]}), any),
            Decision::Silent
        );
        let invoke = json!({"Action": INVOKE});
        assert_eq!(
            statement(invoke.clone(), json!({"NotResource": "*/GET/b"})),
            Decision::Allow
        );
        assert_eq!(
            statement(invoke, json!({"NotResource": "*/GET/a"})),
            Decision::Silent
        );
    }

    #[test]
    fn another_spelling_gets_round_neither_a_deny_nor_an_exception() {
        let ask = |document: Json| {
            Policy::read(&document, Attached::ToCaller)
                .unwrap()
                .decide(&Ask {
                    action: INVOKE,
                    resource: "arn:x/dev/GET/%61",
                    other_spelling: Some("arn:x/dev/GET/a"),
                    principal: Principal::Anonymous,
                    owner_account: "",
                    keys: &|_| None,
                })
        };
        let invoke = |effect: &str, key: &str, resource: &str| json!({"Effect": effect, "Action": "*", key: resource});

        assert_eq!(
            ask(
                json!({"Statement": [invoke("Allow", "Resource", "*"), invoke("Deny", "Resource", "*/GET/a")]})
            ),
            Decision::Deny
        );
        assert_eq!(
            ask(json!({"Statement": [invoke("Allow", "NotResource", "*/GET/a")]})),
            Decision::Silent
        );
        assert_eq!(
            ask(json!({"Statement": [invoke("Allow", "Resource", "*/GET/a")]})),
            Decision::Silent
        );
    }

    #[test]
    fn principals_of_a_resource_policy() {
        let allow = |principal: Json| json!([{"Effect": "Allow", "Principal": principal, "Action": INVOKE, "Resource": "execute-api:/dev/GET/*"}]);
        let other = Principal::Iam {
            account: "999999999999",
            arn: "arn:aws:iam::999999999999:user/bob",
        };
        for (principal, asks, expected) in [
            (json!("*"), Principal::Anonymous, Decision::Allow),
            (json!({"AWS": "*"}), Principal::Anonymous, Decision::Allow),
            (
                json!({"AWS": "arn:aws:iam::123456789012:user/alice"}),
                ALICE,
                Decision::Allow,
            ),
            (
                json!({"AWS": ["arn:aws:iam::123456789012:user/bob"]}),
                ALICE,
                Decision::Silent,
            ),
            (
                json!({"AWS": "arn:aws:iam::123456789012:user/alice"}),
                Principal::Anonymous,
                Decision::Silent,
            ),
            (json!({"AWS": "999999999999"}), other, Decision::Allow),
            (
                json!({"AWS": "arn:aws:iam::999999999999:root"}),
                other,
                Decision::Allow,
            ),
            (json!({"AWS": "999999999999"}), ALICE, Decision::Silent),
            (
                json!({"Service": "lambda.amazonaws.com"}),
                ALICE,
                Decision::Silent,
            ),
            // One's own account: its users' policies decide.
            (json!({"AWS": "123456789012"}), ALICE, Decision::Silent),
        ] {
            assert_eq!(
                of_api(allow(principal.clone()), asks),
                expected,
                "{principal}"
            );
        }
        let denied = json!([{"Effect": "Deny", "Principal": {"AWS": "123456789012"}, "Action": "*", "Resource": "*"}]);
        assert_eq!(of_api(denied, ALICE), Decision::Deny);
        let others = json!([{"Effect": "Deny", "NotPrincipal": {"AWS": "arn:aws:iam::123456789012:user/alice"}, "Action": "*", "Resource": "*"}]);
        assert_eq!(of_api(others.clone(), ALICE), Decision::Silent);
        assert_eq!(of_api(others, Principal::Anonymous), Decision::Deny);
    }

    #[test]
    fn a_session_is_its_roles() {
        let session = "arn:aws:sts::123456789012:assumed-role/Admin/me";

        assert!(is_session_of(
            session,
            "arn:aws:iam::123456789012:role/Admin"
        ));
        assert!(is_session_of(
            session,
            "arn:aws:iam::123456789012:role/team/Admin"
        ));
        assert!(!is_session_of(session, "arn:aws:iam::123456789012:role/me"));
        assert!(!is_session_of(
            session,
            "arn:aws:iam::999999999999:role/Admin"
        ));
    }

    #[test]
    fn conditions_count() {
        let with = |network: &str| {
            of_caller(json!([{
                "Effect": "Allow", "Action": "*", "Resource": "*",
                "Condition": {"IpAddress": {"aws:SourceIp": network}},
            }]))
        };

        assert_eq!(with("10.0.0.0/8"), Decision::Allow);
        assert_eq!(with("11.0.0.0/8"), Decision::Silent);
    }

    #[test]
    fn half_a_policy_is_none() {
        for document in [
            json!(null),
            json!({}),
            json!({"Statement": "Allow"}),
            json!({"Version": "2020-01-01", "Statement": []}),
            json!({"Statement": [{"Effect": "allow", "Action": "*", "Resource": "*"}]}),
            json!({"Statement": [{"Action": "*", "Resource": "*"}]}),
            json!({"Statement": [{"Effect": "Allow", "Resource": "*"}]}),
            json!({"Statement": [{"Effect": "Allow", "Action": "*"}]}),
            json!({"Statement": [{"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}]}),
            json!({"Statement": [{"Effect": "Allow", "Action": [], "Resource": "*"}]}),
            json!({"Statement": [{"Effect": "Allow", "Action": 1, "Resource": "*"}]}),
            json!({"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*", "Conditions": {}}]}),
            json!({"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"X": {"a": "b"}}}]}),
        ] {
            assert!(
                Policy::read(&document, Attached::ToCaller).is_err(),
                "{document}"
            );
        }
        let arn = "arn:aws:execute-api:us-east-1:123456789012:api1";
        for principal in [
            json!("alice"),
            json!({"AWS": "alice"}),
            json!({"AWS": "arn:aws:iam::123456789012:user/*"}),
            json!({"Who": "*"}),
        ] {
            let document = json!({"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "*", "Resource": "*"}]});
            assert!(
                Policy::read(&document, Attached::ToApi { arn }).is_err(),
                "{document}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_document_breaks_the_reader(text in "[{}\\[\\]\":,a-zA-Z*0-9]{0,60}") {
            if let Ok(json) = serde_json::from_str::<Json>(&text) {
                let _ = Policy::read(&json, Attached::ToCaller);
            }
        }
    }
}

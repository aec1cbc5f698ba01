//! What each call of Cognito's JSON API does.
//!
//! Source: Cognito user pools API reference, one page an operation.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::json_api::Call;
use crate::auth::user_pool::{
    ADMIN_SCOPE, Confirmation, Filter, Flow, Group, NewUser, Outcome, PoolFault, Tokens, User,
    UserPool, UserStatus,
};
use crate::model::user_pool::UserPoolClient;

type Done = Result<Json, PoolFault>;

/// Whether AWS takes the call without credentials of its own.
pub(super) fn is_for_everybody(operation: &str) -> bool {
    matches!(
        operation,
        "InitiateAuth"
            | "RespondToAuthChallenge"
            | "GetTokensFromRefreshToken"
            | "SignUp"
            | "ConfirmSignUp"
            | "ResendConfirmationCode"
            | "ForgotPassword"
            | "ConfirmForgotPassword"
            | "GetUser"
            | "UpdateUserAttributes"
            | "DeleteUserAttributes"
            | "DeleteUser"
            | "ChangePassword"
            | "GlobalSignOut"
            | "RevokeToken"
    )
}

pub(super) fn perform(operation: &str, call: &Call) -> Done {
    match operation {
        "InitiateAuth" => initiate(&call.client()?, call, false),
        "AdminInitiateAuth" => initiate(&call.client_of_pool()?, call, true),
        "RespondToAuthChallenge" => respond(&call.client()?, call),
        "AdminRespondToAuthChallenge" => respond(&call.client_of_pool()?, call),
        "GetTokensFromRefreshToken" => refresh(call),
        "RevokeToken" => revoke(call),
        "SignUp" => sign_up(call),
        "ConfirmSignUp" => confirm_sign_up(call),
        "ResendConfirmationCode" => send_code(call, UserPool::resend_code),
        "ForgotPassword" => send_code(call, UserPool::forgot_password),
        "ConfirmForgotPassword" => confirm_password(call),
        "GetUser" => own_user(call),
        "UpdateUserAttributes" => {
            let (pool, user) = call.bearer()?;
            let told = call.attributes("UserAttributes");
            pool.set_attributes(&user.username, &told, false)?;
            Ok(json!({"CodeDeliveryDetailsList": []}))
        }
        "DeleteUserAttributes" => {
            let (pool, user) = call.bearer()?;
            let names = call.texts("UserAttributeNames").unwrap_or_default();
            pool.remove_attributes(&user.username, &names)?;
            Ok(json!({}))
        }
        "DeleteUser" => {
            let (pool, user) = call.bearer()?;
            pool.delete_user(&user.username).map(|()| json!({}))
        }
        "ChangePassword" => {
            let (pool, user) = call.bearer()?;
            let old = call.text("PreviousPassword")?;
            pool.change_password(&user, old, call.text("ProposedPassword")?)?;
            Ok(json!({}))
        }
        "GlobalSignOut" => {
            let (pool, user) = call.bearer()?;
            pool.sign_out(&user.username).map(|()| json!({}))
        }
        _ => operate(operation, call),
    }
}

/// The operator's calls, which at AWS need credentials.
fn operate(operation: &str, call: &Call) -> Done {
    match operation {
        "ListUserPools" => return Ok(list_pools(call)),
        "CreateUserPool" | "DeleteUserPool" | "UpdateUserPool" => {
            return Err(PoolFault::invalid(
                "local user pools stand in the gateway's configuration, under `userPools`",
            ));
        }
        _ => {}
    }
    let done = |()| json!({});
    let served = call.pool();
    let name = || call.text("Username");
    match operation {
        "AdminGetUser" => {
            let user = served?.user(name()?)?;
            let mut body = user_body(&user, "UserAttributes");
            body["UserMFASettingList"] = json!([]);
            Ok(body)
        }
        "AdminCreateUser" => create_user(served?, call),
        "AdminDeleteUser" => served?.delete_user(name()?).map(done),
        "AdminSetUserPassword" => {
            let (pool, password) = (served?, call.text("Password")?);
            pool.user(name()?)?;
            pool.check_password(password)?;
            let status = match call.flag("Permanent") {
                true => UserStatus::Confirmed,
                false => UserStatus::ForceChangePassword,
            };
            pool.set_password(name()?, password, status)?;
            Ok(json!({}))
        }
        "AdminConfirmSignUp" => served?.confirm_sign_up(name()?, None).map(done),
        "AdminEnableUser" => served?.set_enabled(name()?, true).map(done),
        "AdminDisableUser" => served?.set_enabled(name()?, false).map(done),
        "AdminUserGlobalSignOut" => served?.sign_out(name()?).map(done),
        "AdminUpdateUserAttributes" => {
            let told = call.attributes("UserAttributes");
            served?.set_attributes(name()?, &told, true).map(done)
        }
        "AdminDeleteUserAttributes" => {
            let names = call.texts("UserAttributeNames").unwrap_or_default();
            served?.remove_attributes(name()?, &names).map(done)
        }
        "AdminAddUserToGroup" => served?
            .set_member(name()?, call.text("GroupName")?, true)
            .map(done),
        "AdminRemoveUserFromGroup" => served?
            .set_member(name()?, call.text("GroupName")?, false)
            .map(done),
        "AdminListGroupsForUser" => {
            let pool = served?;
            let user = pool.user(name()?)?;
            let groups = pool.groups();
            let own = groups
                .iter()
                .filter(|(name, _)| user.groups.contains(*name));
            let own: Vec<Json> = own
                .map(|(name, group)| group_body(pool, name, group))
                .collect();
            Ok(json!({"Groups": own}))
        }
        "CreateGroup" => {
            let (pool, name) = (served?, call.text("GroupName")?);
            let group = Group {
                description: call.maybe("Description").map(str::to_owned),
                precedence: call
                    .number("Precedence")
                    .and_then(|number| u32::try_from(number).ok()),
                role_arn: call.maybe("RoleArn").map(str::to_owned),
                ..Group::default()
            };
            let group = pool.create_group(name, group)?;
            Ok(json!({"Group": group_body(pool, name, &group)}))
        }
        "GetGroup" => {
            let (pool, name) = (served?, call.text("GroupName")?);
            Ok(json!({"Group": group_body(pool, name, &pool.group(name)?)}))
        }
        "DeleteGroup" => served?.delete_group(call.text("GroupName")?).map(done),
        "ListGroups" => {
            let pool = served?;
            let groups = pool.groups();
            let groups: Vec<Json> = groups
                .iter()
                .map(|(name, group)| group_body(pool, name, group))
                .collect();
            Ok(json!({"Groups": groups}))
        }
        "ListUsers" => list_users(served?, call),
        "ListUsersInGroup" => {
            let (pool, group) = (served?, call.text("GroupName")?);
            pool.group(group)?;
            let most = most(call);
            let (users, more) = pool.users(None, Some(group), call.maybe("NextToken"), most);
            Ok(users_page(&users, more, "NextToken"))
        }
        "DescribeUserPool" => Ok(json!({"UserPool": pool_body(served?)})),
        "CreateUserPoolClient" => {
            let pool = served?;
            let client = pool.create_client(new_client(call)?, call.flag("GenerateSecret"))?;
            Ok(json!({"UserPoolClient": client_body(pool, &client)}))
        }
        "DescribeUserPoolClient" => {
            let (pool, client) = call.client_of_pool()?;
            Ok(json!({"UserPoolClient": client_body(&pool, &client)}))
        }
        "DeleteUserPoolClient" => served?.delete_client(call.text("ClientId")?).map(done),
        "ListUserPoolClients" => {
            let pool = served?;
            let clients = pool.clients();
            let clients: Vec<Json> = clients
                .iter()
                .map(|client| json!({"ClientId": client.client_id, "ClientName": client.client_name, "UserPoolId": pool.id()}))
                .collect();
            Ok(json!({"UserPoolClients": clients}))
        }
        other => Err(PoolFault::new(
            "UnknownOperationException",
            format!("{other} is not served by a local user pool"),
        )),
    }
}

impl Call {
    /// The pool that `UserPoolId` names.
    fn pool(&self) -> Result<&Arc<UserPool>, PoolFault> {
        let id = self.text("UserPoolId")?;
        self.pools
            .get(id)
            .ok_or_else(|| PoolFault::not_found(format!("User pool {id} does not exist.")))
    }

    /// The client that `ClientId` names, and its pool.
    fn client(&self) -> Result<(Arc<UserPool>, UserPoolClient), PoolFault> {
        let id = self.text("ClientId")?;
        let (pool, client) = self.pools.of_client(id).ok_or_else(|| no_client(id))?;
        Ok((Arc::clone(pool), client))
    }

    /// The client that `ClientId` names in the pool of `UserPoolId`.
    fn client_of_pool(&self) -> Result<(Arc<UserPool>, UserPoolClient), PoolFault> {
        let (pool, id) = (self.pool()?, self.text("ClientId")?);
        let client = pool.client(id).ok_or_else(|| no_client(id))?;
        Ok((Arc::clone(pool), client))
    }

    /// Whose `AccessToken` it is.
    fn bearer(&self) -> Result<(Arc<UserPool>, User), PoolFault> {
        let token = self.text("AccessToken")?;
        let mut fault = PoolFault::not_authorized("Invalid Access Token");
        for pool in self.pools.iter() {
            match pool.bearer(token, ADMIN_SCOPE) {
                Ok(bearer) => return Ok((Arc::clone(pool), bearer.user)),
                Err(other) if other.message != "Invalid Access Token" => fault = other,
                Err(_) => {}
            }
        }
        Err(fault)
    }

    /// Checks `SecretHash`.
    fn check_secret(
        &self,
        pool: &UserPool,
        client: &UserPoolClient,
        name: &str,
    ) -> Result<(), PoolFault> {
        pool.check_secret(client, &[name], self.maybe("SecretHash"))
    }
}

fn no_client(id: &str) -> PoolFault {
    PoolFault::not_found(format!("User pool client {id} does not exist."))
}

// ---- signing in

fn initiate((pool, client): &(Arc<UserPool>, UserPoolClient), call: &Call, admin: bool) -> Done {
    let flow = Flow::named(call.text("AuthFlow")?, admin)?;
    let outcome = pool.initiate(client, flow, &call.object("AuthParameters"))?;
    Ok(outcome_body(outcome))
}

fn respond((pool, client): &(Arc<UserPool>, UserPoolClient), call: &Call) -> Done {
    let name = call.text("ChallengeName")?;
    let responses = call.object("ChallengeResponses");
    let outcome = pool.respond(client, name, call.maybe("Session"), &responses)?;
    Ok(outcome_body(outcome))
}

fn outcome_body(outcome: Outcome) -> Json {
    match outcome {
        Outcome::Tokens(tokens) => tokens_body(&tokens),
        Outcome::Challenge {
            name,
            parameters,
            session,
        } => {
            let mut body = json!({"ChallengeName": name, "ChallengeParameters": parameters});
            if let Some(session) = session {
                body["Session"] = json!(session);
            }
            body
        }
    }
}

fn tokens_body(tokens: &Tokens) -> Json {
    let mut result = json!({
        "AccessToken": tokens.access,
        "ExpiresIn": tokens.expires_in.as_secs(),
        "IdToken": tokens.id,
        "TokenType": "Bearer",
    });
    if let Some(refresh) = &tokens.refresh {
        result["RefreshToken"] = json!(refresh);
    }
    json!({"AuthenticationResult": result, "ChallengeParameters": {}})
}

/// The client's own secret in place of its hash.
fn check_client_secret(client: &UserPoolClient, call: &Call) -> Result<(), PoolFault> {
    let told = call.maybe("ClientSecret");
    let fits = match (&client.client_secret, told) {
        (None, None) => true,
        (Some(own), Some(told)) => {
            aws_lc_rs::constant_time::verify_slices_are_equal(own.as_bytes(), told.as_bytes())
                .is_ok()
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(PoolFault::not_authorized(
        "Unable to verify secret for client",
    ))
}

fn refresh(call: &Call) -> Done {
    let (pool, client) = call.client()?;
    check_client_secret(&client, call)?;
    let tokens = pool.refresh_of(&client, call.text("RefreshToken")?)?;
    Ok(tokens_body(&tokens))
}

fn revoke(call: &Call) -> Done {
    let (pool, client) = call.client()?;
    check_client_secret(&client, call)?;
    match pool.revoke(call.text("Token")?, &client) {
        // A token that is none is as good as revoked (RFC 7009, 2.2).
        Err(fault) if fault.kind == "NotAuthorizedException" => Ok(json!({})),
        other => other.map(|()| json!({})),
    }
}

// ---- signing up

fn sign_up(call: &Call) -> Done {
    let (pool, client) = call.client()?;
    let name = call.text("Username")?;
    call.check_secret(&pool, &client, name)?;
    let new = NewUser {
        name: name.to_owned(),
        attributes: call.attributes("UserAttributes"),
    };
    if new
        .attributes
        .iter()
        .any(|(name, _)| name.ends_with("_verified"))
    {
        return Err(PoolFault::not_authorized(
            "A client attempted to write unauthorized attribute",
        ));
    }
    let (user, sent) = pool.sign_up(&new, call.text("Password")?)?;
    let mut body = json!({"UserConfirmed": false, "UserSub": user.sub});
    if let Some(delivery) = delivery(&sent) {
        body["CodeDeliveryDetails"] = delivery;
    }
    Ok(body)
}

fn delivery(sent: &Confirmation) -> Option<Json> {
    let attribute = sent.attribute?;
    let medium = if attribute == "email" { "EMAIL" } else { "SMS" };
    Some(json!({
        "AttributeName": attribute,
        "DeliveryMedium": medium,
        "Destination": sent.destination,
    }))
}

/// Where nobody is to learn who has an account, one that is not there looks like any other.
fn hidden(client: &UserPoolClient, fault: PoolFault) -> PoolFault {
    if client.prevent_user_existence_errors && fault.kind == "UserNotFoundException" {
        return PoolFault::new(
            "CodeMismatchException",
            "Invalid verification code provided, please try again.",
        );
    }
    fault
}

fn confirm_sign_up(call: &Call) -> Done {
    let (pool, client) = call.client()?;
    let name = call.text("Username")?;
    call.check_secret(&pool, &client, name)?;
    let code = call.text("ConfirmationCode")?;
    pool.confirm_sign_up(name, Some(code))
        .map_err(|fault| hidden(&client, fault))?;
    Ok(json!({}))
}

fn confirm_password(call: &Call) -> Done {
    let (pool, client) = call.client()?;
    let name = call.text("Username")?;
    call.check_secret(&pool, &client, name)?;
    let (code, password) = (call.text("ConfirmationCode")?, call.text("Password")?);
    pool.confirm_password(name, code, password)
        .map_err(|fault| hidden(&client, fault))?;
    Ok(json!({}))
}

fn send_code(
    call: &Call,
    send: impl Fn(&UserPool, &str) -> Result<Confirmation, PoolFault>,
) -> Done {
    let (pool, client) = call.client()?;
    let name = call.text("Username")?;
    call.check_secret(&pool, &client, name)?;
    let sent = match send(&pool, name) {
        Err(fault)
            if client.prevent_user_existence_errors && fault.kind == "UserNotFoundException" =>
        {
            Confirmation {
                attribute: Some("email"),
                destination: "s***@e***".to_owned(),
            }
        }
        other => other?,
    };
    Ok(match delivery(&sent) {
        Some(delivery) => json!({"CodeDeliveryDetails": delivery}),
        None => json!({}),
    })
}

// ---- users

/// Seconds since 1970, as AWS JSON 1.1 writes times.
fn seconds(milliseconds: u64) -> Json {
    json!(Duration::from_millis(milliseconds).as_secs_f64())
}

fn attributes_body(user: &User) -> Json {
    let mut list = vec![json!({"Name": "sub", "Value": user.sub})];
    list.extend(
        user.attributes
            .iter()
            .map(|(name, value)| json!({"Name": name, "Value": value})),
    );
    Json::Array(list)
}

fn user_body(user: &User, attributes: &str) -> Json {
    json!({
        "Username": user.username,
        attributes: attributes_body(user),
        "UserCreateDate": seconds(user.created),
        "UserLastModifiedDate": seconds(user.modified),
        "Enabled": user.enabled,
        "UserStatus": user.status.as_str(),
    })
}

fn own_user(call: &Call) -> Done {
    let (_, user) = call.bearer()?;
    Ok(json!({"Username": user.username, "UserAttributes": attributes_body(&user)}))
}

fn create_user(pool: &UserPool, call: &Call) -> Done {
    let name = call.text("Username")?;
    let password = call
        .maybe("TemporaryPassword")
        .filter(|password| !password.is_empty());
    let user = match call.maybe("MessageAction") {
        Some("RESEND") => pool.resend_password(name, password)?,
        action => {
            let new = NewUser {
                name: name.to_owned(),
                attributes: call.attributes("UserAttributes"),
            };
            pool.create_user(&new, password, action != Some("SUPPRESS"))?
        }
    };
    Ok(json!({"User": user_body(&user, "Attributes")}))
}

/// "ListUsers": 60 a page.
fn most(call: &Call) -> usize {
    let most = call
        .number("Limit")
        .filter(|limit| (1..=60).contains(limit));
    usize::try_from(most.unwrap_or(60)).unwrap_or(60)
}

fn list_users(pool: &UserPool, call: &Call) -> Done {
    let filter = call
        .maybe("Filter")
        .filter(|filter| !filter.trim().is_empty());
    let filter = filter.map(Filter::read).transpose()?;
    let after = call.maybe("PaginationToken");
    let (users, more) = pool.users(filter.as_ref(), None, after, most(call));
    Ok(users_page(&users, more, "PaginationToken"))
}

fn users_page(users: &[User], more: bool, token: &str) -> Json {
    let list: Vec<Json> = users
        .iter()
        .map(|user| user_body(user, "Attributes"))
        .collect();
    let mut body = json!({"Users": list});
    if let Some(last) = users.last().filter(|_| more) {
        body[token] = json!(last.username);
    }
    body
}

fn group_body(pool: &UserPool, name: &str, group: &Group) -> Json {
    let mut body = json!({
        "GroupName": name,
        "UserPoolId": pool.id(),
        "CreationDate": seconds(group.created),
        "LastModifiedDate": seconds(group.created),
    });
    if let Some(description) = &group.description {
        body["Description"] = json!(description);
    }
    if let Some(precedence) = group.precedence {
        body["Precedence"] = json!(precedence);
    }
    if let Some(role) = &group.role_arn {
        body["RoleArn"] = json!(role);
    }
    body
}

// ---- pools and clients

fn list_pools(call: &Call) -> Json {
    let pools: Vec<Json> = call
        .pools
        .iter()
        .map(|pool| json!({"Id": pool.id(), "Name": pool.settings().name}))
        .collect();
    json!({"UserPools": pools})
}

fn pool_body(pool: &UserPool) -> Json {
    let settings = pool.settings();
    let policy = &settings.password_policy;
    json!({
        "Id": pool.id(),
        "Name": settings.name,
        "Arn": pool.arn(),
        "Policies": {"PasswordPolicy": {
            "MinimumLength": policy.minimum_length,
            "RequireLowercase": policy.require_lowercase,
            "RequireUppercase": policy.require_uppercase,
            "RequireNumbers": policy.require_numbers,
            "RequireSymbols": policy.require_symbols,
            "TemporaryPasswordValidityDays": 7,
        }},
        "UsernameAttributes": settings.username_attributes,
        "AliasAttributes": settings.alias_attributes,
        "AutoVerifiedAttributes": ["email"],
        "MfaConfiguration": "OFF",
        "EstimatedNumberOfUsers": pool.number_of_users(),
        "LambdaConfig": {},
        "CreationDate": 0,
        "LastModifiedDate": 0,
    })
}

fn client_body(pool: &UserPool, client: &UserPoolClient) -> Json {
    let mut body = json!({
        "UserPoolId": pool.id(),
        "ClientName": client.client_name,
        "ClientId": client.client_id,
        "AccessTokenValidity": client.access_token_validity.as_secs(),
        "IdTokenValidity": client.id_token_validity.as_secs(),
        "RefreshTokenValidity": client.refresh_token_validity.as_secs(),
        "TokenValidityUnits": {"AccessToken": "seconds", "IdToken": "seconds", "RefreshToken": "seconds"},
        "PreventUserExistenceErrors": if client.prevent_user_existence_errors { "ENABLED" } else { "LEGACY" },
        "EnableTokenRevocation": true,
        "AllowedOAuthScopes": client.allowed_oauth_scopes.clone().unwrap_or_else(|| pool.custom_scopes()),
        "CreationDate": 0,
        "LastModifiedDate": 0,
    });
    let flows = client.explicit_auth_flows.clone().unwrap_or_else(|| {
        [
            "ALLOW_USER_SRP_AUTH",
            "ALLOW_USER_PASSWORD_AUTH",
            "ALLOW_ADMIN_USER_PASSWORD_AUTH",
            "ALLOW_REFRESH_TOKEN_AUTH",
        ]
        .map(str::to_owned)
        .to_vec()
    });
    body["ExplicitAuthFlows"] = json!(flows);
    if let Some(secret) = &client.client_secret {
        body["ClientSecret"] = json!(secret);
    }
    body
}

/// "CreateUserPoolClient": a validity counts hours (refresh tokens: days) where no unit is said.
fn new_client(call: &Call) -> Result<UserPoolClient, PoolFault> {
    let standard = UserPoolClient::default();
    let units = call.object("TokenValidityUnits");
    let validity = |name: &str, unit: &str, usual: &str, or: Duration| {
        let Some(number) = call.number(name).filter(|number| *number > 0) else {
            return Ok(or);
        };
        let unit = units.get(unit).and_then(Json::as_str).unwrap_or(usual);
        let seconds: u64 = match unit {
            "seconds" => 1,
            "minutes" => 60,
            "hours" => 60 * 60,
            "days" => 24 * 60 * 60,
            other => {
                return Err(PoolFault::invalid(format!(
                    "{other} is no unit of token validity"
                )));
            }
        };
        let most = Duration::from_secs(3650 * 24 * 60 * 60);
        Ok(Duration::from_secs(number.saturating_mul(seconds)).min(most))
    };
    let flows = call.texts("ExplicitAuthFlows").unwrap_or_else(|| {
        [
            "ALLOW_USER_SRP_AUTH",
            "ALLOW_REFRESH_TOKEN_AUTH",
            "ALLOW_CUSTOM_AUTH",
        ]
        .map(str::to_owned)
        .to_vec()
    });
    Ok(UserPoolClient {
        client_name: call.text("ClientName")?.to_owned(),
        explicit_auth_flows: Some(flows),
        allowed_oauth_scopes: call.texts("AllowedOAuthScopes"),
        access_token_validity: validity(
            "AccessTokenValidity",
            "AccessToken",
            "hours",
            standard.access_token_validity,
        )?,
        id_token_validity: validity(
            "IdTokenValidity",
            "IdToken",
            "hours",
            standard.id_token_validity,
        )?,
        refresh_token_validity: validity(
            "RefreshTokenValidity",
            "RefreshToken",
            "days",
            standard.refresh_token_validity,
        )?,
        prevent_user_existence_errors: call.maybe("PreventUserExistenceErrors") == Some("ENABLED"),
        ..standard
    })
}

//! Which local pools there are: those of the configuration, and with `--user-pool`
//! those that documents name besides.

use crate::auth::cognito;
use crate::model::settings::Settings;
use crate::model::user_pool::{UserPoolClient, UserPoolSettings};
use crate::model::{Api, Authorization, AuthorizerKind};

/// The pool of `--user-pool` where documents name none, and its client.
const STANDARD: &str = "local";

/// A pool that is to be opened.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) id: String,
    pub(super) arn: String,
    pub(super) issuer: String,
    pub(super) settings: UserPoolSettings,
    pub(super) scopes: Vec<String>,
}

pub(super) fn wanted(apis: &[Api], settings: &Settings) -> Vec<Wanted> {
    let mut pools: Vec<Wanted> = settings
        .local_user_pools
        .iter()
        .map(|pool| Wanted::new(pool.clone(), settings))
        .collect();
    if settings.user_pool_for_all {
        for id in named(apis, settings) {
            if !pools.iter().any(|pool| pool.id == id) {
                pools.push(Wanted::named(&id, settings));
            }
        }
        if pools.is_empty() {
            pools.push(Wanted::named(STANDARD, settings));
        }
    }
    for pool in &mut pools {
        pool.learn(apis, settings);
    }
    pools
}

/// The issuer at AWS of a pool's id.
pub(super) fn issuer_of(id: &str) -> String {
    let region = id.split_once('_').map_or("us-east-1", |(region, _)| region);
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://cognito-idp.{region}.amazonaws.com{suffix}/{id}")
}

/// The pool's id in an issuer of AWS.
fn id_of_issuer(issuer: &str) -> Option<&str> {
    let rest = issuer.strip_prefix("https://cognito-idp.")?;
    let (host, id) = rest.split_once('/')?;
    let known = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    let id = id.trim_end_matches('/');
    let own = id.split_once('_')?.1;
    let fits = !own.is_empty() && own.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (known && fits).then_some(id)
}

/// Ids of the pools that documents name and that the configuration does not place elsewhere.
fn named(apis: &[Api], settings: &Settings) -> Vec<String> {
    let mut ids = Vec::new();
    for (name, authorizer) in apis.iter().flat_map(|api| &api.authorizers) {
        let placed = settings
            .authorizers
            .get(name)
            .is_some_and(|own| own.issuer.is_some() || own.jwks_uri.is_some());
        if placed {
            continue;
        }
        match &authorizer.kind {
            AuthorizerKind::CognitoUserPools { provider_arns, .. } => ids.extend(
                provider_arns
                    .iter()
                    .filter(|arn| !settings.user_pools.contains_key(&arn.value))
                    .filter_map(|arn| cognito::pool_at_aws(&arn.value))
                    .filter_map(|(issuer, _)| id_of_issuer(&issuer).map(str::to_owned)),
            ),
            AuthorizerKind::Jwt { issuer, .. } => {
                ids.extend(id_of_issuer(&issuer.value).map(str::to_owned));
            }
            AuthorizerKind::Token { .. } | AuthorizerKind::Request { .. } => {}
        }
    }
    ids
}

impl Wanted {
    fn named(name: &str, settings: &Settings) -> Self {
        let pool = UserPoolSettings {
            name: name.to_owned(),
            ..UserPoolSettings::default()
        };
        Self::new(pool, settings)
    }

    fn new(pool: UserPoolSettings, settings: &Settings) -> Self {
        let id = match pool.name.rsplit_once('/') {
            Some((_, id)) => id.to_owned(),
            None if pool.name.contains('_') => pool.name.clone(),
            // As a template's resource of that name is called here.
            None => format!("{}_{}", settings.region, pool.name),
        };
        let region = id.split_once('_').map_or("us-east-1", |(region, _)| region);
        let partition = if region.starts_with("cn-") {
            "aws-cn"
        } else {
            "aws"
        };
        let account = &settings.account_id;
        let arn = if pool.name.starts_with("arn:") {
            pool.name.clone()
        } else {
            format!("arn:{partition}:cognito-idp:{region}:{account}:userpool/{id}")
        };
        let issuer = match &pool.issuer {
            Some(issuer) => issuer.value.clone(),
            None => issuer_of(&id),
        };
        Self {
            id,
            arn,
            issuer,
            settings: pool,
            scopes: Vec::new(),
        }
    }

    /// Clients and scopes that documents ask for, where the configuration lists none.
    fn learn(&mut self, apis: &[Api], settings: &Settings) {
        let at_aws = issuer_of(&self.id);
        let mut clients: Vec<String> = Vec::new();
        for api in apis {
            for (name, authorizer) in &api.authorizers {
                let own = settings.authorizers.get(name);
                let is_own = match &authorizer.kind {
                    AuthorizerKind::Jwt { issuer, audience } => {
                        let configured = own.and_then(|own| own.issuer.as_ref());
                        let issuer = &configured.unwrap_or(issuer).value;
                        let is_own = *issuer == self.issuer || *issuer == at_aws;
                        if is_own {
                            let told = own.and_then(|own| own.audience.as_ref());
                            clients.extend(told.unwrap_or(audience).iter().cloned());
                        }
                        is_own
                    }
                    AuthorizerKind::CognitoUserPools { provider_arns, .. } => {
                        provider_arns.iter().any(|arn| {
                            cognito::pool_at_aws(&arn.value)
                                .is_some_and(|(issuer, _)| issuer == at_aws)
                        })
                    }
                    AuthorizerKind::Token { .. } | AuthorizerKind::Request { .. } => false,
                };
                if !is_own {
                    continue;
                }
                for route in &api.routes {
                    if let Authorization::Authorizer {
                        name: asked,
                        scopes,
                        ..
                    } = &route.authorization
                        && asked == name
                    {
                        self.scopes.extend(scopes.iter().cloned());
                    }
                }
            }
        }
        self.scopes.sort();
        self.scopes.dedup();
        if !self.settings.clients.is_empty() {
            return;
        }
        if clients.is_empty() {
            clients.push(STANDARD.to_owned());
        }
        for id in clients {
            if !self.settings.clients.iter().any(|one| one.client_id == id) {
                self.settings.clients.push(UserPoolClient {
                    client_name: id.clone(),
                    client_id: id,
                    ..UserPoolClient::default()
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_of_aws_names_its_pool_and_nothing_else_does() {
        let id = "eu-west-1_AbC";

        assert_eq!(id_of_issuer(&issuer_of(id)), Some(id));
        assert_eq!(
            id_of_issuer(&issuer_of("cn-north-1_x")),
            Some("cn-north-1_x")
        );
        for other in [
            "https://accounts.example.com",
            "https://cognito-idp.evil.example/us-east-1_x",
            "https://cognito-idp.us-east-1.amazonaws.com/",
            "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_../../x",
        ] {
            assert_eq!(id_of_issuer(other), None, "{other}");
        }
    }

    #[test]
    fn without_being_asked_no_pool_is_local() {
        let settings = Settings::default();

        assert!(wanted(&[], &settings).is_empty());

        let asked = Settings {
            user_pool_for_all: true,
            ..settings
        };
        let pools = wanted(&[], &asked);
        assert_eq!(pools.len(), 1);
        assert_eq!(pools[0].id, "us-east-1_local");
        assert_eq!(pools[0].settings.clients[0].client_id, "local");
    }
}

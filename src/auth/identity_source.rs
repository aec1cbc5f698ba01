//! Where an authorizer finds what identifies the caller.

use std::borrow::Cow;

use crate::event::{Exchange, context_variables};

/// One identity source, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentitySource {
    /// A header; letter case does not count.
    Header(String),
    /// A query parameter.
    Query(String),
    /// A stage variable.
    StageVariable(String),
    /// A context variable.
    Context(String),
}

impl IdentitySource {
    /// Reads `method.request.header.NAME` (REST) or `$request.header.NAME` (HTTP)
    /// and their kin; `None` if it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('$').unwrap_or(text);
        let text = text.strip_prefix("method.").unwrap_or(text);
        let name_after = |prefix: &str| {
            let name = text.strip_prefix(prefix)?;
            (!name.is_empty()).then(|| name.to_owned())
        };
        name_after("request.header.")
            .map(Self::Header)
            .or_else(|| name_after("request.querystring.").map(Self::Query))
            .or_else(|| name_after("stageVariables.").map(Self::StageVariable))
            .or_else(|| name_after("context.").map(Self::Context))
    }

    /// Whether it is the header of that name.
    pub fn is_header(&self, name: &str) -> bool {
        matches!(self, Self::Header(own) if own.eq_ignore_ascii_case(name))
    }

    /// Whether it is the query parameter of that name.
    pub fn is_query(&self, name: &str) -> bool {
        matches!(self, Self::Query(own) if own == name)
    }

    /// What stands there; several values are joined by commas. `None` where
    /// there is nothing, or nothing but emptiness.
    pub fn value<'e>(&'e self, exchange: &'e Exchange<'_>) -> Option<Cow<'e, str>> {
        let value = match self {
            Self::Header(name) => joined(exchange.headers().all(name))?,
            Self::Query(name) => joined(exchange.query().all(name).map(Cow::Borrowed))?,
            Self::StageVariable(name) => {
                Cow::Borrowed(exchange.api.stage_variables.get(name)?.as_str())
            }
            Self::Context(name) => context_variables::lookup(exchange, name)?,
        };
        (!value.is_empty()).then_some(value)
    }

    /// Each of the values that [`IdentitySource::value`] joins.
    pub fn values<'e>(&'e self, exchange: &'e Exchange<'_>) -> Vec<Cow<'e, str>> {
        match self {
            Self::Header(name) => exchange.headers().all(name).collect(),
            Self::Query(name) => exchange.query().all(name).map(Cow::Borrowed).collect(),
            Self::StageVariable(_) | Self::Context(_) => self.value(exchange).into_iter().collect(),
        }
    }
}

/// Several values with commas between them; nearly always there is one.
fn joined<'e>(mut values: impl Iterator<Item = Cow<'e, str>>) -> Option<Cow<'e, str>> {
    let first = values.next()?;
    Some(values.fold(first, |joined, value| {
        let mut joined = joined.into_owned();
        joined.push(',');
        joined.push_str(&value);
        Cow::Owned(joined)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_are_read() {
        let header = Some(IdentitySource::Header("X-A".to_owned()));

        assert_eq!(IdentitySource::parse("method.request.header.X-A"), header);
        assert_eq!(IdentitySource::parse(" $request.header.X-A "), header);
        assert_eq!(
            IdentitySource::parse("context.identity.sourceIp"),
            Some(IdentitySource::Context("identity.sourceIp".to_owned()))
        );
        assert_eq!(IdentitySource::parse("method.request.header."), None);
        assert_eq!(IdentitySource::parse("method.request.path.id"), None);
    }
}

//! Function ARNs, and the two ways an integration's `uri` names a function.

use std::fmt;

/// A Lambda function as an API names it: by name, with its region, account and
/// qualifier where they are told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FunctionArn {
    /// `aws`, `aws-cn`, `aws-us-gov`; `aws` for a bare name.
    pub partition: String,
    /// Region; empty for a bare name.
    pub region: String,
    /// Account number; empty for a bare name.
    pub account: String,
    /// The function's name.
    pub name: String,
    /// Alias or version after the name.
    pub qualifier: Option<String>,
}

impl FunctionArn {
    /// Reads `arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]`,
    /// `ACCOUNT:function:NAME`, or a bare `NAME[:QUALIFIER]`.
    ///
    /// Gives `None` for anything else, an empty name included.
    pub fn parse(text: &str) -> Option<Self> {
        let word = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_$".contains(&b))
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (partition, region, account, rest) = match parts.as_slice() {
            [
                "arn",
                partition,
                "lambda",
                region,
                account,
                "function",
                rest @ ..,
            ] => (*partition, *region, *account, rest),
            [account, "function", rest @ ..] => ("aws", "", *account, rest),
            rest => ("aws", "", "", rest),
        };
        let (name, qualifier) = match rest {
            [name] => (*name, None),
            [name, qualifier] => (*name, Some(*qualifier)),
            _ => return None,
        };
        if !word(name) || !qualifier.is_none_or(word) {
            return None;
        }
        Some(Self {
            partition: partition.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            name: name.to_owned(),
            qualifier: qualifier.map(str::to_owned),
        })
    }

    /// Reads an integration's `uri`: the long invocation form
    /// `arn:aws:apigateway:REGION:lambda:path/2015-03-31/functions/ARN/invocations`
    /// (or `2021-11-15/.../response-streaming-invocations`), or a function's ARN.
    ///
    /// Source: API Gateway developer guide, "x-amazon-apigateway-integration object".
    pub fn from_uri(uri: &str) -> Option<Self> {
        let inner = match invocation_path(uri) {
            Some(path) => path.split_once("/functions/")?.1.rsplit_once('/')?.0,
            None if uri.starts_with("arn:") => uri,
            None => return None,
        };
        Self::parse(inner)
    }

    /// The ARN without its qualifier, with `region` and `account` where it has none.
    pub fn unqualified(&self, region: &str, account: &str) -> String {
        let or = |own: &str, other: &str| {
            if own.is_empty() {
                other.to_owned()
            } else {
                own.to_owned()
            }
        };
        format!(
            "arn:{}:lambda:{}:{}:function:{}",
            self.partition,
            or(&self.region, region),
            or(&self.account, account),
            self.name
        )
    }
}

/// The part after `path/` of an integration uri that calls Lambda.
fn invocation_path(uri: &str) -> Option<&str> {
    let mut parts = uri.splitn(6, ':');
    let is_lambda = parts.next()? == "arn"
        && parts.next().is_some()
        && parts.next()? == "apigateway"
        && parts.next().is_some()
        && parts.next()? == "lambda";
    if !is_lambda {
        return None;
    }
    parts
        .next()?
        .strip_prefix("path/")
        .or_else(|| uri.split_once(":path/").map(|(_, path)| path))
}

impl fmt::Display for FunctionArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.account.is_empty() {
            f.write_str(&self.name)?;
        } else {
            f.write_str(&self.unqualified("", ""))?;
        }
        match &self.qualifier {
            Some(qualifier) => write!(f, ":{qualifier}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_form_of_a_uri_names_function_and_qualifier() {
        let arn = FunctionArn::from_uri(
            "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:pets:live/invocations",
        )
        .unwrap();

        assert_eq!(
            (arn.name.as_str(), arn.qualifier.as_deref()),
            ("pets", Some("live"))
        );
        assert_eq!(arn.account, "123456789012");
    }

    #[test]
    fn a_function_arn_is_a_uri_as_well() {
        let arn =
            FunctionArn::from_uri("arn:aws:lambda:eu-west-1:123456789012:function:pets").unwrap();

        assert_eq!(
            arn.to_string(),
            "arn:aws:lambda:eu-west-1:123456789012:function:pets"
        );
    }

    #[test]
    fn what_names_no_function_is_refused() {
        for uri in [
            "",
            "arn:",
            "arn:aws:lambda:us-east-1:1:function:",
            "http://x/",
            "arn:aws:s3:::bucket",
            "arn:aws:apigateway:us-east-1:s3:path/bucket",
        ] {
            assert_eq!(FunctionArn::from_uri(uri), None, "{uri}");
        }
    }
}

//! `tollgate usage`: what the keys of usage plans have used.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value as Json, json};

use super::{Common, load, print};
use crate::base::Clock;
use crate::limit::quota::Period;
use crate::limit::usage_plan::{ApiKey, UsagePlan};
use crate::limit::{Configured, Limits};
use crate::server::open_limits;
use crate::source::Severity;
use crate::store::Day;

/// Print what the keys of usage plans have used
///
/// Counts are read from the store that the configuration names, or from
/// `.tollgate/state.db` beside it, whether a gateway runs or not; what a running one
/// counted in the last moments may be missing. With `memory:` they are in the gateway
/// alone: name its control plane with --admin.
#[derive(Args, Debug)]
pub struct Usage {
    /// Which definitions are read, and how.
    #[command(flatten)]
    pub common: Common,

    /// Only this usage plan, by id or name
    #[arg(long, value_name = "PLAN")]
    plan: Option<String>,

    /// Only this API key, by id or name
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// Ask the control plane of a running gateway
    #[arg(long, value_name = "URL", env = "TOLLGATE_ADMIN_URL")]
    admin: Option<String>,

    /// Print JSON, one object a line
    #[arg(long, env = "TOLLGATE_JSON")]
    json: bool,
}

/// A key under a plan.
struct Row {
    plan: UsagePlan,
    key: ApiKey,
    today: u64,
    period: u64,
    remaining: Option<u64>,
}

impl Usage {
    /// Prints a line for each key of each plan on stdout.
    ///
    /// # Errors
    ///
    /// Where the store or the gateway cannot be asked.
    pub(super) fn run(self) -> Result<ExitCode> {
        let runtime = super::serve::runtime()?;
        let rows = match &self.admin {
            Some(url) => runtime.block_on(ask(url.trim_end_matches('/')))?,
            None => {
                let mut loaded = load(&self.common)?;
                if loaded.say_findings(Severity::Error) {
                    return Ok(ExitCode::FAILURE);
                }
                if let Some(path) = loaded.default_store().filter(|path| path.exists()) {
                    loaded.name_store(&path);
                }
                let inside = runtime.enter();
                let limits = Arc::new(open_limits(&loaded.settings, Clock::System)?);
                drop(inside);
                if !limits.store().outlives() {
                    bail!(
                        "no usage is kept here: with `store: memory:` and in `tollgate exec` the gateway alone knows it \
                         (name its control plane: `tollgate usage --admin http://127.0.0.1:3001`), and \
                         `tollgate serve` has not counted here yet"
                    );
                }
                limits.configure(&Configured::new(&loaded.settings));
                runtime.block_on(read(&limits))?
            }
        };
        let named = |wanted: &Option<String>, id: &str, name: Option<&str>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| wanted == id || Some(wanted) == name)
        };
        let rows: Vec<Row> = rows
            .into_iter()
            .filter(|row| named(&self.plan, &row.plan.id, Some(&row.plan.name)))
            .filter(|row| named(&self.key, &row.key.id, row.key.name.as_deref()))
            .collect();
        if rows.is_empty() && (self.plan.is_some() || self.key.is_some()) {
            bail!("there is no such key in such a plan");
        }
        print(&if self.json {
            lines(&rows)
        } else {
            table(&rows)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// From the store.
async fn read(limits: &Limits) -> Result<Vec<Row>> {
    limits.restore().await?;
    let records = limits.records().await;
    let today = Day::of(limits.clock().since_epoch());
    let mut rows = Vec::new();
    for plan in records.plans.values() {
        let start = period(plan).start(today);
        let usage = limits.usage(&plan.id, start, today).await?;
        for key in records.keys_of(&plan.id) {
            let days = usage.daily(plan, &key.id, start, today);
            rows.push(row(plan, key, &days));
        }
    }
    limits.store().close().await?;
    Ok(rows)
}

fn period(plan: &UsagePlan) -> Period {
    plan.quota.map_or(Period::Month, |quota| quota.period)
}

fn row(plan: &UsagePlan, key: &ApiKey, days: &[(u64, Option<u64>)]) -> Row {
    let last = days.last().copied().unwrap_or_default();
    Row {
        plan: plan.clone(),
        key: key.clone(),
        today: last.0,
        period: days.iter().map(|(used, _)| used).sum(),
        remaining: last.1,
    }
}

/// From the control plane of a running gateway.
async fn ask(url: &str) -> Result<Vec<Row>> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let get = async |path: String| -> Result<Json> {
        let answer = client
            .get(format!("{url}{path}"))
            .send()
            .await
            .with_context(|| format!("no gateway's control plane answers at {url}"))?;
        let status = answer.status();
        let body = answer.bytes().await?;
        if !status.is_success() {
            bail!(
                "{url}{path} answers {status}: {}",
                String::from_utf8_lossy(&body)
            );
        }
        Ok(serde_json::from_slice(&body)?)
    };
    let today = Day::of(Clock::System.since_epoch());
    let mut rows = Vec::new();
    for plan in get("/usageplans?limit=500".to_owned()).await?["item"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let plan = read_plan(plan, today)?;
        let id = &plan.id;
        let start = period(&plan).start(today);
        let names = get(format!("/usageplans/{id}/keys?limit=500")).await?;
        let usage = get(format!(
            "/usageplans/{id}/usage?startDate={start}&endDate={today}&limit=500"
        ))
        .await?;
        for key in names["item"].as_array().into_iter().flatten() {
            let key = ApiKey {
                id: text(key, "id").unwrap_or_default(),
                name: text(key, "name"),
                description: None,
                value: String::new(),
                enabled: true,
                customer_id: None,
                created: 0,
                updated: 0,
                stage_keys: Vec::new(),
                tags: Default::default(),
            };
            let days: Vec<(u64, Option<u64>)> = usage["values"][&key.id]
                .as_array()
                .into_iter()
                .flatten()
                .map(|day| (day[0].as_u64().unwrap_or(0), day[1].as_u64()))
                .collect();
            rows.push(row(&plan, &key, &days));
        }
    }
    Ok(rows)
}

fn text(value: &Json, name: &str) -> Option<String> {
    value[name].as_str().map(str::to_owned)
}

fn read_plan(plan: &Json, today: Day) -> Result<UsagePlan> {
    let quota = match &plan["quota"] {
        Json::Null => None,
        quota => Some(serde_json::from_value(quota.clone())?),
    };
    Ok(UsagePlan {
        id: text(plan, "id").unwrap_or_default(),
        name: text(plan, "name").unwrap_or_default(),
        description: None,
        throttle: None,
        quota,
        stages: None,
        method_throttles: Default::default(),
        product_code: None,
        begin: today,
        tags: Default::default(),
    })
}

fn period_word(row: &Row) -> &'static str {
    match row.plan.quota.map(|quota| quota.period) {
        Some(Period::Day) => "DAY",
        Some(Period::Week) => "WEEK",
        Some(Period::Month) => "MONTH",
        None => "-",
    }
}

fn table(rows: &[Row]) -> String {
    let or_dash = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    let rows: Vec<[String; 7]> = rows
        .iter()
        .map(|row| {
            [
                row.plan.name.clone(),
                row.key.name.clone().unwrap_or_else(|| row.key.id.clone()),
                row.today.to_string(),
                row.period.to_string(),
                or_dash(row.plan.quota.map(|quota| quota.limit)),
                or_dash(row.remaining),
                period_word(row).to_owned(),
            ]
        })
        .collect();
    super::routes::aligned(
        [
            "PLAN",
            "KEY",
            "TODAY",
            "USED",
            "QUOTA",
            "REMAINING",
            "PERIOD",
        ],
        &rows,
    )
}

fn lines(rows: &[Row]) -> String {
    rows.iter()
        .map(|row| {
            let quota = row.plan.quota.map(|quota| {
                json!({"limit": quota.limit, "period": period_word(row), "remaining": row.remaining})
            });
            let line = json!({
                "usagePlanId": row.plan.id,
                "usagePlan": row.plan.name,
                "keyId": row.key.id,
                "key": row.key.name,
                "usedToday": row.today,
                "used": row.period,
                "quota": quota,
            });
            format!("{line}\n")
        })
        .collect()
}

//! One request from match to answer.
//!
//! [`Gateway::answer`] is what a listener calls; `handle` lists the phases in
//! AWS's order.

mod access_log;
mod admit;
mod authorize;
mod cache;
mod choose;
mod compression;
mod cors;
mod execution_log;
mod function_url;
mod gateway_response;
mod handle;
mod rejection;
mod validate;
mod watch;
mod why;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Response;

use crate::base::{Body, Clock, PassedLines};
use crate::event::ReceivedRequest;
use crate::event::execution_log::Line;
use crate::plan::Plan;

pub use rejection::{DefaultAnswer, Rejection};

/// Answers requests by the plan that is in force.
#[derive(Clone, Debug)]
pub struct Gateway {
    plan: Arc<ArcSwap<Plan>>,
    clock: Clock,
    // Of all plans: a reload keeps what is cached.
    cache: Arc<cache::ResponseCache>,
}

impl Gateway {
    /// Serves `plan`.
    pub fn new(plan: Plan, clock: Clock) -> Self {
        plan.limits.configure(&plan.configured);
        plan.functions.take_over();
        plan.observer.metrics.watch_store(plan.limits.metrics());
        Self {
            plan: Arc::new(ArcSwap::from_pointee(plan)),
            clock,
            cache: Arc::default(),
        }
    }

    /// Puts another plan in force. Requests under way keep the one they began with.
    pub fn swap(&self, plan: Plan) {
        plan.limits.configure(&plan.configured);
        plan.functions.take_over();
        self.plan.store(Arc::new(plan));
    }

    /// The plan in force.
    pub fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// Answers one request. Never fails: what goes wrong is an answer, too.
    pub async fn answer(&self, request: Box<ReceivedRequest>) -> Response<Body> {
        let mut response = self.answer_with_lines(request).await;
        PassedLines::spread(&mut response);
        response
    }

    /// Answers one request for someone who knows [`PassedLines`]: a backend's header lines that
    /// nobody had to read stay lines.
    pub async fn answer_with_lines(&self, request: Box<ReceivedRequest>) -> Response<Body> {
        let plan = self.plan.load_full();
        let handled = handle::handle(&plan, &self.clock, &self.cache, request, None);
        handled.await.0
    }

    /// Answers one request and tells each step of its way, as the Test button
    /// of AWS's console does.
    pub async fn test(&self, request: Box<ReceivedRequest>) -> (Response<Body>, Vec<Line>) {
        let plan = self.plan.load_full();
        let whole = Some(execution_log::WHOLE);
        let handled = handle::handle(&plan, &self.clock, &self.cache, request, whole);
        let (mut response, lines) = handled.await;
        PassedLines::spread(&mut response);
        (response, lines)
    }
}

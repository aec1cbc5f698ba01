//! What runs beside the listeners: counts on their way to the store, and the control plane.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin::{self, AdminListener};
use crate::gateway::Gateway;
use crate::store::StoreError;

/// Two tasks that end when this is told to.
#[derive(Debug)]
pub struct Beside {
    /// The tasks wait for it.
    stop: watch::Sender<bool>,
    saving: JoinHandle<()>,
    admin: Option<JoinHandle<()>>,
}

impl Beside {
    /// Reads what the store keeps, then begins to save counts and to serve the control plane.
    ///
    /// # Errors
    ///
    /// Where a store of this machine cannot be read. One that is shared may come
    /// later: until then its configured stand-in counts.
    pub async fn begin(
        gateway: &Gateway,
        admin: Option<AdminListener>,
    ) -> Result<Self, StoreError> {
        if let Some(admin) = &admin {
            let url = format!("http://{}", admin.address());
            gateway.plan().functions.reach_lambda_at(url);
        }
        let limits = Arc::clone(&gateway.plan().limits);
        if let Err(error) = limits.restore().await {
            if limits.store().shared().is_none() {
                return Err(error);
            }
            tracing::error!(%error, "the store is not there yet");
        }
        let stop = watch::Sender::new(false);
        let stopped = || {
            let mut stopped = stop.subscribe();
            async move {
                // A sender that is gone means stop as well.
                let _ = stopped.wait_for(|stop| *stop).await;
            }
        };
        let saving = tokio::spawn(limits.save_until(stopped()));
        let admin =
            admin.map(|listener| tokio::spawn(listener.serve(admin::router(gateway), stopped())));
        Ok(Self {
            stop,
            saving,
            admin,
        })
    }

    /// Saves what is left, closes the store and the control plane.
    pub async fn end(self) {
        self.stop.send_replace(true);
        if let Some(admin) = self.admin {
            // A client that keeps its connection open is no reason to stay.
            let wait = std::time::Duration::from_secs(1);
            let mut admin = admin;
            if tokio::time::timeout(wait, &mut admin).await.is_err() {
                admin.abort();
            }
        }
        // A panic there was reported by its own task.
        let _ = self.saving.await;
    }
}

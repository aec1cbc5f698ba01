//! Where the admin listener listens.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Router;
use tokio::net::TcpListener;

/// Which port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminPort {
    /// None: there is no listener.
    Off,
    /// This one; 0 takes a free one.
    Exactly(u16),
    /// This one if it is free, else any.
    Rather(u16),
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for the control plane: {cause}; choose another port with --admin-port, or `--admin-port off`"
)]
pub struct BindAdminError {
    address: SocketAddr,
    #[source]
    cause: std::io::Error,
}

/// A socket that is bound and not served yet.
#[derive(Debug)]
pub struct AdminListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl AdminListener {
    /// Binds on a loopback address, 127.0.0.1 where none is given. `None` where the port is off.
    ///
    /// # Errors
    ///
    /// Where the port cannot be had.
    pub async fn bind(
        host: Option<IpAddr>,
        port: AdminPort,
    ) -> Result<Option<Self>, BindAdminError> {
        let host = host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let bound = match port {
            AdminPort::Off => return Ok(None),
            AdminPort::Exactly(port) => bind(host, port).await,
            AdminPort::Rather(port) => match bind(host, port).await {
                Ok(bound) => Ok(bound),
                Err(_) => bind(host, 0).await,
            },
        };
        bound.map(Some)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is done.
    pub async fn serve(self, router: Router, stop: impl Future<Output = ()> + Send + 'static) {
        let served = axum::serve(self.listener, router)
            .with_graceful_shutdown(stop)
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the control plane ended");
        }
    }
}

async fn bind(host: IpAddr, port: u16) -> Result<AdminListener, BindAdminError> {
    let address = SocketAddr::new(host, port);
    let failed = |cause| BindAdminError { address, cause };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(AdminListener { listener, address })
}

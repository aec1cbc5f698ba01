//! Where the server listens.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

/// Sockets that listen on one port of one or more addresses.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

/// Why the server cannot listen. `Display` says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another program has the port.
    #[error(
        "{address} is in use by another program: stop that one, or take another port \
         with --port (0 picks a free one)"
    )]
    InUse {
        /// Where the server was to listen.
        address: SocketAddr,
        /// The system's words.
        #[source]
        cause: io::Error,
    },
    /// The port is not for everyone.
    #[error("{address} may not be used by this user: take a port from 1024 with --port")]
    Forbidden {
        /// Where the server was to listen.
        address: SocketAddr,
        /// The system's words.
        #[source]
        cause: io::Error,
    },
    /// The address belongs to another machine, or its family is switched off.
    #[error(
        "{address} is no address of this machine: take 127.0.0.1, or 0.0.0.0 for all, with --host"
    )]
    NotOurs {
        /// Where the server was to listen.
        address: SocketAddr,
        /// The system's words.
        #[source]
        cause: io::Error,
    },
    /// The name means no address.
    #[error(
        "the host {host:?} has no address: take 127.0.0.1 or a name of this machine with --host"
    )]
    UnknownHost {
        /// The name as given.
        host: String,
        /// The system's words, if it said anything.
        #[source]
        cause: Option<io::Error>,
    },
    /// Something else.
    #[error("cannot listen on {address}")]
    Other {
        /// Where the server was to listen.
        address: SocketAddr,
        /// The system's words.
        #[source]
        cause: io::Error,
    },
}

impl Listeners {
    /// Listens on `port` of `host`; port 0 is a free port, the same for all addresses.
    ///
    /// Without a host, and for `localhost`, that is 127.0.0.1 and ::1 (where the
    /// machine has IPv6). All interfaces are taken only for `0.0.0.0` or `::`.
    ///
    /// # Errors
    ///
    /// The port is in use on one of the addresses, or the host cannot be had.
    pub async fn bind(host: Option<&str>, port: u16) -> Result<Self, BindError> {
        const LOOPBACK: [IpAddr; 2] = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        match host {
            None => Self::bind_all(&LOOPBACK, port).await,
            Some(name) if name.eq_ignore_ascii_case("localhost") => {
                Self::bind_all(&LOOPBACK, port).await
            }
            Some(host) => Self::bind_all(&resolve(host).await?, port).await,
        }
    }

    /// Listens on the first of `ips`, and on the others where they can be had.
    async fn bind_all(ips: &[IpAddr], port: u16) -> Result<Self, BindError> {
        /// A free port of the first address can be taken on the second.
        const ATTEMPTS: u32 = 16;
        let mut attempt = 1;
        loop {
            match Self::bind_once(ips, port).await {
                Err(BindError::InUse { .. }) if port == 0 && attempt < ATTEMPTS => attempt += 1,
                done => return done,
            }
        }
    }

    async fn bind_once(ips: &[IpAddr], mut port: u16) -> Result<Self, BindError> {
        let mut listeners = Self {
            sockets: Vec::new(),
            addresses: Vec::new(),
        };
        for ip in ips {
            let address = SocketAddr::new(*ip, port);
            let bound = match TcpListener::bind(address).await {
                Ok(socket) => socket
                    .local_addr()
                    .map(|address| (socket, address))
                    .map_err(|cause| BindError::of(address, cause)),
                Err(cause) => Err(BindError::of(address, cause)),
            };
            match bound {
                Ok((socket, address)) => {
                    port = address.port();
                    listeners.sockets.push(socket);
                    listeners.addresses.push(address);
                }
                Err(error @ BindError::InUse { .. }) => return Err(error),
                Err(error) if listeners.sockets.is_empty() => return Err(error),
                // A machine without IPv6.
                Err(error) => tracing::debug!(%error, "address left out"),
            }
        }
        Ok(listeners)
    }

    /// Where clients reach the server, the first address first.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(super) fn sockets(&self) -> &[TcpListener] {
        &self.sockets
    }
}

impl BindError {
    fn of(address: SocketAddr, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address, cause },
            io::ErrorKind::PermissionDenied => Self::Forbidden { address, cause },
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported => {
                Self::NotOurs { address, cause }
            }
            _ => Self::Other { address, cause },
        }
    }
}

async fn resolve(host: &str) -> Result<Vec<IpAddr>, BindError> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![ip]);
    }
    let mut ips: Vec<IpAddr> = Vec::new();
    let found =
        tokio::net::lookup_host((host, 0))
            .await
            .map_err(|cause| BindError::UnknownHost {
                host: host.to_owned(),
                cause: Some(cause),
            })?;
    for address in found {
        if !ips.contains(&address.ip()) {
            ips.push(address.ip());
        }
    }
    if ips.is_empty() {
        return Err(BindError::UnknownHost {
            host: host.to_owned(),
            cause: None,
        });
    }
    Ok(ips)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn listens_on_both_loopbacks_with_one_port() {
        let listeners = Listeners::bind(None, 0).await.unwrap();

        let addresses = listeners.addresses();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        assert!(
            addresses
                .iter()
                .all(|address| address.port() == addresses[0].port())
        );
        assert_eq!(addresses[0].ip(), Ipv4Addr::LOCALHOST);
    }

    #[tokio::test]
    async fn a_port_in_use_is_told_with_a_remedy() {
        let taken = Listeners::bind(Some("127.0.0.1"), 0).await.unwrap();
        let port = taken.addresses()[0].port();

        let error = Listeners::bind(None, port).await.unwrap_err();

        assert!(matches!(error, BindError::InUse { .. }));
        assert_eq!(
            error.to_string(),
            format!(
                "127.0.0.1:{port} is in use by another program: stop that one, or take another \
                 port with --port (0 picks a free one)"
            )
        );
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_told() {
        let error = Listeners::bind(Some("192.0.2.1"), 0).await.unwrap_err();

        assert!(matches!(error, BindError::NotOurs { .. }), "{error}");
    }

    #[tokio::test]
    async fn one_address_is_one_listener() {
        let listeners = Listeners::bind(Some("127.0.0.1"), 0).await.unwrap();

        assert_eq!(listeners.addresses().len(), 1);
    }
}

//! Which port each service gets.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context;

/// Loopback addresses of the system.
pub(super) struct Addresses {
    pub(super) gateway: SocketAddr,
    pub(super) catalog: SocketAddr,
    pub(super) orders: SocketAddr,
    admin: [(&'static str, SocketAddr); 4],
}

impl Addresses {
    /// The documented ports where they are free and wanted, else any free ones.
    pub(super) fn choose(prefer_defaults: bool) -> anyhow::Result<Self> {
        // All stay bound until each is chosen, so that no port is given out twice.
        let mut held = Vec::new();
        let mut port = |default: u16| -> anyhow::Result<SocketAddr> {
            let wanted = if prefer_defaults { default } else { 0 };
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted))
                .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
                .context("no free port on 127.0.0.1")?;
            let address = listener.local_addr()?;
            held.push(listener);
            Ok(address)
        };
        Ok(Self {
            gateway: port(8080)?,
            catalog: port(50051)?,
            orders: port(50052)?,
            admin: [
                ("gateway", port(9090)?),
                ("catalog", port(9091)?),
                ("orders", port(9092)?),
                ("fulfilment", port(9093)?),
            ],
        })
    }

    /// Where the service's probes and metrics are.
    pub(super) fn admin(&self, service: &str) -> SocketAddr {
        self.admin
            .iter()
            .find(|(name, _)| *name == service)
            .map(|(_, address)| *address)
            .expect("every service has an admin port")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_replaced_by_a_free_one() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 8080));
        let addresses = Addresses::choose(true).expect("ports");
        // Taken by this test or, when that failed, by somebody else.
        drop(taken);
        assert_ne!(addresses.gateway.port(), 8080);
    }
}

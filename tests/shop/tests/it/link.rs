//! A TCP way to a service that leads to another replica when it is told, as a Kubernetes Service does.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A way on the loopback; ends when dropped.
pub(crate) struct Link {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    _accepting: JoinSet<()>,
}

impl Link {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let target = Arc::new(Mutex::new(target));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target.clone()));
        Self {
            address,
            target,
            _accepting: accepting,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// New connections go to `target`; those that are open stay where they are.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }
}

async fn accept(listener: TcpListener, target: Arc<Mutex<SocketAddr>>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.expect("a connection");
        let target = *target.lock().unwrap_or_else(PoisonError::into_inner);
        connections.spawn(async move {
            // Either end may break off.
            if let Ok(mut far) = TcpStream::connect(target).await {
                let _ = near.set_nodelay(true).and(far.set_nodelay(true));
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}

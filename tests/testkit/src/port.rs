//! Ports of 127.0.0.1 for services that must be told their port before they start.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use rand::Rng;

/// Below the ports that systems give to outgoing connections, so that none of these takes the port of a broker that is
/// down for a moment, and below Kubernetes' node ports.
const RANGE: std::ops::Range<u16> = 15_000..30_000;

/// A TCP port that is free, and that no other test run picks while this value lives.
///
/// The claim is the UDP port of the same number, held open: it needs no file and ends with the process, however it ends.
pub(crate) struct Port {
    pub(crate) number: u16,
    _claim: UdpSocket,
}

impl Port {
    /// Claims a free port, at random.
    pub(crate) fn claim() -> Self {
        loop {
            let number = rand::rng().random_range(RANGE);
            let Ok(claim) = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) else { continue };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self { number, _claim: claim };
            }
        }
    }
}

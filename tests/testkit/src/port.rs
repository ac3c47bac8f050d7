//! Ports of 127.0.0.1 for services that need to know their port before they start.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use rand::Rng;

/// Below the ports of outgoing connections, so that none of these takes the port of a broker that is briefly down, and
/// below Kubernetes' node ports.
const RANGE: std::ops::Range<u16> = 15_000..30_000;

/// A free TCP port that no other test run picks while this value lives.
///
/// The claim is the UDP port of the same number, held open: it needs no file and ends with the process in any case.
pub(crate) struct Port {
    pub(crate) number: u16,
    _claim: UdpSocket,
}

impl Port {
    /// Claims a random free port.
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

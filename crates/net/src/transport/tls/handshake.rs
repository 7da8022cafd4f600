//! How a handshake goes: who makes it, how long that takes, whether it has failed. Uses `stream`.

use super::stream::Tls;

impl Tls {
    /// Whoever reads or writes first makes the handshake. It must not take what another waits for.
    pub fn share_carrier(&mut self) {
        self.stream.get_mut().set_reads_ahead(false);
    }

    /// Seconds from the first step of the handshake to its end.
    pub fn handshake_seconds(&self) -> Option<f64> {
        self.ended.zip(self.begun).map(|(ended, begun)| ended - begun)
    }

    /// Whether this is a client whose handshake has failed.
    pub fn is_failed_client(&self) -> bool {
        matches!(self.outcome, Some(Err(_))) && !self.stream.ssl().is_server()
    }
}

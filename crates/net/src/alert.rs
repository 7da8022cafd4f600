//! The names of TLS alerts as the RFCs give them. OpenSSL does not know all of them. Uses no other
//! module.

/// An alert that has ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    pub number: u8,
    /// Whether the peer has sent the alert, and not this end.
    pub is_peers: bool,
}

impl Alert {
    /// Returns the alert's name in the registry of IANA, which RFC 8446, section 6, and RFC 5246,
    /// section 7.2, began, or `unknown` if its number has none.
    pub fn name(self) -> &'static str {
        match self.number {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            21 => "decryption_failed",
            22 => "record_overflow",
            30 => "decompression_failure",
            40 => "handshake_failure",
            41 => "no_certificate",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            52 => "too_many_cids_requested",
            60 => "export_restriction",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            111 => "certificate_unobtainable",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            114 => "bad_certificate_hash_value",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            117 => "general_error",
            120 => "no_application_protocol",
            121 => "ech_required",
            _ => "unknown",
        }
    }
}

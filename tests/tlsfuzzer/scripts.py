"""The scripts that are run, by the server that they are for."""


class Kind:
    """A server in two makes: the options of our listener, and those of s_server."""

    def __init__(self, options, arguments, common=(), clients=(), **scripts):
        self.options, self.arguments, self.common = options, arguments, common
        self.clients, self.scripts = clients, scripts


# What is left out: scripts that measure time (lucky13, bleichenbacher-timing, minerva), those of
# SSL 3, those of DHE over TLS 1.2, which the listener does not have, and those of what OpenSSL 3.0
# does not have: ML-KEM, ML-DSA, compressed certificates.
DEFAULT = """
aes-gcm-nonces aesccm alpn-negotiation bleichenbacher-workaround ccs
client-compatibility client-hello-max-size clienthello-md5 connection-abort conversation
cve-2004-0079 cve-2016-2107 cve-2016-6309 cve-2016-7054
early-application-data ecdhe-padded-shared-secret ecdhe-rsa-key-exchange
ecdhe-rsa-key-exchange-with-bad-messages empty-extensions encrypt-then-mac
encrypt-then-mac-renegotiation extended-master-secret-extension extensions
fuzzed-MAC fuzzed-ciphertext fuzzed-finished fuzzed-padding fuzzed-plaintext heartbeat
hello-request-by-client interleaved-CKE-with-CCS
interleaved-application-data-and-fragmented-handshakes-in-renegotiation
interleaved-application-data-in-renegotiation invalid-cipher-suites
invalid-client-hello-w-record-overflow invalid-client-hello invalid-compression-methods
invalid-content-type invalid-rsa-key-exchange-messages invalid-server-name-extension
invalid-server-name-extension-resumption invalid-session-id invalid-version large-hello
large-number-of-extensions legacy-renegotiation message-duplication message-skipping no-heartbeat
openssl-3712 point-extension record-layer-fragmentation
renegotiation-changed-clienthello renegotiation-disabled resumption-with-wrong-ciphers
serverhello-random session-ticket-resumption sessionID-resumption sig-algs
sig-algs-renegotiation-resumption signature-algorithms sslv2-connection sslv2-force-cipher
sslv2-force-cipher-3des sslv2-force-cipher-non3des sslv2-force-export-cipher sslv2hello-protocol
tls13-0rtt-garbage tls13-ccs tls13-connection-abort tls13-conversation tls13-count-tickets
tls13-crfg-curves tls13-dhe-shared-secret-padding tls13-ecdhe-curves tls13-empty-alert
tls13-ffdhe-groups tls13-ffdhe-sanity tls13-finished tls13-finished-plaintext tls13-hrr
tls13-invalid-ciphers tls13-keyshare-omitted tls13-keyupdate tls13-keyupdate-from-server
tls13-large-number-of-extensions tls13-legacy-version tls13-multiple-ccs-messages
tls13-no-unknown-groups tls13-nociphers tls13-obsolete-curves tls13-pkcs-signature
tls13-record-layer-limits tls13-record-padding tls13-rsa-signatures tls13-serverhello-random
tls13-session-resumption tls13-shuffled-extentions tls13-signature-algorithms
tls13-symetric-ciphers tls13-unencrypted-alert tls13-unrecognised-groups
tls13-version-negotiation tls13-zero-content-type tls13-zero-length-data
truncating-of-client-hello truncating-of-finished truncating-of-kRSA-client-key-exchange
unsupported-curve-fallback version-numbers x25519 zero-length-data ssl-death-alert
""".split()

# The same over (EC)DHE, which the script calls -d.
WITH_D = """
alpn-negotiation client-hello-max-size conversation encrypt-then-mac
extended-master-secret-extension fuzzed-ciphertext fuzzed-padding fuzzed-plaintext heartbeat
large-number-of-extensions legacy-renegotiation message-skipping resumption-with-wrong-ciphers
sessionID-resumption ssl-death-alert sslv2hello-protocol
""".split()

OLD = """
atypical-padding conversation cve-2016-2107
downgrade-protection ecdhe-rsa-key-exchange ecdhe-rsa-key-share-random encrypt-then-mac
export-ciphers-rejected fallback-scsv fuzzed-MAC fuzzed-ciphertext fuzzed-padding
record-layer-fragmentation serverhello-random sslv2hello-protocol ssl-death-alert
TLSv1_2-rejected-without-TLSv1_2 version-numbers
""".split()

CLIENTS = """
certificate-malformed certificate-request certificate-verify certificate-verify-malformed
certificate-verify-malformed-sig extended-master-secret-extension-with-client-cert
rsa-pss-sigs-on-certificate-verify rsa-sigs-on-certificate-verify
tls13-certificate-request tls13-certificate-verify
""".split()

KEY = "8b7c6d5e4f30213243546576879810a9"

# tlslite-ng's own client, by its arguments.
CLIENT = [
    [], ["--resumption"], ["--max-ver", "tls1.2"], ["--max-ver", "tls1.2", "--resumption"],
    ["-a", "http/1.1"], ["-a", "http/1.1", "--max-ver", "tls1.2"],
    ["-l", "EXPERIMENTAL-proof", "-L", "32"], ["-l", "EXPERIMENTAL-proof", "-L", "32", "--max-ver", "tls1.2"],
    *(["--cipherlist", cipher, "--max-ver", version]
      for cipher in ("aes128gcm", "aes256gcm", "aes128ccm", "aes256ccm", "chacha20-poly1305", "aes256")
      for version in ("tls1.2", "tls1.3")),
]


def kinds(pem):
    """The servers, with the certificates of a folder."""
    def own(name):
        return ({"cert_file": f"{pem}/{name}.pem", "key_file": f"{pem}/{name}.key"},
                ["-cert", f"{pem}/{name}.pem", "-key", f"{pem}/{name}.key"])

    def server(name, options=(), arguments=(), **rest):
        ours, theirs = own(name)
        return Kind({**ours, **dict(options)}, [*theirs, *arguments], **rest)

    # Most scripts offer ciphers and signatures of their time. The listener has no DHE over TLS 1.2,
    # and keeps no sessions: clients resume theirs by tickets.
    weak = {"ciphers": "ALL:@SECLEVEL=0"}
    weaker = ["-cipher", "ALL:@SECLEVEL=0", "-no_dhe", "-no_cache", "-min_protocol", "TLSv1.2"]
    return {
        "rsa": server("rsa", {**weak, "alpn": "http/1.1"}, [*weaker, "-alpn", "http/1.1"],
                      clients=CLIENT, **{name: [] for name in DEFAULT},
                      **{"chacha20": ["--extra-exts"], "renegotiation-disabled-client-cert": [
                          "-k", f"{pem}/client.key", "-c", f"{pem}/client.pem"]}),
        "rsa, -d": server("rsa", {**weak, "alpn": "http/1.1"}, [*weaker, "-alpn", "http/1.1"],
                          **{name: ["-d"] for name in WITH_D}),
        "tls1.0 on": server(
            "rsa", {**weak, "min_version": "1.0"}, [*weaker[:-1], "TLSv1"],
            **{name: [] for name in OLD}),
        "tls1.2 alone": server(
            "rsa", {**weak, "max_version": "1.2"}, [*weaker, "-max_protocol", "TLSv1.2"],
            **{"tls13-non-support": [], "downgrade-protection": ["--server-max-protocol=TLSv1.2"],
               "fallback-scsv": []}),
        "client certificates": server(
            "rsa", {**weak, "ca_file": f"{pem}/client.pem"},
            [*weaker, "-CAfile", f"{pem}/client.pem", "-Verify", "1", "-verify_return_error"],
            common=["-k", f"{pem}/client.key", "-c", f"{pem}/client.pem"],
            **{name: [] for name in CLIENTS}),
        "ecdsa client certificates": server(
            "rsa", {**weak, "ca_file": f"{pem}/ecdsa.pem"},
            [*weaker, "-CAfile", f"{pem}/ecdsa.pem", "-Verify", "1", "-verify_return_error"],
            common=["-k", f"{pem}/ecdsa.key", "-c", f"{pem}/ecdsa.pem"],
            **{"ecdsa-in-certificate-verify": [], "tls13-ecdsa-in-certificate-verify": []}),
        "ecdsa": server(
            "ecdsa", weak, weaker,
            **{"conversation": ["-d"], "aesccm": ["-d"], "ecdsa-sig-flexibility": [],
               "signature-algorithms": ["--ecdsa"], "tls13-conversation": [],
               "tls13-ecdsa-support": []}),
        "ed25519": server("ed25519", **{"tls13-eddsa": []}),
        "ed448": server("ed448", **{"tls13-eddsa": []}),
        "rsa, psk": server(
            "rsa", {"psk": {"test": KEY}}, ["-psk_identity", "test", "-psk", KEY],
            **{name: ["--psk", KEY, "--psk-iden", "test"] for name in ("tls13-psk_dhe_ke", "tls13-psk_ke")}),
        "rsa-pss": server("rsapss", **{"tls13-rsapss-signatures": [], "sig-algs": []}),
    }


"""TLS records made by hand: what no library sends, such as an alert of any number. Python's standard
library alone.

An `Endpoint` is one end of a connection. Python's ssl makes its handshake, over buffers, so that its
records can be looked at, held back and replaced. The keys come from its key log. Both ends must agree
on `CIPHER` (TLS 1.2) or `SUITE` (TLS 1.3), the cipher that is written out here (RFC 8439).
"""

import functools
import hmac
import os
import re
import socket
import ssl
import struct
import tempfile

CIPHER = "ECDHE-ECDSA-CHACHA20-POLY1305"
SUITE = "TLS_CHACHA20_POLY1305_SHA256"

CCS, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23


def record(kind, body, version=0x303):
    """A record without protection."""
    return struct.pack(">BHH", kind, version, len(body)) + body


def alert(level, number, version=0x303):
    return record(ALERT, bytes([level, number]), version)


def message(kind, body):
    """A handshake message."""
    return bytes([kind]) + struct.pack(">I", len(body))[1:] + body


def records_of(data):
    """Cuts what has come into records: [(kind, record)], and the rest."""
    found = []
    while len(data) >= 5 and len(data) >= 5 + struct.unpack(">H", data[3:5])[0]:
        size = 5 + struct.unpack(">H", data[3:5])[0]
        found.append((data[0], data[:size]))
        data = data[size:]
    return found, data


# ChaCha20 and Poly1305.

def rotated(value, count):
    return (value << count | value >> (32 - count)) & 0xffffffff


def block(key, counter, nonce):
    start = list(struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce))
    state = start[:]
    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            for x, y, z, count in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                state[x] = (state[x] + state[y]) & 0xffffffff
                state[z] = rotated(state[z] ^ state[x], count)
    return struct.pack("<16I", *((x + y) & 0xffffffff for x, y in zip(start, state)))


def sealed(key, nonce, data, head):
    stream = b"".join(block(key, 1 + i, nonce) for i in range((len(data) + 63) // 64))
    text = bytes(x ^ y for x, y in zip(data, stream))
    one = block(key, 0, nonce)
    r = int.from_bytes(one[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    padded = head + bytes(-len(head) % 16) + text + bytes(-len(text) % 16) + struct.pack("<QQ", len(head), len(text))
    sum_ = 0
    for i in range(0, len(padded), 16):
        sum_ = (sum_ + int.from_bytes(padded[i:i + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    tag = (sum_ + int.from_bytes(one[16:32], "little")) & ((1 << 128) - 1)
    return text + tag.to_bytes(16, "little")


# Keys.

def expanded(secret, label, size):
    """HKDF-Expand-Label (RFC 8446, section 7.1), without a context."""
    info = struct.pack(">HB", size, 6 + len(label)) + b"tls13 " + label + b"\0\1"
    return hmac.digest(secret, info, "sha256")[:size]


def key_block(master, seed, size):
    """The PRF of TLS 1.2 (RFC 5246, section 5)."""
    seed = b"key expansion" + seed
    made, a = b"", seed
    while len(made) < size:
        a = hmac.digest(master, a, "sha256")
        made += hmac.digest(master, a + seed, "sha256")
    return made[:size]


@functools.lru_cache(maxsize=None)
def context_of(version, certificate, ca):
    """A context, and a descriptor of its key log, whose file is gone. To make one takes milliseconds."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if certificate else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = {
        "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
    context.set_ciphers(CIPHER)
    if certificate:
        context.load_cert_chain(certificate + ".pem", certificate + ".key")
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    else:
        context.load_verify_locations(ca)
    log, name = tempfile.mkstemp()
    context.keylog_filename = name
    os.unlink(name)
    return context, log


class Endpoint:
    """One end of a connection over the socket `sock`; with `certificate` it is the server. `choose` is
    an SNI callback."""

    def __init__(self, sock, version, certificate=None, ca=None, choose=None):
        self.sock, self.version = sock, version
        self.is_server = certificate is not None
        context, self.log = context_of(version, certificate, ca)
        if self.is_server: context.sni_callback = choose
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        role = {"server_side": True} if self.is_server else {"server_hostname": "localhost"}
        self.tls = context.wrap_bio(self.incoming, self.outgoing, **role)
        # What went over the wire in the clear: for the randoms of the hellos.
        self.said = {"ours": b"", "theirs": b""}
        self.sequence = 0

    def step(self):
        """Goes on with the handshake: what it has to send, and whether it is through."""
        try:
            self.tls.do_handshake()
            is_over = True
        except ssl.SSLWantReadError:
            is_over = False
        made = self.outgoing.read()
        self.said["ours"] += made
        return made, is_over

    def receive(self):
        """Takes in what comes; False at the end of the stream."""
        data = self.sock.recv(65536)
        self.said["theirs"] += data
        self.incoming.write(data)
        return bool(data)

    def handshake(self):
        """All of it."""
        while True:
            made, is_over = self.step()
            self.sock.sendall(made)
            if is_over: break
            if not self.receive(): raise EOFError("the stream ended in the handshake")
        # In TLS 1.2 Finished was the first record with these keys; in TLS 1.3 it has its own keys.
        self.sequence = 1 if self.version == "1.2" else 0

    def random(self, whose):
        """The random in a hello, the first message of each side."""
        return self.said[whose][11:43]

    def secret(self, label):
        random = self.random("theirs" if self.is_server else "ours").hex()
        lines = os.pread(self.log, 1 << 24, 0).decode().split("\n")
        for line in reversed(lines):
            if line.startswith(label + " " + random):
                return bytes.fromhex(line.split()[2])
        raise EOFError("no %s in the key log" % label)

    def protected(self, kind, body, in_handshake=False):
        """A record with the keys of this end and the next number."""
        number, self.sequence = self.sequence, self.sequence + 1
        who = "SERVER" if self.is_server else "CLIENT"
        if self.version == "1.3":
            secret = self.secret(who + ("_HANDSHAKE_TRAFFIC_SECRET" if in_handshake else "_TRAFFIC_SECRET_0"))
            key, iv = expanded(secret, b"key", 32), expanded(secret, b"iv", 12)
            body, kind = body + bytes([kind]), DATA
            head = associated = struct.pack(">BHH", kind, 0x303, len(body) + 16)
        else:
            ours, theirs = self.random("ours"), self.random("theirs")
            keys = key_block(self.secret("CLIENT_RANDOM"), ours + theirs if self.is_server else theirs + ours, 88)
            key, iv = (keys[32:64], keys[76:88]) if self.is_server else (keys[:32], keys[64:76])
            head = struct.pack(">BHH", kind, 0x303, len(body) + 16)
            associated = struct.pack(">QBHH", number, kind, 0x303, len(body))
        nonce = bytes(x ^ y for x, y in zip(iv, bytes(4) + struct.pack(">Q", number)))
        return head + sealed(key, nonce, body, associated)


# Peers that send an alert and then go on as if nothing were: what comes of it is for the other end
# to say. `when` is "before", "within" or "after" the handshake.

def until_the_end(sock, is_last):
    try:
        if is_last: sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536): pass
    except OSError: pass


def alert_as_server(sock, certificate, version, when, level):
    """The number stands in the name that the client asks for, as n40.test."""
    end = Endpoint(sock, version, certificate)
    try:
        while not records_of(end.said["theirs"])[0]:
            if not end.receive(): return
        number = int(re.search(rb"n(\d+)\.test", end.said["theirs"])[1])
        if when == "before": sock.sendall(alert(level, number))
        if when == "within":
            (_, first), *others = records_of(end.step()[0])[0]
            if version == "1.3":
                if others[0][0] == CCS: first += others[0][1]
                return sock.sendall(first + end.protected(ALERT, bytes([level, number]), True))
            sock.sendall(first + alert(level, number) + b"".join(other for _, other in others))
        end.handshake()
        if when == "after": sock.sendall(end.protected(ALERT, bytes([level, number])))
        sock.sendall(end.protected(DATA, b"on\n"))
    except (OSError, EOFError): pass
    finally:
        until_the_end(sock, when == "within" and version == "1.3")


def alert_as_client(sock, ca, version, when, level, number, is_plain=False):
    end = Endpoint(sock, version, ca=ca)
    try:
        if when == "before": sock.sendall(alert(level, number))
        if when == "within":
            sock.sendall(end.step()[0])
            while not (made := end.step())[0]:
                if not end.receive(): return
            if version == "1.3" and not is_plain:
                return sock.sendall(end.protected(ALERT, bytes([level, number]), True))
            sock.sendall(alert(level, number) + made[0])
            while not made[1] and end.receive(): made = end.step()
            end.sequence = 1 if version == "1.2" else 0
        else:
            end.handshake()
        if when == "after": sock.sendall(end.protected(ALERT, bytes([level, number])))
        sock.sendall(end.protected(DATA, b"on\n"))
    except (OSError, EOFError): pass
    finally:
        until_the_end(sock, when == "within" and version == "1.3")

"""As much of TLS 1.2 as it takes to show the other end a chain of certificates. No key is needed:
a chain is judged before its owner has proved anything."""

import os
import struct

ALERT = b"\x15\x03\x03\x00\x02\x02\x50"  # fatal, internal_error
RSA, ECDSA = b"\x00\x9c", b"\xc0\x2b"    # AES_128_GCM_SHA256, with RSA and with ECDHE_ECDSA
EC_KEY = bytes.fromhex("06072a8648ce3d0201")
RSA_KEY = bytes.fromhex("06092a864886f70d010101")


def records(data):
    """A handshake's bytes in records."""
    pieces = [data[at:at + 16384] for at in range(0, len(data), 16384)]
    return b"".join(b"\x16\x03\x03" + struct.pack(">H", len(piece)) + piece for piece in pieces)


def sized(size, data):
    """The data behind its length of so many bytes."""
    return len(data).to_bytes(size, "big") + data


def message(kind, body):
    return bytes([kind]) + sized(3, body)


def certificate(chain):
    return message(11, sized(3, b"".join(sized(3, der) for der in chain)))


def server_flight(chain):
    """What a server says: hello, its chain, and the alert."""
    cipher = RSA if RSA_KEY in chain[0] and EC_KEY not in chain[0] else ECDSA
    # The extension says that renegotiation is secure (RFC 5746).
    hello = b"\x03\x03" + os.urandom(32) + b"\0" + cipher + b"\0" + sized(2, b"\xff\x01\0\x01\0")
    return records(message(2, hello) + certificate(chain)) + ALERT


def client_hello():
    extensions = b"".join(struct.pack(">H", kind) + sized(2, body) for kind, body in (
        (10, sized(2, b"\0\x17\0\x1d")), (13, sized(2, b"\x08\x04\x04\x01\x04\x03")),
        (0xff01, b"\0")))
    return records(message(1, b"\x03\x03" + os.urandom(32) + b"\0" + sized(2, b"\xc0\x2f") + b"\x01\0"
                           + sized(2, extensions)))


def client_flight(chain):
    return records(certificate(chain)) + ALERT


def receive(conn, size):
    data = b""
    while len(data) < size:
        more = conn.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def receive_until(conn, kind):
    """Receives records until a message of the handshake of this kind has come."""
    data = b""
    while True:
        head = receive(conn, 5)
        body = receive(conn, struct.unpack(">H", head[3:])[0])
        if head[0] != 22:
            raise EOFError
        data += body
        while len(data) >= 4:
            size = 4 + int.from_bytes(data[1:4], "big")
            if len(data) < size:
                break
            if data[0] == kind:
                return
            data = data[size:]

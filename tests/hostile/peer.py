"""Servers that misbehave: peer.py CERTIFICATES SEED prints two ports as one line of Lua and then serves until
nobody can read its output any more. The nth connection of each plays a random series of bytes, pauses, resets
and endings that SEED + n alone decides; at the second port it begins with TLS, or with what looks like it."""

import os
import random
import select
import socket
import ssl
import struct
import sys
import threading
import time

LONGEST = 5  # seconds that a script may last
LINGER = struct.pack("ii", 1, 0)
PIECES = [
    b"\0\0\0\x05[1,2]", b"\0\0\0\x02{}", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\x07\xa1\x20", b"\0\0\0", b"\0\0\0\x09{\"a\":",
    b"{\"a\":[1,2,", b"[[[[[[[[", b"]", b"}", b"\"\\ud800\"", b"\"\\u12", b"1e999", b"-", b"tru", b"null", b"\xc3", b"\xff\xfe",
    b"a line\r\n", b"\n", b"\r", b"\0", b";;", b"HTTP/1.1 200 OK\r\n\r\n",
    b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03", b"\x16\x03\x01\xff\xff", b"\x15\x03\x03\x00\x02\x02\x28",
    b"\x15\x03\x03\x00\x02\x01\x00", b"\x14\x03\x03\x00\x01\x01", b"\x17\x03\x03\x40\x01", b"\x80\x2e\x01",
]


class Over(Exception):
    """The script says that the connection ends here."""


def some_bytes(chance):
    kind = chance.random()
    if kind < 0.6:
        return b"".join(chance.choice(PIECES) for _ in range(chance.randint(1, 6)))
    if kind < 0.8:
        return chance.randbytes(chance.randint(1, 300))
    if kind < 0.9:
        body = chance.randbytes(chance.randint(0, 5000))
        return struct.pack(">I", chance.choice([len(body), len(body) + 1, 1 << 31, 512000])) + body
    return chance.choice([b"x", b"[", b"{\"a\":", b" ", b"\0", b"[1,"]) * chance.randint(1, 60000)


def play(sock, raw, chance):
    """A random series of doings; `sock` may be TLS over `raw`."""
    for _ in range(chance.randint(0, 8)):
        doing = chance.random()
        if doing < 0.45:
            sock.sendall(some_bytes(chance))
        elif doing < 0.55:
            for byte in some_bytes(chance)[:60]:
                sock.sendall(bytes([byte]))
                time.sleep(chance.choice([0, 0, 0.001, 0.02]))
        elif doing < 0.70:
            time.sleep(chance.choice([0.001, 0.01, 0.1, 0.5]))
        elif doing < 0.80:
            if select.select([raw], [], [], 0.1)[0]:
                sock.recv(chance.choice([1, 10, 65536]))
        elif doing < 0.86:
            raw.send(chance.choice(PIECES))  # below TLS, where there is some
        elif doing < 0.90:
            raw.shutdown(chance.choice([socket.SHUT_WR, socket.SHUT_RD, socket.SHUT_RDWR]))
        elif doing < 0.95:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
            raise Over
        else:
            raise Over
    if chance.random() < 0.4:
        time.sleep(chance.choice([0.1, 1]))  # says nothing more, and does not end


def handshake(sock, chance):
    """TLS, or something like it."""
    kind = chance.random()
    if kind < 0.5:
        made = CONTEXTS[chance.randrange(len(CONTEXTS))]
        return made.wrap_socket(sock.dup(), server_side=True, suppress_ragged_eofs=False)
    if kind < 0.75:  # a first flight that is cut or spoilt
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = chance.choice(CONTEXTS).wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(sock.recv(65536))
        try:
            session.do_handshake()
        except ssl.SSLError:
            pass
        flight = bytearray(outgoing.read())
        if flight and chance.random() < 0.7:
            for _ in range(chance.randint(1, 5)):
                flight[chance.randrange(len(flight))] ^= 1 << chance.randrange(8)
        sock.sendall(flight[:chance.randint(0, len(flight))] if chance.random() < 0.5 else flight)
        return sock
    if kind < 0.9:
        sock.recv(65536)
    return sock


def context(certificate, version=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = os.path.join(CERTIFICATES, certificate)
    made.load_cert_chain(path + ".pem", path + ".key")
    if version:
        made.maximum_version = version
    return made


def serve(sock, seed, tls):
    chance = random.Random(seed)
    with sock:
        sock.settimeout(LONGEST)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw = sock
        try:
            if tls:
                sock = handshake(sock, chance)
            play(sock, raw, chance)
            if tls and sock is not raw and chance.random() < 0.5:
                sock.unwrap()
        except (Over, OSError, ValueError):
            pass
        finally:
            if sock is not raw:
                sock.close()


def accept(listener, tls):
    seed = SEED
    while True:
        sock = listener.accept()[0]
        seed += 1
        threading.Thread(target=serve, args=(sock, seed, tls), daemon=True).start()


def listen(tls):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    threading.Thread(target=accept, args=(listener, tls), daemon=True).start()
    return listener.getsockname()[1]


def main():
    print("return { plain = %d, tls = %d }" % (listen(False), listen(True)), flush=True)
    poll = select.poll()
    poll.register(1, 0)  # POLLERR and POLLHUP always count
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    CERTIFICATES, SEED = sys.argv[1], int(sys.argv[2])
    CONTEXTS = [context("good"), context("good", ssl.TLSVersion.TLSv1_2), context("expired"), context("rsa")]
    main()

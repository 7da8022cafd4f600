"""The servers of the soak test: peer.py CERTIFICATES prints their ports as one line of Lua and then serves
until nobody can read its output any more. They are plain loops, so that 100,000 connections are nothing to
them, and keep nothing of a connection that is over."""

import functools
import json
import os
import select
import socket
import ssl
import struct
import sys
import threading

sys.path.insert(0, "spec/support")
import dialogues

LONGEST = 10  # seconds that anything here may wait
LINGER = struct.pack("ii", 1, 0)


def packet(value):
    body = json.dumps(value).encode()
    return struct.pack(">I", len(body)) + body


HELLO = packet([1, 2, 3])


def context(certificate):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = os.path.join(CERTIFICATES, certificate)
    made.load_cert_chain(path + ".pem", path + ".key")
    return made


def echo(sock):
    while data := sock.recv(1 << 16):
        sock.sendall(data)


def greet(sock):
    """One packet, and then whatever the other end wants, until it goes."""
    sock.sendall(HELLO)
    while sock.recv(4096):
        pass


def over_tls(certificate, serve):
    made = context(certificate)

    def handler(sock):
        with made.wrap_socket(sock, server_side=True) as secure:
            serve(secure)
            secure.unwrap()

    return handler


def behind(talk, serve):
    """What comes behind a dialogue: `talk` is called with how to send and how to receive."""

    def handler(sock):
        def receive(size):
            parts = b""
            while len(parts) < size:
                part = sock.recv(size - len(parts))
                if not part:
                    raise ConnectionError("the end")
                parts += part
            return parts

        talk(sock.sendall, receive)
        serve(sock)

    return handler


def answer_plainly(sock):
    sock.recv(4096)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def reset(sock):
    sock.recv(4096)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)


def cut_half(made):
    """Half of the server's first flight, and the end."""

    def handler(sock):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = made.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(sock.recv(4096))
        try:
            session.do_handshake()
        except ssl.SSLWantReadError:
            pass
        flight = outgoing.read()
        sock.sendall(flight[:len(flight) // 2])

    return handler


class Server:
    def __init__(self, handler, threads=False):
        self.handler = handler
        self.threads = threads
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            sock = self.listener.accept()[0]
            if self.threads:
                threading.Thread(target=self.serve, args=(sock,), daemon=True).start()
            else:
                self.serve(sock)

    def serve(self, sock):
        with sock:
            sock.settimeout(LONGEST if not self.threads else None)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self.handler(sock)
            except OSError:
                pass  # the other end does as it likes


def main():
    good = context("good")
    servers = {
        "echo": Server(echo, threads=True),
        "echo_tls": Server(over_tls("good", echo), threads=True),
        "greet": Server(greet, threads=True),
        "greet_tls": Server(over_tls("good", greet), threads=True),
        "stranger": Server(over_tls("unknown_issuer", greet)),
        "other_host": Server(over_tls("other_host", greet)),
        "expired": Server(over_tls("expired", greet)),
        "plain": Server(answer_plainly),
        "reset": Server(reset),
        "cut": Server(cut_half(good)),
        "connect_proxy": Server(behind(dialogues.connect_proxy, echo), threads=True),
        "connect_proxy_tls": Server(behind(dialogues.connect_proxy, over_tls("good", greet)), threads=True),
        "https_proxy": Server(over_tls("good", behind(dialogues.connect_proxy, echo)), threads=True),
        "socks_proxy": Server(behind(dialogues.socks_proxy, echo), threads=True),
    }
    for name in dialogues.TURNS:
        talk = functools.partial(dialogues.starttls, name)
        servers[name] = Server(behind(talk, over_tls("good", greet)), threads=True)
    ports = {name: server.port for name, server in servers.items()}
    taken = socket.socket()  # bound, so that nobody else listens there, and not listening
    taken.bind(("127.0.0.1", 0))
    ports["refusing"] = taken.getsockname()[1]
    print("return { %s }" % ", ".join("%s = %d" % port for port in ports.items()), flush=True)
    poll = select.poll()
    poll.register(1, 0)  # POLLERR and POLLHUP always count
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    CERTIFICATES = sys.argv[1]
    main()

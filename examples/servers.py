"""The servers that the examples talk to, on loopback: Python's standard library, and the openssl
command for a throw-away CA. Nothing here knows the module.

`python3 examples/servers.py` starts them for a look by hand, until Ctrl-C.
"""

import http.server
import json
import os
import socket
import socketserver
import ssl
import struct
import subprocess
import tempfile
import threading

TLS_NAME = "api.exemplo.com"
LIMIT = 512000


class TheirMistake(Exception):
    """What came does not follow the protocol."""


def read_packet(stream):
    """The next length-prefixed JSON value; None at the end of the stream."""
    head = stream.read(4)
    if not head:
        return None
    (length,) = struct.unpack(">I", head)
    if length > LIMIT:
        raise TheirMistake("%d bytes announced" % length)
    return json.loads(stream.read(length))


def packet(value):
    body = json.dumps(value).encode()
    return struct.pack(">I", len(body)) + body


class Server(socketserver.ThreadingTCPServer):
    """Listens on a free port and serves in threads that end with the process."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.port = self.server_address[1]
        self.seen = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # the client went away; it has its own say


class Packets(socketserver.StreamRequestHandler):
    """Answers each packet with what `server.answer(value)` gives; None ends the connection."""

    def handle(self):
        while True:
            value = read_packet(self.rfile)
            if value is None:
                return
            self.server.seen.append(value)
            reply, more = self.server.answer(value)
            self.wfile.write(packet(reply))
            if not more:
                return


class PacketServer(Server):
    def __init__(self, answer, context=None):
        self.answer = answer
        self.context = context
        super().__init__(Packets)

    def finish_request(self, request, client_address):
        """Runs in the connection's thread: the handshake must not hold up others."""
        if self.context is None:
            return super().finish_request(request, client_address)
        with self.context.wrap_socket(request, server_side=True) as tls:
            super().finish_request(tls, client_address)
            tls.unwrap()


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # the head and the body leave together, as the example's single recv expects

    def do_GET(self):
        self.server.seen.append(self.path)
        body = self.server.page(self.path).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class PageServer(Server):
    def __init__(self, page):
        self.page = page
        super().__init__(Page)


def openssl(folder, *words):
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit("openssl %s: %s" % (words[0], done.stderr))


def make_ca(folder):
    """Makes ca.pem, and server.pem with server.key for TLS_NAME, good for a day."""
    extensions = {
        "ca": "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n",
        "server": "basicConstraints = critical, CA:FALSE\nsubjectAltName = DNS:%s\n" % TLS_NAME,
    }
    names = {"ca": "tcp demo, a throw-away CA", "server": TLS_NAME}
    for name, text in extensions.items():
        with open(os.path.join(folder, name + ".ext"), "w", encoding="utf-8") as file:
            file.write(text + "subjectKeyIdentifier = hash\n")
        openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name + ".key")
        openssl(folder, "req", "-new", "-key", name + ".key", "-subj", "/CN=" + names[name], "-out", name + ".csr")
    sign = ["x509", "-req", "-sha256", "-days", "1"]
    openssl(folder, *sign, "-in", "ca.csr", "-signkey", "ca.key", "-extfile", "ca.ext", "-out", "ca.pem")
    openssl(folder, *sign, "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "2",
            "-extfile", "server.ext", "-out", "server.pem")


def server_context(folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "server.pem"), os.path.join(folder, "server.key"))
    return context


def monitored(version):
    """Answers a ping with a pong and its version."""
    return lambda value: ({"pong": value.get("ping"), "versao": version}, True)


def api(user):
    """Answers any endpoint with the one user that there is."""

    def answer(value):
        return {"success": True, "usuario": {"id": value["dados"]["id"], "nome": user}}, True

    return answer


def chat(value):
    """Says every message again, and hangs up after "tchau"."""
    return {"tipo": "mensagem", "texto": "eco: " + value["texto"]}, value["texto"] != "tchau"


class Refused:
    """A port of ours on which nobody listens, for as long as this lives."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]


class Servers:
    """All of them; `folder` gets the CA."""

    def __init__(self, folder, version, user, page):
        make_ca(folder)
        self.ca = os.path.join(folder, "ca.pem")
        self.page = PageServer(lambda path: "%s\nYou asked for %s.\n" % (page, path))
        self.api = PacketServer(api(user), server_context(folder))
        self.monitored = PacketServer(monitored(version))
        self.chat = PacketServer(chat)
        self.refused = Refused()


def main():
    with tempfile.TemporaryDirectory() as folder:
        servers = Servers(folder, "1.0", "Ana", "Hello.")
        print("HTTP 127.0.0.1:%d   pings 127.0.0.1:%d   chat 127.0.0.1:%d   API over TLS 127.0.0.1:%d" % (
            servers.page.port, servers.monitored.port, servers.chat.port, servers.api.port))
        print("SSL_CERT_FILE=" + servers.ca, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()

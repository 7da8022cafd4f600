"""The peers that the specs talk to; Python's standard library alone, nothing of the module.

serve.py REQUESTS CERTIFICATES reads one request a line (JSON) from the FIFO `REQUESTS` and answers
each with one line on stdout, a Lua chunk: `return true, value` or `return false, message`. The
behaviour of a peer is Python code that stands in the spec itself: it runs once for each connection,
in a thread of its own, with `c` (a `Connection`) and the modules and functions of `NAMES`. What the
code returns, the spec can ask for. Everything ends when the spec's process does.
"""

import ctypes
import json
import os
import random
import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import traceback
import warnings

LONGEST = 10  # seconds that anything here may wait
LONGEST_IDLE = 300  # seconds without a request, after which the specs must have died


def packet(value):
    """The length-prefixed form of bytes, or of the JSON of any other value."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack(">I", len(body)) + body


VERSIONS = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1,
            "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Connection:
    """One connection, as a peer's code sees it."""

    def __init__(self, listener, accepted):
        self.listener = listener
        self.peer = accepted.getpeername()
        self.closed = False
        self.sni = None
        if accepted.family != socket.AF_UNIX:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accepted.settimeout(LONGEST)
        # A second descriptor of the socket, for bytes that must not pass through TLS.
        self.raw = accepted.dup()
        self.sock = accepted

    def handshake(self, certificate=None, **settings):
        """Becomes TLS: its server, or its client where this end has dialled."""
        settings = dict(self.listener.options, **settings)
        if isinstance(self.listener, Dialer):
            context = ssl.create_default_context(cafile=os.path.join(CERTIFICATES, "root.pem"))
            role = {"server_hostname": settings.get("server_name", "localhost")}
            certificate = settings.get("certificate")
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.sni_callback = self.note_sni
            role = {"server_side": True}
            certificate = certificate or settings["tls"]
        if certificate:
            path = os.path.join(CERTIFICATES, certificate)
            context.load_cert_chain(path + ".pem", path + ".key")
        if "ciphers" in settings:
            context.set_ciphers(settings["ciphers"])
        if "version" in settings:
            context.minimum_version = context.maximum_version = VERSIONS[settings["version"]]
        if "alpn" in settings:
            context.set_alpn_protocols(settings["alpn"].split(","))
        if "client_ca" in settings:
            context.load_verify_locations(os.path.join(CERTIFICATES, settings["client_ca"] + ".pem"))
            context.verify_mode = ssl.CERT_REQUIRED
        if settings.get("drip"):
            self.sock = self.dripping(self.sock, settings.get("pause", 0))
        self.sock = context.wrap_socket(self.sock, suppress_ragged_eofs=False, **role)

    def note_sni(self, _sock, name, _context):
        self.sni = name

    @staticmethod
    def dripping(outside, pause=0):
        """A socket whose bytes leave by `outside` one at a time, with pauses between them."""
        inside, between = socket.socketpair()

        def pump(source, target, most):
            try:
                while data := source.recv(most):
                    target.sendall(data)
                    if most == 1 and pause: time.sleep(pause)
                target.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        threading.Thread(target=pump, args=(between, outside, 1), daemon=True).start()
        threading.Thread(target=pump, args=(outside, between, 65536), daemon=True).start()
        inside.settimeout(LONGEST)
        return inside

    # Sending.

    def send(self, data):
        self.sock.sendall(data)

    def send_packet(self, value):
        self.send(packet(value))

    def drip(self, data, pause=0.001):
        """Sends a byte at a time."""
        for i in range(len(data)):
            self.send(data[i:i + 1])
            time.sleep(pause)

    # Receiving; each raises EOFError if the stream ends too early.

    def recv(self, n=65536):
        """What there is; b"" at the end of the stream."""
        return self.sock.recv(n)

    def recv_exactly(self, n):
        parts, left = [], n
        while left:
            part = self.sock.recv(min(left, 1 << 20))
            if not part:
                raise EOFError("the stream ended %d bytes too early" % left)
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def recv_line(self):
        line = b""
        while not line.endswith(b"\n"):
            line += self.recv_exactly(1)
        return line

    def recv_packet(self):
        return self.recv_exactly(struct.unpack(">I", self.recv_exactly(4))[0])

    def recv_all(self):
        parts = []
        while True:
            part = self.sock.recv(65536)
            if not part:
                return b"".join(parts)
            parts.append(part)

    def ending(self):
        """Waits for the other end to go: "end" for a clean one (over TLS: with its goodbye),
        "cut" for a TCP end without TLS's goodbye, "reset"."""
        try:
            self.recv_all()
            return "end"
        except ConnectionResetError:
            return "reset"
        except ssl.SSLEOFError:
            return "cut"

    # Waiting for the spec.

    def wait(self):
        """Until the spec says `peer.go()`, once for each call."""
        if not self.listener.go.acquire(timeout=LONGEST):
            raise EOFError("nobody said go")

    def hold(self):
        """Until the spec is over: says and hears nothing meanwhile."""
        self.listener.over.wait(LONGEST)

    # Ending.

    def finish(self):
        """Sends no more, and listens until the other end is done too."""
        if self.closed:
            return
        if isinstance(self.sock, ssl.SSLSocket):
            try:
                self.sock.unwrap()
            except ValueError:  # the handshake did not end well, or TLS is over already
                pass
        self.raw.shutdown(socket.SHUT_WR)
        while self.raw.recv(65536):
            pass

    def close(self):
        """Closes both ways at once, with TLS's goodbye."""
        if isinstance(self.sock, ssl.SSLSocket) and not self.closed:
            self.sock.settimeout(0)
            try:
                self.sock.unwrap()
            except OSError:
                pass
        self.cut()

    def cut(self):
        """Closes both ways at once, without TLS's goodbye."""
        self.closed = True
        self.sock.close()
        self.raw.close()

    def reset(self):
        """Closes with a TCP reset."""
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()

    def abandon(self):
        try:
            self.raw.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Run:
    """A connection's code, running."""

    def __init__(self, connection):
        self.connection = connection
        self.value = None
        self.failure = None
        self.told = False
        self.done = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        connection = self.connection
        try:
            if "tls" in connection.listener.options:
                connection.handshake()
            self.value = connection.listener.handler(connection)
        except Exception as failure:  # whatever it is, the spec is told
            self.failure = failure
        self.done.set()
        try:
            if self.failure is None:
                connection.finish()
        except OSError:
            pass  # its end came some other way
        connection.cut()

    def result(self):
        if not self.done.wait(LONGEST):
            raise EOFError("the peer is still busy")
        if self.failure is not None:
            self.told = True
            raise self.failure
        return self.value


class Peer:
    """What a peer does on each of its connections."""

    def __init__(self, code, file, line, options):
        self.options = options
        self.handler = handler(code, file, line)
        self.over = threading.Event()
        self.go = threading.Semaphore(0)
        self.runs = []
        self.arrived = threading.Condition()

    def start(self, sock):
        with self.arrived:
            self.runs.append(Run(Connection(self, sock)))
            self.arrived.notify_all()

    def count(self):
        with self.arrived:
            return len(self.runs)

    def run_number(self, n):
        with self.arrived:
            if not self.arrived.wait_for(lambda: len(self.runs) >= n, LONGEST):
                raise EOFError("connection %d never came" % n)
            return self.runs[n - 1]

    def end(self):
        """Ends all of it; gives the failures that can only be mistakes."""
        self.over.set()
        with self.arrived:
            runs = list(self.runs)
        mistakes = []
        for run in runs:
            run.connection.abandon()
            run.done.wait(1)
            if run.failure and not run.told and not isinstance(run.failure, (OSError, EOFError)):
                mistakes.append(told(run.failure))
        return mistakes


class Dialer(Peer):
    """A peer that connects, as often as `times` says."""

    def __init__(self, code, file, line, options):
        super().__init__(code, file, line, options)
        self.port = options.get("port")
        for _ in range(options.get("times", 1)):
            if "path" in options:
                sock = socket.socket(socket.AF_UNIX)
                sock.settimeout(LONGEST)
                sock.connect(unix_address(options["path"]))
            else:
                sock = socket.create_connection((options.get("host", "127.0.0.1"), self.port), LONGEST)
            self.start(sock)


def unix_address(path):
    """What Python calls an abstract name begins with a zero byte."""
    return "\0" + path[1:] if path.startswith("@") else path


class Listener(Peer):
    """A peer that listens on a port, or at the path of a Unix socket."""

    def __init__(self, code, file, line, options):
        super().__init__(code, file, line, options)
        self.fillers = []
        self.thread = None
        self.path = options.get("path")
        if self.path is None:
            host = options.get("host", "127.0.0.1")
            self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind((host, options.get("port", 0)))
            self.port = self.sock.getsockname()[1]
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(unix_address(self.path))
            self.port = 0
        if options.get("full"):
            self.fill()
            if options.get("delay"):
                self.thread = threading.Thread(target=self.drain, args=(options["delay"],), daemon=True)
        elif options.get("listen", True):
            self.sock.listen(128)
            self.thread = threading.Thread(target=self.accept, daemon=True)
        if self.thread:
            self.thread.start()

    def fill(self):
        """Fills the accept queue, so that the kernel answers no further connection at all."""
        self.sock.listen(0)
        for _ in range(8):
            filler = socket.socket(self.sock.family)
            filler.setblocking(False)
            failed = filler.connect_ex(self.sock.getsockname())
            if failed and self.path is not None:
                return filler.close()  # a full one says so
            self.fillers.append(filler)
            if self.path is None and not select.select([], [filler], [], 0.02)[1]:
                return

    def drain(self, delay):
        """Answers after so many seconds."""
        if self.over.wait(delay):
            return
        if self.path is None:
            self.fillers.pop().close()  # it is not in the queue
        for _ in self.fillers:
            self.sock.accept()[0].close()
        self.accept()

    def accept(self):
        while not self.over.is_set():
            try:
                self.start(self.sock.accept()[0])
            except OSError:
                pass  # it was gone before it was accepted, or all is over

    def end(self):
        self.over.set()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)  # wakes up accept
        except OSError:
            pass
        # The next listener may get the same descriptor, and this thread must not accept from it.
        if self.thread:
            self.thread.join(LONGEST)
        for sock in [self.sock] + self.fillers:
            sock.close()
        if self.path is not None and not self.path.startswith("@") and os.path.exists(self.path):
            os.unlink(self.path)
        return super().end()


class Program:
    """A server that is a program of its own, started by a shell command in which `{port}` stands for a free
    port. It is ready when that is open, or with `ready` when it has written a line that matches; a group
    in it is the port."""

    def __init__(self, command, _file, _line, options):
        self.port = self.free_port()
        command = "exec " + command.replace("{port}", str(self.port))
        self.process = subprocess.Popen(
            command, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", preexec_fn=self.die_with_its_parent)
        if "ready" in options:
            self.read_until(options["ready"])
        else:
            self.wait_until_open()
        # Its later output is read, too, so that it does not block on a full pipe.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    @staticmethod
    def free_port():
        """A port that nobody has at the moment, below those that the system chooses for others."""
        for _ in range(100):
            with socket.socket() as free:
                try:
                    free.bind(("127.0.0.1", random.randrange(10000, 30000)))
                    return free.getsockname()[1]
                except OSError:
                    pass
        raise OSError("no port is free")

    @staticmethod
    def die_with_its_parent():
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG

    def read_until(self, ready):
        said = []
        for line in self.process.stdout:
            said.append(line)
            match = re.search(ready, line)
            if match:
                self.port = int(match[1]) if match.groups() else self.port
                return
        raise EOFError("the program has ended: " + "".join(said))

    def wait_until_open(self):
        late = time.monotonic() + LONGEST
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                if self.process.poll() is not None or time.monotonic() > late:
                    self.process.kill()
                    raise EOFError("the program does not listen: " + self.process.stdout.read())
                time.sleep(0.01)

    def end(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return []


NAMES = {"json": json, "os": os, "packet": packet, "socket": socket, "ssl": ssl, "struct": struct,
         "threading": threading, "time": time}


def handler(code, file, line):
    """Makes a function of a peer's code; `line` is where it stands in `file`."""
    lines = code.split("\n")
    margin = min([len(text) - len(text.lstrip()) for text in lines if text.strip()], default=0)
    body = ["def peer(c):"] + [" " + text[margin:] for text in lines] + [" pass"]
    names = dict(NAMES, CERTIFICATES=CERTIFICATES)
    exec(compile("\n" * (line - 1) + "\n".join(body), file, "exec"), names)
    return names["peer"]


def told(failure):
    """A failure in a line, with the place in the peer's own code if it has one."""
    places = [frame for frame in traceback.extract_tb(failure.__traceback__)
              if not frame.filename.endswith(".py")]
    where = "%s:%d: in the peer: " % (places[-1].filename, places[-1].lineno) if places else ""
    return "%s%s: %s" % (where, type(failure).__name__, failure)


# Requests.

peers = []
asked = time.monotonic()  # when the last request came


def peer(made):
    peers.append(made)
    return [len(peers), made.port]


def end():
    """Ends all peers, between two tests; their mistakes are the test's."""
    mistakes = []
    for each in peers:
        mistakes += each.end()
    peers.clear()
    if mistakes:
        raise RuntimeError("\n".join(mistakes))


REQUESTS_BY_NAME = {
    "listen": lambda *arguments: peer(Listener(*arguments)),
    "dial": lambda *arguments: peer(Dialer(*arguments)),
    "program": lambda *arguments: peer(Program(*arguments)),
    "result": lambda index, n: peers[index - 1].run_number(n).result(),
    "count": lambda index: peers[index - 1].count(),
    "go": lambda index, times: peers[index - 1].go.release(times),
    "address": lambda index, n: list(peers[index - 1].run_number(n).connection.peer[:2]),
    "end": end,
}


def lua(value):
    """A value as Lua source."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, (bytes, bytearray)):
        return '"%s"' % "".join(
            chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else "\\%03d" % byte for byte in value)
    if isinstance(value, dict):
        return "{%s}" % ",".join("[%s]=%s" % (lua(k), lua(v)) for k, v in value.items())
    return "{%s}" % ",".join(map(lua, value))


def answer(request):
    try:
        name, *arguments = json.loads(request)
        return "return true, " + lua(REQUESTS_BY_NAME[name](*arguments))
    except Exception as failure:
        return "return false, " + lua(told(failure))


def end_with_the_reader():
    """The specs' process is gone when nobody can read our stdout any more."""
    poll = select.poll()
    poll.register(1, 0)  # POLLERR and POLLHUP always count
    while time.monotonic() - asked < LONGEST_IDLE:
        if poll.poll(60 * 1000):
            break
    os._exit(0)


def main():
    global asked
    # A peer may import what stands beside this file, also where another program runs it.
    sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
    threading.Thread(target=end_with_the_reader, daemon=True).start()
    print("ready", flush=True)
    with open(REQUESTS, encoding="utf-8") as requests:
        os.unlink(REQUESTS)
        for request in requests:
            asked = time.monotonic()
            print(answer(request), flush=True)


if __name__ == "__main__":
    REQUESTS, CERTIFICATES = sys.argv[1:]
    warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 and 1.1 are asked for on purpose
    main()

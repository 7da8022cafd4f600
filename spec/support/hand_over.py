"""Runs a program that finds a socket of ours as descriptor 3, as systemd and inetd hand them over.

hand_over.py WHAT COMMAND...; WHAT is one of `WAYS`, or listen:PATH for a Unix socket there.
"""

import os
import socket
import sys


def listening(family, address):
    sock = socket.socket(family)
    sock.bind(address)
    sock.listen()
    return sock


def connected(listener):
    """One end; at the other end a child of ours sends back what it gets."""
    sock = socket.socket(listener.family)
    sock.connect(listener.getsockname())
    other = listener.accept()[0]
    return echoed(sock, other)


def echoed(sock, other):
    if os.fork() == 0:
        sock.close()
        os.close(1)  # who reads what the program says waits for its end
        os.close(2)
        try:
            while data := other.recv(65536):
                other.sendall(data)
        finally:
            os._exit(0)
    other.close()
    return sock


def reset():
    listener = listening(socket.AF_INET, ("127.0.0.1", 0))
    sock = socket.create_connection(listener.getsockname())
    other = listener.accept()[0]
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    other.close()
    return sock


def lingering():
    sock = connected(listening(socket.AF_INET, ("127.0.0.1", 0)))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\x1e\0\0\0")
    return sock


WAYS = {
    "tcp": lambda: connected(listening(socket.AF_INET, ("127.0.0.1", 0))),
    "tcp6": lambda: connected(listening(socket.AF_INET6, ("::1", 0))),
    "unix": lambda: connected(listening(socket.AF_UNIX, "\0hand-over-%d" % os.getpid())),
    "pair": lambda: echoed(*socket.socketpair()),
    "reset": reset,
    "lingering": lingering,
    "listen": lambda: listening(socket.AF_INET, ("127.0.0.1", 0)),
    "bound": lambda: socket.socket(socket.AF_INET),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "seqpacket": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)[0],
    "datagrams": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0],
    "pipe": lambda: os.fdopen(os.pipe()[0]),
    "file": lambda: open("/dev/null", "rb"),
}


def main():
    what, *command = sys.argv[1:]
    if what.startswith("listen:"):
        path = what[len("listen:"):]
        given = listening(socket.AF_UNIX, "\0" + path[1:] if path.startswith("@") else path)
    else:
        given = WAYS[what]()
    os.dup2(given.fileno(), 3)
    os.set_inheritable(3, True)
    os.environ["LISTEN_FDS"] = "1"
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The other end of the TLS checks: tls_server.py CERTIFICATE KEY SECONDS. Listens on a free port of
127.0.0.1, prints it, shakes hands with whoever comes, one after the other in each of two processes, and
waits for the end of the stream. Ends after so many seconds, or with its input."""

import os
import signal
import socket
import ssl
import sys


def serve(listener, context):
    while True:
        client, _ = listener.accept()
        client.settimeout(60)
        try:
            with context.wrap_socket(client, server_side=True) as stream:
                stream.recv(1)
        except OSError:
            pass


def main(certificate, key, seconds):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            signal.alarm(int(seconds))
            serve(listener, context)
        children.append(child)
    print(listener.getsockname()[1], flush=True)
    signal.alarm(int(seconds))
    sys.stdin.read()
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


main(*sys.argv[1:])

"""blocks.py PORT: to each byte "m" of a client it sends 1 MB, and after "s" it takes 1 MB and sends
a byte."""

import socket
import sys
import threading

BLOCK = bytes(1000000)


def serve(client):
    with client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (what := client.recv(1)):
            if what == b"m":
                client.sendall(BLOCK)
                continue
            left = len(BLOCK)
            while left:
                left -= len(client.recv(min(left, 262144)))
            client.sendall(b"x")


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

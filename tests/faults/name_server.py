"""Answers at the socket that the environment names as NAME_SERVER, as it comes: each name has the address
127.0.0.1 and no IPv6 address. Ends when nobody can read its output any more."""

import os
import select
import socket
import struct

A = 1


def answer(query):
    end = query.index(0, 12) + 5  # behind the name, its type and class
    kind, = struct.unpack_from(">H", query, end - 4)
    count = 1 if kind == A else 0
    record = struct.pack(">HHHIH4s", 0xC00C, A, 1, 60, 4, socket.inet_aton("127.0.0.1")) * count
    return query[:2] + struct.pack(">HHHHH", 0x8180, 1, count, 0, 0) + query[12:end] + record


def main():
    server = socket.socket(fileno=int(os.environ["NAME_SERVER"]))
    print("ready", flush=True)
    poll = select.poll()
    poll.register(server, select.POLLIN)
    poll.register(1, 0)  # POLLERR and POLLHUP always count
    while all(fd != 1 for fd, _ in poll.poll()):
        query, address = server.recvfrom(4096)
        server.sendto(answer(query), address)


main()

"""A command in a network of its own: `unshare -rnm python3 namespace.py HOSTS COMMAND...`

Inside, only the loopback interface is there, with 127.0.0.0/8 and ::1. HOSTS is one word,
`address=name,address=name...`: it is all that names resolve to; the resolver that /etc/resolv.conf
names there answers nothing, ever, but for the IPv4 address of what stands as `address~name`, and
unless somebody does so at the socket whose descriptor is in the environment as NAME_SERVER. IPv4
addresses outside 127.0.0.0/8 become addresses of our own.
"""

import ctypes
import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile

SIOCSIFADDR, SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8916, 0x8913, 0x8914
IFF_UP = 1


def interface_request(name, rest):
    return struct.pack("16s24s", name.encode(), rest)


def up(control):
    flags, = struct.unpack("h", fcntl.ioctl(control, SIOCGIFFLAGS, interface_request("lo", b""))[16:18])
    fcntl.ioctl(control, SIOCSIFFLAGS, interface_request("lo", struct.pack("h", flags | IFF_UP)))


def own(control, number, address):
    place = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
    fcntl.ioctl(control, SIOCSIFADDR, interface_request("lo:%d" % number, place))


def replace(path, text):
    """Shows `text` at `path`, to us alone."""
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    subprocess.run(["mount", "--bind", file.name, os.path.realpath(path)], check=True)
    os.unlink(file.name)


def answer(query, addresses):
    """The answer to a query of DNS for the IPv4 address of one of these names; none to any other (RFC 1035)."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    kind, = struct.unpack(">H", query[at + 1:at + 3])
    address = addresses.get(".".join(labels))
    if kind != 1 or not address: return None
    record = struct.pack(">HHHIH", 0xc00c, 1, 1, 60, 4) + socket.inet_aton(address)
    return query[:2] + struct.pack(">5H", 0x8180, 1, 1, 0, 0) + query[12:at + 5] + record


def serve(server, addresses):
    """Answers in a child, which ends with this process."""
    if os.fork(): return
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    while True:
        query, client = server.recvfrom(512)
        reply = answer(query, addresses)
        if reply: server.sendto(reply, client)


def main():
    entries = [re.split("([=~])", entry) for entry in sys.argv[1].split(",") if entry]
    hosts = [(address, name) for address, kind, name in entries if kind == "="]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        up(control)
        foreign = {address for address, _ in hosts if ":" not in address and not address.startswith("127.")}
        for number, address in enumerate(sorted(foreign)):
            own(control, number, address)
    replace("/etc/hosts", "".join("%s %s\n" % (address, name) for address, name in hosts))
    # The socket is bound, so that no ICMP error comes back.
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.53", 53))
    silent.set_inheritable(True)
    os.environ["NAME_SERVER"] = str(silent.fileno())
    served = {name: address for address, kind, name in entries if kind == "~"}
    if served: serve(silent, served)
    replace("/etc/resolv.conf", "nameserver 127.0.0.53\noptions timeout:5 attempts:2\n")
    replace("/etc/nsswitch.conf", "hosts: files dns\n")
    os.execvp(sys.argv[2], sys.argv[2:])


main()

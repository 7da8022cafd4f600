"""What the suites talk to: a server that never answers, and a WebSocket server that sends back."""

import base64
import hashlib
import socket
import sys
import threading


def silent(port):
    """A listener whose backlog is full: a connect to it waits."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(0)
    waiting = []
    for _ in range(4):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
        waiting.append(client)
    threading.Event().wait()


def read(stream, count):
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


def frames(stream):
    """The messages of a client: opcode and payload (RFC 6455, section 5.2)."""
    opcode, message = 0, b""
    while True:
        first, second = read(stream, 2)
        size = second & 127
        if size == 126:
            size = int.from_bytes(read(stream, 2), "big")
        elif size == 127:
            size = int.from_bytes(read(stream, 8), "big")
        mask = read(stream, 4) if second & 128 else bytes(4)
        data = bytearray(read(stream, size))
        pad = (mask * (size // 4 + 1))[:size]
        message += (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")
        opcode = first & 15 or opcode
        if first & 128:
            yield opcode, message
            opcode, message = 0, b""


def frame(opcode, data):
    size = len(data)
    if size < 126:
        head = bytes([128 | opcode, size])
    elif size < 65536:
        head = bytes([128 | opcode, 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([128 | opcode, 127]) + size.to_bytes(8, "big")
    return head + data


def serve(client):
    stream = client.makefile("rb")
    headers = {}
    stream.readline()
    while (line := stream.readline().strip()):
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    key = headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    answer = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
              f"Sec-WebSocket-Accept: {accept}"]
    if "sec-websocket-protocol" in headers:
        answer.append("Sec-WebSocket-Protocol: " + headers["sec-websocket-protocol"].split(",")[0])
    client.sendall("\r\n".join(answer + ["", ""]).encode())
    for opcode, data in frames(stream):
        client.sendall(frame(opcode, data))
        if opcode == 8:
            return


def handle(client):
    with client:
        try:
            serve(client)
        except (EOFError, OSError, KeyError):
            pass


def websocket(port):
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        client, _ = listener.accept()
        threading.Thread(target=handle, args=(client,), daemon=True).start()


if __name__ == "__main__":
    {"silent": silent, "websocket": websocket}[sys.argv[1]](int(sys.argv[2]))

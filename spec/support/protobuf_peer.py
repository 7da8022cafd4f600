"""Answers protobuf's messages, each with its length in front as protobuf's own library writes it:
a StringValue comes back in capitals. Says `port N` when it is ready."""

import socket

from google.protobuf.internal import decoder, encoder
from google.protobuf.wrappers_pb2 import StringValue

listener = socket.create_server(("127.0.0.1", 0))
print("port %d" % listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
connection.settimeout(10)
data = b""
while more := connection.recv(1000):
    data += more
    while data:
        try:
            length, at = decoder._DecodeVarint(data, 0)
        except IndexError:
            break
        if len(data) < at + length:
            break
        text = StringValue.FromString(data[at:at + length]).value.upper()
        data = data[at + length:]
        body = StringValue(value=text).SerializeToString()
        connection.sendall(encoder._VarintBytes(len(body)) + body)

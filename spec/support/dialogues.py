"""What a server says before TLS, and a proxy before the way is open, where all goes well. `send` and `receive`
(exactly so many bytes) are those of a connection; what follows is for whoever calls."""

import struct

LINE = object()  # a client's turn is a line, or so many bytes


def mysql_greeting():
    body = (b"\n8.0.36\0" + struct.pack("<I", 7) + b"12345678\0" + b"\xff\xff\xff\2\0\xff\xdf\x15" + bytes(10)
            + b"123456789012\0caching_sha2_password\0")
    return struct.pack("<I", len(body))[:3] + b"\0" + body


def ldap_answer():
    body = b"\2\1\1\x78\7\n\1\0\4\0\4\0"
    return b"\x30" + bytes([len(body)]) + body


STREAM = b"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
XMPP_TLS = b"urn:ietf:params:xml:ns:xmpp-tls"
XMPP_OPENING = b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xml:lang='en' " + STREAM

# The server's turns, and the client's between them. The names are those of the option `starttls`.
TURNS = {
    "smtp": [b"220 ready\r\n", LINE, b"250-x\r\n250 STARTTLS\r\n", LINE, b"220 go\r\n"],
    "lmtp": [b"220 ready\r\n", LINE, b"250-x\r\n250 STARTTLS\r\n", LINE, b"220 go\r\n"],
    "imap": [b"* OK ready\r\n", LINE, b"* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK done\r\n", LINE, b"a2 OK begin\r\n"],
    "pop3": [b"+OK ready\r\n", LINE, b"+OK list\r\nSTLS\r\n.\r\n", LINE, b"+OK begin\r\n"],
    "ftp": [b"220 ready\r\n", LINE, b"211-Features:\r\n AUTH TLS\r\n211 End\r\n", LINE, b"234 begin\r\n"],
    "sieve": [b'"STARTTLS"\r\nOK "ready"\r\n', LINE, b'OK "begin"\r\n'],
    "ldap": [31, ldap_answer()],
    "postgres": [8, b"S"],
    "mysql": [mysql_greeting(), 36],
    "xmpp": [
        len(XMPP_OPENING),
        b"<?xml version='1.0'?><stream:stream from='localhost' id='1' version='1.0' " + STREAM
        + b"<stream:features><starttls xmlns='%b'/></stream:features>" % XMPP_TLS,
        len(b"<starttls xmlns='%b'/>" % XMPP_TLS),
        b"<proceed xmlns='%b'/>" % XMPP_TLS],
}


def line(receive):
    got = b""
    while not got.endswith(b"\n"):
        got += receive(1)
    return got


def starttls(name, send, receive):
    for turn in TURNS[name]:
        if isinstance(turn, bytes):
            send(turn)
        elif turn is LINE:
            line(receive)
        else:
            receive(turn)


def connect_proxy(send, receive):
    """CONNECT (RFC 9110), for whomever it is."""
    while line(receive) != b"\r\n":
        pass
    send(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")


def socks_proxy(send, receive):
    """SOCKS 5 (RFC 1928), with a user where one is offered (RFC 1929)."""
    assert receive(1) == b"\5"
    methods = receive(receive(1)[0])
    if 2 in methods:
        send(b"\5\2")
        assert receive(1) == b"\1"
        receive(receive(1)[0])
        receive(receive(1)[0])
        send(b"\1\0")
    else:
        send(b"\5\0")
    assert receive(3) == b"\5\1\0"
    kind = receive(1)[0]
    receive({1: 4, 4: 16}.get(kind) or receive(1)[0])
    receive(2)
    send(b"\5\0\0\1" + bytes(6))

"""Makes certificates that no tool of today makes: the DER is written here, byte by byte.

certificates.py make FILE EXPRESSION      writes the PEM of what the Python expression gives: the DER
                                          of a certificate, or a list of these
certificates.py random SEED COUNT FOLDER  writes FOLDER/random.pem, certificates of random fields, and
                                          FOLDER/random.json: what `openssl x509 -text` prints of
                                          each, in the form of `tcp.certificates`

The signatures are not signatures: nothing here is ever verified.
"""

import base64
import calendar
import datetime
import hashlib
import ipaddress
import json
import os
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

# DER ----------------------------------------------------------------------------------------------


def tlv(tag, *contents):
    body = b"".join(contents)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def sequence(*contents):
    return tlv(0x30, *contents)


def integer(value):
    size = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return tlv(2, value.to_bytes(size, "big", signed=True))


def oid(numbers):
    """Of numbers with dots, or of bytes."""
    if isinstance(numbers, bytes):
        return tlv(6, numbers)
    first, second, *rest = map(int, numbers.split("."))
    out = b""
    for number in [first * 40 + second] + rest:
        part = [number & 127]
        while number := number >> 7:
            part.append(number & 127 | 128)
        out += bytes(reversed(part))
    return tlv(6, out)


UTF8, PRINTABLE, T61, IA5, UNIVERSAL, BMP = 12, 19, 20, 22, 28, 30
ENCODINGS = {UTF8: "utf-8", PRINTABLE: "ascii", T61: "latin-1", IA5: "ascii", UNIVERSAL: "utf-32-be",
             BMP: "utf-16-be"}

ATTRIBUTES = {"CN": "2.5.4.3", "SN": "2.5.4.4", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8",
              "O": "2.5.4.10", "OU": "2.5.4.11", "emailAddress": "1.2.840.113549.1.9.1",
              "DC": "0.9.2342.19200300.100.1.25", "UID": "0.9.2342.19200300.100.1.1"}


def attribute(name, value, kind=UTF8):
    value = value if isinstance(value, bytes) else value.encode(ENCODINGS[kind])
    return sequence(oid(ATTRIBUTES.get(name, name)), tlv(kind, value))


def name(*attributes):
    """A name of attributes; a list of some is one that has several at once."""
    sets = [each if isinstance(each, list) else [each] for each in attributes]
    return sequence(*[tlv(0x31, *sorted(each)) for each in sets])


def extension(numbers, value, critical=False):
    return sequence(oid(numbers), tlv(1, b"\xff") if critical else b"", tlv(4, value))


DNS, EMAIL, URI, IP = 0x82, 0x81, 0x86, 0x87


def alternative_names(*names):
    """Of pairs of a kind and bytes."""
    return extension("2.5.29.17", sequence(*[tlv(kind, value) for kind, value in names]))


def time(moment):
    """A time as RFC 5280 wants it, or the bytes as they are given."""
    if isinstance(moment, bytes):
        return moment
    text = "%04d%02d%02d%02d%02d%02dZ" % moment
    return tlv(23, text[2:].encode()) if 1950 <= moment[0] < 2050 else tlv(24, text.encode())


# An EC key on P-256: the generator itself.
P256 = sequence(
    sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")),
    tlv(3, b"\0\4" + bytes.fromhex(
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")))

SHA256_ECDSA = sequence(oid("1.2.840.10045.4.3.2"))


def certificate(version=3, serial=1, issuer=name(attribute("CN", "issuer")), begin=(2020, 1, 1, 0, 0, 0),
                end=(2049, 12, 31, 23, 59, 59), subject=name(attribute("CN", "localhost")), key=P256,
                extensions=(), signature=SHA256_ECDSA, behind=b""):
    parts = [
        tlv(0xa0, integer(version - 1)) if version != 1 else b"",
        serial if isinstance(serial, bytes) else integer(serial),
        signature, issuer, sequence(time(begin), time(end)), subject, key,
        tlv(0xa3, sequence(*extensions)) if extensions else b"",
    ]
    return sequence(sequence(*parts), signature, tlv(3, b"\0\x30\6\2\1\1\2\1\1"), behind)


def pem(der, label="CERTIFICATE"):
    text = base64.encodebytes(der).decode().replace("\n", "")
    lines = [text[i:i + 64] for i in range(0, len(text), 64)]
    return "-----BEGIN %s-----\n%s\n-----END %s-----\n" % (label, "\n".join(lines), label)


# Random ones --------------------------------------------------------------------------------------

KEYS = ["RSA -pkeyopt rsa_keygen_bits:2048", "RSA -pkeyopt rsa_keygen_bits:1024",
        "RSA-PSS -pkeyopt rsa_keygen_bits:2048", "EC -pkeyopt ec_paramgen_curve:P-256",
        "EC -pkeyopt ec_paramgen_curve:P-384", "EC -pkeyopt ec_paramgen_curve:P-521",
        "EC -pkeyopt ec_paramgen_curve:brainpoolP256r1",
        "EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit", "ED25519", "ED448"]

SIGNATURES = ["1.2.840.113549.1.1.5", "1.2.840.113549.1.1.11", "1.2.840.113549.1.1.13", "1.2.840.113549.1.1.10",
              "1.2.840.10045.4.3.2", "1.2.840.10045.4.3.4", "1.3.101.112", "1.3.101.113",
              "2.16.840.1.101.3.4.3.2", "1.2.3.4.5.6"]

USAGES = {"Digital Signature": "digitalSignature", "Non Repudiation": "nonRepudiation",
          "Key Encipherment": "keyEncipherment", "Data Encipherment": "dataEncipherment",
          "Key Agreement": "keyAgreement", "Certificate Sign": "keyCertSign", "CRL Sign": "cRLSign",
          "Encipher Only": "encipherOnly", "Decipher Only": "decipherOnly"}

PURPOSES = {"TLS Web Server Authentication": "serverAuth", "TLS Web Client Authentication": "clientAuth",
            "Code Signing": "codeSigning", "E-mail Protection": "emailProtection",
            "Time Stamping": "timeStamping", "OCSP Signing": "OCSPSigning",
            "Any Extended Key Usage": "anyExtendedKeyUsage"}

PURPOSE_NUMBERS = ["1.3.6.1.5.5.7.3.%d" % i for i in (1, 2, 3, 4, 8, 9)] + ["2.5.29.37.0", "1.2.3.4.5", "2.999.1"]


def public_key(words):
    key = subprocess.run("openssl genpkey -algorithm %s | openssl pkey -pubout -outform DER" % words, shell=True,
                         check=True, capture_output=True)
    return key.stdout


class Maker:
    def __init__(self, seed, keys):
        self.random = random.Random(seed)
        self.keys = keys

    def chance(self, one_in):
        return self.random.randrange(one_in) == 0

    def word(self, letters="abcdefghijklmnopqrstuvwxyz0123456789"):
        return "".join(self.random.choice(letters) for _ in range(self.random.randint(1, 12)))

    def attributes(self):
        """A name, and what `subject` has of it."""
        encoded, values = [], {}
        for _ in range(self.random.randrange(6)):
            key = self.random.choice(list(ATTRIBUTES) + ["1.2.3.4.%d" % self.random.randrange(3)])
            kind = self.random.choice(list(ENCODINGS))
            letters = "abz 019'()+,-./:=?"
            if kind == T61:
                letters += "é#<>;\"\\ß"
            elif kind != PRINTABLE:
                letters += "#<>;\"\\@*"
                if kind != IA5:
                    letters += "éßΔ東京€"
            value = self.word(letters)
            encoded.append(attribute(key, value, kind))
            # The order in which values stand is that of their encoding, in a set of several.
            values.setdefault(key, []).append(value)
        return name(*encoded), {key: ", ".join(all) for key, all in values.items()}

    def general_names(self):
        names = []
        for _ in range(self.random.randrange(8)):
            kind = self.random.choice([DNS, DNS, EMAIL, URI, IP, 0x88, 0xa4])
            if kind == IP:
                value = self.random.randbytes(self.random.choice([4, 16]))
            elif kind == 0x88:
                value = b"\x2a\3\4"
            elif kind == 0xa4:
                value = name(attribute("CN", "x"))
            else:
                value = self.word("abc.*-_@:/?#é" if self.chance(8) else "abc.*-_@/").encode()
            names.append((kind, value))
        return names

    def urls(self):
        return ["http://%s.example/%s" % (self.word(), self.word()) for _ in range(self.random.randint(1, 3))]

    def extensions(self):
        made = {}
        if not self.chance(3):
            names = self.general_names()
            if names:
                made["subjectAltName"] = alternative_names(*names)
        if not self.chance(3):
            bits = self.random.randrange(1, 512)
            body = (bits << 7).to_bytes(2, "big")
            made["keyUsage"] = extension("2.5.29.15", tlv(3, b"\7", body), self.chance(2))
        if not self.chance(3):
            purposes = self.random.sample(PURPOSE_NUMBERS, self.random.randint(1, 4))
            made["extendedKeyUsage"] = extension("2.5.29.37", sequence(*map(oid, purposes)))
        if not self.chance(3):
            body = [tlv(1, b"\xff")] if self.chance(2) else []
            if body and self.chance(2):
                body.append(integer(self.random.randrange(4)))
            made["basicConstraints"] = extension("2.5.29.19", sequence(*body), self.chance(2))
        if not self.chance(3):
            access = [sequence(oid("1.3.6.1.5.5.7.48.%d" % self.random.choice([1, 2, 3])), tlv(URI, url.encode()))
                      for url in self.urls()]
            made["access"] = extension("1.3.6.1.5.5.7.1.1", sequence(*access))
        if not self.chance(3):
            points = [sequence(tlv(0xa0, tlv(0xa0, tlv(URI, url.encode())))) for url in self.urls()]
            made["crls"] = extension("2.5.29.31", sequence(*points))
        if self.chance(3):
            made["other"] = extension("1.2.3.4.5.6.7", self.random.randbytes(20))
        return made

    def moment(self):
        year = self.random.choice([1950, 1969, 1970, 1999, 2000, 2024, 2038, 2049, 2050, 2100, 9999])
        return (year, self.random.randint(1, 12), self.random.randint(1, 28), self.random.randrange(24),
                self.random.randrange(60), self.random.randrange(60))

    def certificate(self):
        """The DER, and what is known of it without reading it."""
        subject, subject_values = self.attributes()
        issuer, issuer_values = self.attributes()
        extensions = self.extensions()
        broken, twice = None, None
        if extensions and self.chance(4):
            broken = self.random.choice(list(extensions))
            numbers = extensions[broken][2 if extensions[broken][1] < 128 else 3:]
            object_length = numbers[1] + 2
            extensions[broken] = sequence(numbers[:object_length], tlv(4, b"\x30\5\x82\6ab"))
        elif extensions and self.chance(8):
            twice = self.random.choice(list(extensions))
        listed = list(extensions.values()) + ([extensions[twice]] if twice else [])
        self.random.shuffle(listed)
        key = self.random.choice(self.keys)
        version = 3 if listed else self.random.choice([1, 2, 3])
        serial = self.random.choice([0, 1, -1, 127, 128, -128, -129, self.random.getrandbits(64),
                                     -self.random.getrandbits(64), self.random.getrandbits(159), 1 << 200])
        der = certificate(
            version=version, serial=serial, issuer=issuer, begin=self.moment(), end=self.moment(), subject=subject,
            key=key, extensions=listed, signature=sequence(oid(self.random.choice(SIGNATURES))))
        return der, {"subject": subject_values, "issuer": issuer_values, "key": key,
                     "unreadable": broken or twice, "version": version}


def seconds(text):
    return calendar.timegm(datetime.datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").timetuple())


def described(der, known):
    """What `openssl x509 -text` says of a certificate, in the form of `tcp.certificates`."""
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-text", "-nameopt", "RFC2253", "-serial"],
                          input=der, capture_output=True, check=True).stdout.decode()

    def found(pattern):
        match = re.search(pattern, text, re.M)
        return match[1] if match else None

    extensions = dict(re.findall(r"^ {12}(\S[^\n]*?): ?(?:critical)?\n((?:(?: {16}[^\n]*)?\n)*)", text, re.M))

    def words(title):
        return [word.strip() for word in extensions[title].strip().split(", ")] if title in extensions else None

    key = {"algorithm": found(r"Public Key Algorithm: (.*)"), "curve": found("ASN1 OID: (.*)"),
           "bits": int(found(r"Public-Key: \((\d+) bit\)") or {"ED25519": 256, "ED448": 456}[
               found(r"Public Key Algorithm: (.*)")])}
    facts = {
        "version": int(found(r"Version: (\d)")),
        "subject": known["subject"],
        "issuer": known["issuer"],
        "subject_text": found("Subject: ?(.*)"),
        "issuer_text": found("Issuer: ?(.*)"),
        "serial": found("^serial=(.*)"),
        "not_before": seconds(found("Not Before: (.*)")),
        "not_after": seconds(found("Not After : (.*)")),
        "signature_algorithm": found(r"Signature Algorithm: (\S*)"),
        "public_key": {name: value for name, value in key.items() if value is not None},
        "fingerprint_sha1": hashlib.sha1(der).hexdigest(),
        "fingerprint_sha256": hashlib.sha256(der).hexdigest(),
        "public_key_sha256": base64.b64encode(hashlib.sha256(known["key"]).digest()).decode(),
        "pem": pem(der),
    }
    unreadable = known["unreadable"]
    if unreadable != "subjectAltName":
        names = words("X509v3 Subject Alternative Name") or []
        for field, prefix in {"dns_names": "DNS:", "emails": "email:", "uris": "URI:"}.items():
            facts[field] = [name[len(prefix):] for name in names if name.startswith(prefix)]
        addresses = [name[11:] for name in names if name.startswith("IP Address:")]
        facts["ip_addresses"] = [address_text(address) for address in addresses]
    if unreadable != "keyUsage" and words("X509v3 Key Usage"):
        facts["key_usage"] = [USAGES[word] for word in words("X509v3 Key Usage")]
    if unreadable != "extendedKeyUsage" and words("X509v3 Extended Key Usage"):
        purposes = words("X509v3 Extended Key Usage")
        facts["extended_key_usage"] = [PURPOSES.get(purpose, purpose) for purpose in purposes]
    if unreadable != "basicConstraints" and known["version"] == 3:
        facts["is_ca"] = "CA:TRUE" in (words("X509v3 Basic Constraints") or [])
    if unreadable != "access":
        access = extensions.get("Authority Information Access", "")
        facts["ocsp_urls"] = re.findall("OCSP - URI:(.*)", access)
        facts["issuer_urls"] = re.findall("CA Issuers - URI:(.*)", access)
    if unreadable != "crls":
        facts["crl_urls"] = re.findall("URI:(.*)", extensions.get("X509v3 CRL Distribution Points", ""))
    return facts


def address_text(text):
    """The shortest form of an address, which OpenSSL does not use for IPv6."""
    if ":" not in text:
        return text
    address = ipaddress.IPv6Address(text)
    return "::ffff:%s" % address.ipv4_mapped if address.ipv4_mapped else str(address)


def make_random(seed, count, folder):
    os.makedirs(folder, exist_ok=True)
    with ThreadPoolExecutor(4) as pool:
        maker = Maker(int(seed), list(pool.map(public_key, KEYS)))
        made = [maker.certificate() for _ in range(int(count))]
        facts = list(pool.map(lambda each: described(*each), made))
    with open(os.path.join(folder, "random.pem"), "w") as file:
        file.write("".join(pem(der) for der, _ in made))
    with open(os.path.join(folder, "random.json"), "w") as file:
        json.dump(facts, file)


def make(path, expression):
    made = eval(expression)
    with open(path, "w") as file:
        for each in made if isinstance(made, list) else [made]:
            file.write(each if isinstance(each, str) else pem(each))


if __name__ == "__main__":
    {"make": make, "random": make_random}[sys.argv[1]](*sys.argv[2:])

---@meta tcp

-- What the module `tcp` has, for editors that use the Lua language server. Times are in seconds,
-- sizes in bytes. Failures are thrown as strings; the same functions of `tcp.safe` return nil,
-- message, code and, where there is more to know, details. The codes are those of `tcp.Code`.
--
-- types/tcp/safe.lua is made from this file by `make types`; scripts/types.lua says which words
-- of a comment count there.

---@alias tcp.Code
---| "timeout" # the call's own time ran out; the same call may be made again
---| "closed" # end of stream before what was asked for, reset, or closed by the script
---| "refused" # nobody listens there
---| "unreachable" # no way to the address
---| "dns" # the name does not resolve
---| "address" # a local address or port cannot be bound
---| "tls" # the handshake or a record failed, or a certificate or key cannot be used
---| "certificate" # verification failed
---| "proxy" # a proxy refused, or does not speak as one; or a PROXY header is none
---| "json" # not valid JSON, or a value that has no JSON form
---| "too_large" # over a limit
---| "unexpected" # the peer said something else than what was asked for
---| "busy" # another call is using the connection
---| "cancelled" # the task was ended by `tcp.run` or `tcp.map`; raised in `tcp.safe`, too
---| "io" # anything else

---@alias tcp.Version "1.0" | "1.1" | "1.2" | "1.3"

---The options of `connect`.
---@class tcp.Options
---@field timeout? number seconds for each call as a whole; `math.huge` is never; default 5
---@field connect_timeout? number seconds for connecting; default `timeout`
---@field family? "inet" | "inet6" addresses of this family only; default both
---local address, or address and port; default none
---@field bind? string | { [1]: string, [2]: integer }
---a URL, or "environment"; of connect and connect_tls; default none
---@field proxy? string | tcp.ProxyOptions
---@field nodelay? boolean TCP_NODELAY; default true
---@field keepalive? boolean | tcp.Keepalive default false
---hops that a packet may take, 1 to 255; over IPv6 the hop limit; default the system's
---@field ttl? integer
---@field tos? integer type of service, 0 to 255; over IPv6 the traffic class; default 0
---@field device? string the network interface that all packets take; Linux only; default any
---seconds without an acknowledgement until it is given up; Linux only; default the system's
---@field user_timeout? number
---@field send_buffer? integer bytes of the system's own buffer; default the system's
---@field receive_buffer? integer bytes of the system's own buffer; default the system's
---@field reset_on_close? boolean `close` and the collector reset the connection; default false
---@field max_packet? integer largest packet body, both ways; default 512000
---@field max_buffer? integer most that one read gathers, or that waits to be sent; default 256 MiB
---@field endian? "big" | "little" byte order of a packet's length; default "big"
---@field proxy_protocol? 1 | 2 | "local" | tcp.ProxyHeader begin with a PROXY header; default none
---@field framing? tcp.PacketFraming how packets are cut; default 4
---what JSON null becomes: `tcp.json.null`, or nothing in objects; default "null"
---@field null? "null" | "nil"
---what an integer becomes that this Lua cannot hold; default "float"
---@field bigint? "float" | "string" | "error"

---The ends that a PROXY header tells.
---@class tcp.ProxyHeader
---@field version 1 | 2
---@field source tcp.Address | { [1]: string, [2]: integer } the client
---@field destination tcp.Address | { [1]: string, [2]: integer } where it has connected to

---The option `proxy` as a table.
---@class tcp.ProxyOptions
---@field url string of http, https, socks5 or socks5h; or "environment"
---@field tls? tcp.TlsOnlyOptions for the way to an https proxy
---@field headers? table<string, string> further header fields of CONNECT

---The options of any connection.
---@class tcp.StreamOptions
---@field timeout? number seconds for each call as a whole; `math.huge` is never; default 5
---@field max_packet? integer largest packet body, both ways; default 512000
---@field max_buffer? integer most that one read gathers, or that waits to be sent; default 256 MiB
---@field send_buffer? integer bytes of the system's own buffer; default the system's
---@field receive_buffer? integer bytes of the system's own buffer; default the system's
---@field endian? "big" | "little" byte order of a packet's length; default "big"
---@field framing? tcp.PacketFraming how packets are cut; default 4
---what JSON null becomes: `tcp.json.null`, or nothing in objects; default "null"
---@field null? "null" | "nil"
---what an integer becomes that this Lua cannot hold; default "float"
---@field bigint? "float" | "string" | "error"

---The options of `connect_unix`.
---@class tcp.UnixOptions: tcp.StreamOptions
---@field proxy_protocol? 1 | 2 | "local" | tcp.ProxyHeader a PROXY header goes first; default none
---@field connect_timeout? number seconds for connecting; default `timeout`

---The options of `from_fd`.
---@class tcp.GivenOptions: tcp.StreamOptions
---@field nodelay? boolean TCP_NODELAY, not of a Unix socket; default true
---@field keepalive? boolean | tcp.Keepalive not of a Unix socket; default false
---@field ttl? integer not of a Unix socket; default as it is
---@field tos? integer not of a Unix socket; default as it is
---@field user_timeout? number not of a Unix socket, Linux only; default as it is
---@field reset_on_close? boolean not of a Unix socket; default false

---What `set_options` takes.
---@class tcp.LiveOptions
---@field timeout? number
---@field nodelay? boolean
---@field keepalive? boolean | tcp.Keepalive
---@field ttl? integer
---@field tos? integer
---@field user_timeout? number
---@field send_buffer? integer
---@field receive_buffer? integer
---@field reset_on_close? boolean
---@field max_packet? integer
---@field max_buffer? integer
---@field endian? "big" | "little"
---@field framing? tcp.PacketFraming
---@field null? "null" | "nil"
---@field bigint? "float" | "string" | "error"

---Bytes of length, or another way to cut packets.
---@alias tcp.PacketFraming 1 | 2 | 3 | 4 | 8 | "varint" | "netstring" | tcp.Delimited | tcp.Framing

---Packets that constant bytes end.
---@class tcp.Delimited
---@field delimiter string 1 to 16 bytes

---Packets with a length in their header.
---@class tcp.Framing
---@field length_size? 1 | 2 | 3 | 4 | 8 bytes of the length; default 4
---@field length_offset? integer bytes in front of it; default the size of `prefix`
---what the body has more than the length says, in bytes; default 0
---@field length_adjustment? integer
---@field prefix? string constant bytes at the front, 16 at most; default none

---The options of `read_match`.
---@class tcp.MatchOptions
---@field max? integer bytes that are looked at; default 65536
---@field reject? string a pattern that fails the call where it matches first; default none

---@class tcp.Keepalive
---@field idle? integer seconds before the first probe; default the system's
---@field interval? integer seconds between probes; default the system's
---@field count? integer probes without an answer before it is given up; default the system's

---A key that both sides know, as a client has it.
---@class tcp.Psk
---@field identity string 1 to 255 bytes
---@field key string 16 to 256 bytes, hexadecimal

---The options of TLS, for `start_tls` and for the `tls` of `listen`.
---@class tcp.TlsOnlyOptions
---Whether the chain and the host name or address are verified; default true.
---@field verify? boolean | "chain" | "optional"
---@field server_name? string | false the name sent (SNI) and verified; default the host
---@field ca_file? string a PEM file of certificates to trust; default the system's store
---@field ca_dir? string a folder of them, named by hash; default none
---@field ca? string the same as PEM text; default none
---a PEM file with our own certificate and the chain behind it; default none
---@field cert_file? string
---@field cert? string the same as PEM text; default none
---@field key_file? string a PEM file with its key; default the certificate's file
---@field key? string the same as PEM text; default none
---@field key_password? string what opens an encrypted key; default none
---default "1.2"; below it OpenSSL also wants ciphers = "DEFAULT:@SECLEVEL=0"
---@field min_version? tcp.Version
---@field max_version? tcp.Version default none
---@field ciphers? string for TLS 1.2 and below, in OpenSSL's notation; default OpenSSL's
---@field ciphersuites? string for TLS 1.3; default OpenSSL's
---@field groups? string of the key exchange, in OpenSSL's notation; default OpenSSL's
---@field signature_algorithms? string in the handshake, in OpenSSL's notation; default OpenSSL's
---how weak keys, signatures and ciphers may be; default OpenSSL's
---@field security_level? 0 | 1 | 2 | 3 | 4 | 5
---@field partial_chain? boolean any trusted certificate ends the path, root or not; default false
---@field crl_file? string a PEM file with lists of revoked certificates; default none
---@field crl? string the same as PEM text; default none
---@field ocsp? "report" ask the server for an OCSP response, for `info()`; default none
---| table<string, string> a key in place of certificates; a server's by identity; default none
---@field psk? tcp.Psk
---@field legacy_renegotiation? boolean connect also to servers without RFC 5746; default false
---@field alpn? string | string[] protocol names, preferred first (RFC 7301); default none
---@field session? string what `session()` of an earlier connection gave; default none
---SHA-256 of the peer's public key, base64 or hexadecimal; default none
---@field pin_sha256? string | string[]
---@field close_notify? "require" | "ignore" whether an end needs TLS's goodbye; default "require"
---@field keylog? boolean write the keys to the file that SSLKEYLOGFILE names; default false
---Of a server: certificates by the name that a client asks for; default none.
---@field names? table<string, tcp.NamedCertificate>

---A certificate for one name, or for those that "*." stands for.
---@class tcp.NamedCertificate
---@field cert_file? string a PEM file with the certificate and the chain behind it
---@field cert? string the same as PEM text
---@field key_file? string a PEM file with its key; default the certificate's file
---@field key? string the same as PEM text
---@field key_password? string what opens an encrypted key; default none

---The options of `start_tls`.
---@class tcp.StartTlsOptions: tcp.TlsOnlyOptions
---who this side is in the handshake; default "server" where it was accepted
---@field side? "client" | "server"

---@alias tcp.StartTlsProtocol
---| "smtp"
---| "lmtp"
---| "imap"
---| "pop3"
---| "ftp"
---| "sieve"
---| "ldap"
---| "postgres"
---| "mysql"
---| "xmpp"

---The options of `connect_tls`.
---@class tcp.TlsOptions: tcp.Options, tcp.TlsOnlyOptions
---@field starttls? tcp.StartTlsProtocol what is said before the handshake; default nothing
---@field server_hello? string the name that EHLO and LHLO give; default the local address
---@field handshake? "now" | "later" whether it is left to the first read or write; default "now"

---The options of `listen`. Those of `connect` (`bind` and `proxy` aside) are for what it accepts.
---`tls` takes no `server_name`, `session`, `ocsp` and `legacy_renegotiation`; without it there is
---no TLS.
---@class tcp.ListenOptions: tcp.Options
---@field backlog? integer connections that the system keeps until they are accepted; default 128
---@field reuse_addr? boolean default true
---@field reuse_port? boolean default false
---@field proxy_protocol? boolean each client begins with a PROXY header; default false
---accept TLS; with `ca_file`, `ca_dir` or `ca` clients must show a certificate
---@field tls? tcp.TlsOnlyOptions

---The options of `listen_unix`. `reuse_addr` and `reuse_port` change nothing there.
---@class tcp.UnixListenOptions: tcp.StreamOptions
---@field connect_timeout? number seconds for listening; default `timeout`
---@field proxy_protocol? boolean each client begins with a PROXY header; default false
---@field backlog? integer connections that the system keeps until they are accepted; default 128
---permission bits of the file in octal, such as "0600"; default the umask decides
---@field mode? string
---@field unlink? boolean replace a socket's file at which nobody listens; default false
---@field reuse_addr? boolean default true
---@field reuse_port? boolean default false
---accept TLS; with `ca_file`, `ca_dir` or `ca` clients must show a certificate
---@field tls? tcp.TlsOnlyOptions

---The options of `listener_from_fd`.
---@class tcp.GivenListenOptions: tcp.GivenOptions
---@field proxy_protocol? boolean each client begins with a PROXY header; default false
---accept TLS; with `ca_file`, `ca_dir` or `ca` clients must show a certificate
---@field tls? tcp.TlsOnlyOptions

---One end: `ip` and `port`, or of a Unix socket the others.
---@class tcp.Address
---@field ip? string
---@field port? integer
---@field path? string of a Unix socket that has a name; "@name" is abstract
---@field pid? integer the process at the other end of a Unix socket, where the system tells
---@field uid? integer its user
---@field gid? integer its group

---The proxy that a connection goes through.
---@class tcp.Proxy
---@field host string
---@field port integer
---@field kind "http" | "https" | "socks5" | "socks5h"

---Seconds that each phase of connecting took.
---@class tcp.Timings in seconds
---@field dns number 0 where the host is an address
---@field connect number
---@field proxy? number the dialogue with a proxy, TLS to it included
---@field starttls? number what was said before the handshake
---@field tls? number
---@field total number the sum of them
---@field first_byte? number from the last write to the first byte behind it, once that was read

---@class tcp.Certificate
---@field version? integer 1 to 3
---@field subject table<string, string> attributes by short name: CN, O ...
---@field issuer table<string, string>
---@field subject_text? string as RFC 4514 writes it
---@field issuer_text? string
---@field serial? string hexadecimal
---@field not_before? integer seconds since 1970, UTC
---@field not_after? integer seconds since 1970, UTC
---@field dns_names? string[] nil if the certificate's names cannot be read; so are the three below
---@field ip_addresses? string[]
---@field emails? string[]
---@field uris? string[]
---@field signature_algorithm? string by OpenSSL's name
---@field public_key tcp.PublicKey
---@field key_usage? string[] by the names of RFC 5280; nil if the certificate does not say
---@field extended_key_usage? string[] the same
---@field is_ca? boolean
---@field ocsp_urls? string[]
---@field issuer_urls? string[]
---@field crl_urls? string[]
---@field fingerprint_sha1? string hexadecimal
---@field fingerprint_sha256? string hexadecimal
---@field public_key_sha256? string base64; what `pin_sha256` takes
---@field pem? string

---What a stapled OCSP response says.
---@class tcp.Ocsp
---@field status "good" | "revoked" | "unknown" | "stale" | "invalid"
---@field this_update? integer seconds since 1970
---@field next_update? integer
---@field revoked_at? integer
---@field error? string why it is stale or invalid

---@class tcp.PublicKey
---@field algorithm? string by OpenSSL's name
---@field bits? integer
---@field curve? string if it is on one that has a name

---Before a handshake that `handshake = "later"` has left, `server_name` alone.
---@class tcp.TlsInfo
---@field version? string nil in the details of a handshake that did not get so far
---@field cipher? string
---@field group? string in which the keys were exchanged
---@field signature_algorithm? string the peer's, in the handshake
---@field alpn? string
---@field resumed boolean
---@field server_name? string
---@field verified boolean
---@field verify_error? string what verification says, also where it was not asked
---@field ocsp? tcp.Ocsp where the option `ocsp` asked for it, and it has come
---@field psk_identity? string whose key both sides have used
---@field verify_code? integer OpenSSL's number for it, 0 if nothing is wrong
---@field verify_depth? integer the certificate that is wrong, 0 for the peer's own
---@field certificate? tcp.Certificate the peer's
---@field chain tcp.Certificate[] as the peer has sent it, leaf first
---@field verified_chain? tcp.Certificate[] the path that verification has built
---The earliest `not_after` on that path, or of `chain` if nothing has verified.
---@field expires? integer
---@field client_certificate_requested boolean
---@field acceptable_issuers? string[] of a client's certificate, if that is requested

---What became of an address that a connect has tried.
---@class tcp.Attempt
---@field ip string
---@field code tcp.Code
---@field seconds number

---What a failure tells in `tcp.safe` besides message and code, where there is more to know. For the
---codes "certificate" and "tls" its details, `tcp.Details`, also have what `tcp.TlsInfo` has, as far
---as the handshake got.
---@class tcp.Failure
---@field phase? "dns" | "connect" | "proxy" | "starttls" | "tls" how far a connect came
---@field attempts? tcp.Attempt[] of `connect` and `connect_tls`
---@field side? "read" | "write" of `copy_to`: the connection that has failed
---@field bytes? integer of `copy_to`: how many were handed on
---@field alert? string the name of the alert that ended the connection
---@field alert_number? integer
---@field from? "peer" | "here" who has sent it

---@class tcp.StartTlsInfo
---@field protocol tcp.StartTlsProtocol
---@field greeting string as it came; "" where the protocol has none
---@field capabilities string as they came; "" where there are none

---What the kernel knows of a connection; what it does not tell is absent.
---@class tcp.TcpInfo
---@field state? string as RFC 9293 names it, in lower case: "established", "close_wait" ...
---@field rtt? number seconds
---@field rtt_variance? number seconds
---@field min_rtt? number seconds
---@field retransmits? integer segments that were sent again, in all
---@field lost? integer segments that are held for lost now
---@field congestion_window? integer segments
---@field mss? integer bytes
---@field path_mtu? integer bytes
---@field delivery_rate? integer bytes a second

---@class tcp.Info
---@field host? string nil of a Unix socket, and before a PROXY header has told it
---@field peer tcp.Address nil before a PROXY header has told it
---@field via? tcp.Address who has connected, where a PROXY header tells the peer
---@field sock tcp.Address this side
---@field proxy? tcp.Proxy
---@field timings tcp.Timings
---@field bytes_read integer payload; over TLS what is inside it
---@field bytes_written integer
---@field starttls? tcp.StartTlsInfo what the server has said before TLS
---@field tls? tcp.TlsInfo
---@field tcp? tcp.TcpInfo on Linux, until the connection is closed

---A connection. A read that fails consumes nothing; a write that times out keeps what is left in
---order.
---@class tcp.Connection
local Connection = {}

---Everything until the end of the stream; more than `max` bytes is `too_large`.
---@param max? integer
---@return string
function Connection:read_str(max) end

---Exactly `n` bytes.
---@param n integer | number
---@return string
function Connection:read(n) end

---What `read` would give, which stays; without `n` what is there, at least one byte, "" at the end
---of the stream.
---@param n? integer
---@return string
function Connection:peek(n) end

---Throws `n` bytes away without gathering them.
---@param n integer
function Connection:skip(n) end

---A line without its `\n` or `\r\n`, or with it; a last line without one counts.
---@param max? integer
---@param keep? "keep"
---@return string
function Connection:read_line(max, keep) end

---Waits until the Lua pattern matches, gives its captures (the match, if it has none), and consumes
---all up to its end.
---@param pattern string without `%b`, `%f` and `%1`
---@param options? tcp.MatchOptions
---@return string | integer ...
function Connection:read_match(pattern, options) end

---The bytes before the delimiter, which is consumed.
---@param delimiter string not empty
---@param max? integer does not count the delimiter
---@return string
function Connection:read_until(delimiter, max) end

---1 to `max` bytes (default 8192) as soon as there are any; "" at the end of the stream.
---@param max? integer
---@return string
function Connection:recv(max) end

---One JSON value, as soon as it is complete.
---@return any
function Connection:read_json() end

---The JSON value in a packet: four bytes of length, then that much JSON, or as
---`framing` says. With JSON Pointers it gives what
---`json.get` gives of it.
---@param pointer? string | string[]
---@return any
---@return string? header where the framing has one
function Connection:read_json_packet(pointer) end

---A packet's body.
---@return string
---@return string? header where the framing has one
function Connection:read_packet() end

---Throws the next packet away, whatever its size; gives its length.
---@return integer
function Connection:skip_packet() end

---An iterator over `read_line` that ends with the stream. Throws in `tcp.safe`, too.
---@param max? integer
---@param keep? "keep"
---@return fun(): string?
function Connection:lines(max, keep) end

---An iterator over `read_packet`. Throws in `tcp.safe`, too.
---@return fun(): string?, string?
function Connection:packets() end

---An iterator over `read_json_packet`. Throws in `tcp.safe`, too.
---@return fun(): any, string?
function Connection:json_packets() end

---An iterator over `read_json`. Throws in `tcp.safe`, too.
---@return fun(): any
function Connection:json_values() end

---An LTN12 source. Fails only when closed.
---@param blocksize? integer
---@return fun(): string?, string?
function Connection:source(blocksize) end

---Sends strings and numbers, in order.
---@param ... string | number
function Connection:send(...) end

---The same as `send`.
---@param ... string | number
function Connection:write_str(...) end

---Sends the JSON text of a value and a newline.
---@param value any
function Connection:write_json(value) end

---Sends a packet of JSON; over `max_packet` it is `too_large` and nothing is sent.
---@param value any
---@param header? string where the framing has one
function Connection:write_json_packet(value, header) end

---Sends a packet of bytes.
---@param bytes string
---@param header? string where the framing has one
function Connection:write_packet(bytes, header) end

---Sends what an earlier timeout left.
function Connection:flush() end

---An LTN12 sink. Fails only when closed.
---@return fun(chunk?: string): integer?, string?
function Connection:sink() end

---Closes at once, any number of times; over TLS close_notify is offered once. Never fails.
function Connection:close() end

---Sends what is queued and ends writing; reading goes on.
function Connection:shutdown() end

---Never fails.
---@return boolean
function Connection:is_open() end

---@param seconds number for each later call
function Connection:set_timeout(seconds) end

---@param on boolean
function Connection:set_nodelay(on) end

---@param on boolean | tcp.Keepalive
function Connection:set_keepalive(on) end

---Sets what a live connection can change; all are checked before the first is set.
---@param options tcp.LiveOptions
function Connection:set_options(options) end

---False once the peer's end or a failure has come. Looks without waiting, and consumes nothing.
---@return boolean
function Connection:is_alive() end

---Bytes that wait to be sent. Fails only when closed.
---@return integer
function Connection:queued() end

---Hands on what comes to another connection, until the end of the stream: how many bytes.
---@param other tcp.Connection
---@param max? integer most bytes; default no limit
---@return integer
function Connection:copy_to(other, max) end

---Bytes that can be read without waiting. Fails only when closed.
---@return integer
function Connection:pending() end

---Never fails.
---@return tcp.Info
function Connection:info() end

---Begins TLS on this connection; this handle is closed, what it gives goes on.
---@param options? tcp.StartTlsOptions
---@return tcp.TlsConnection
function Connection:start_tls(options) end

---Fails only when closed.
---@return integer
function Connection:fd() end

---The descriptor, for LuaSocket's `select`. Fails only when closed.
---@return integer
function Connection:getfd() end

---Finishes what an accepted connection begins with: a PROXY header, a TLS handshake; or the
---handshake that was left for later.
function Connection:handshake() end

---Whether there is something to read that a wait for the descriptor would not see, for LuaSocket's
---`select`.
---Fails only when closed.
---@return boolean
function Connection:dirty() end

---The descriptor, for cqueues. Fails only when closed.
---@return integer
function Connection:pollfd() end

---What to wait for, for cqueues. Fails only when closed.
---@return string
function Connection:events() end

---Seconds until a wait should end by itself, for cqueues. Fails only when closed.
---@return number?
function Connection:timeout() end

---@class tcp.TlsConnectionInfo: tcp.Info
---@field tls tcp.TlsInfo

---@class tcp.TlsConnection: tcp.Connection
---@field info fun(self: tcp.TlsConnection): tcp.TlsConnectionInfo
local TlsConnection = {}

---What resumes this session later, an opaque secret, to be kept as a private key is; nil until the
---server has sent it.
---Fails only when closed.
---@return string?
function TlsConnection:session() end

---Bytes that both ends of this connection know, for SCRAM-PLUS (RFC 9266, RFC 5929).
---@param kind "tls-exporter" | "tls-server-end-point"
---@return string
function TlsConnection:channel_binding(kind) end

---@class tcp.Listener
local Listener = {}

---The next client.
---@param timeout? number default for ever; 0 does not wait
---@return tcp.Connection | tcp.TlsConnection
function Listener:accept(timeout) end

---An iterator over the clients that ends when the listener is closed. Throws in `tcp.safe`, too.
---@return fun(): tcp.Connection | tcp.TlsConnection | nil
function Listener:connections() end

---Reads the files of the option `tls` again, for the connections that come. A failure changes
---nothing.
function Listener:reload_tls() end

---Nil of a Unix socket.
---Fails only when closed.
---@return integer
function Listener:port() end

---Fails only when closed.
---@return { host: string, sock: tcp.Address }
function Listener:info() end

---Never fails.
---@return boolean
function Listener:is_open() end

---Never fails.
function Listener:close() end

---Fails only when closed.
---@return integer
function Listener:fd() end

---The descriptor, for LuaSocket's `select`. Fails only when closed.
---@return integer
function Listener:getfd() end

---Fails only when closed.
---@return boolean
function Listener:dirty() end

---The descriptor, for cqueues. Fails only when closed.
---@return integer
function Listener:pollfd() end

---Fails only when closed.
---@return string
function Listener:events() end

---Fails only when closed.
---@return nil
function Listener:timeout() end

---The options of `json.decode`.
---@class tcp.JsonOptions
---what JSON null becomes: `tcp.json.null`, or nothing in objects; default "null"
---@field null? "null" | "nil"
---what an integer becomes that this Lua cannot hold; default "float"
---@field bigint? "float" | "string" | "error"

---The options of `json.encode`.
---@class tcp.JsonLayout
---@field indent? integer spaces for each level, 1 to 16, each member on a line of its own
---@field sort_keys? boolean members in the order of their names' bytes
---@field ascii? boolean escapes for what is not ASCII

---@class tcp.json
---@field null lightuserdata JSON null; equal to lua-cjson's
local json = {}

---@param value any
---@param options? tcp.JsonLayout
---@return string
function json.encode(value, options) end

---@param text string
---@param options? tcp.JsonOptions
---@return any
function json.decode(text, options) end

---The value that a JSON Pointer (RFC 6901) leads to, nil where there is none; with a list of
---pointers a table of such values. What is passed on the way must be JSON; what stands behind the
---last value is not looked at.
---@param text string
---@param pointer string | string[]
---@return any
function json.get(text, pointer) end

---Marks a table as an array, also if it is empty, and gives it back. A table with another metatable
---is a bad argument.
---Never fails.
---@generic T: table
---@param table T
---@return T
function json.array(table) end

---@class tcp
---@field _NAME string
---@field _VERSION string
---@field json tcp.json
local tcp = {}

---@param host string a name, an IPv4 or an IPv6 address
---@param port integer | number 1 to 65535
---@param options? number | tcp.Options a timeout in seconds, or options
---@return tcp.Connection
function tcp.connect(host, port, options) end

---@param host string
---@param port integer | number 1 to 65535
---@param options? number | tcp.TlsOptions a timeout in seconds, or options
---@return tcp.TlsConnection
function tcp.connect_tls(host, port, options) end

---@param path string of the socket; "@name" is a name in Linux's abstract namespace
---@param options? number | tcp.UnixOptions a timeout in seconds, or options
---@return tcp.Connection
function tcp.connect_unix(path, options) end

---A connected stream socket that somebody else has opened. It is the connection's own from then on.
---@param fd integer
---@param options? number | tcp.GivenOptions a timeout in seconds, or options
---@return tcp.Connection
function tcp.from_fd(fd, options) end

---The addresses of a name, in the order in which the system prefers them.
---@param host string
---@param timeout? number default 5
---@return string[]
function tcp.resolve(host, timeout) end

---The certificates of a PEM text, or of a file. One that cannot be read is `{ error = "..." }` at
---its place.
---@param pem string | { file: string, timeout?: number }
---@return (tcp.Certificate | { error: string })[]
function tcp.certificates(pem) end

---@param host string
---@param port integer | number 0 takes any
---@param options? tcp.ListenOptions
---@return tcp.Listener
function tcp.listen(host, port, options) end

---@param path string of the socket; "@name" is a name in Linux's abstract namespace
---@param options? tcp.UnixListenOptions
---@return tcp.Listener
function tcp.listen_unix(path, options) end

---A listening stream socket that somebody else has opened. It is the listener's own from then on.
---@param fd integer
---@param options? tcp.GivenListenOptions
---@return tcp.Listener
function tcp.listener_from_fd(fd, options) end

---Which of these are ready. Two empty lists when the time is up.
---@param readers (tcp.Connection | tcp.Listener | integer)[]
---@param writers? (tcp.Connection | tcp.Listener | integer)[]
---@param timeout? number default for ever; 0 looks only
---@return (tcp.Connection | tcp.Listener | integer)[] readable
---@return (tcp.Connection | tcp.Listener | integer)[] writable
function tcp.poll(readers, writers, timeout) end

---A loop that the module does not know.
---@class tcp.Loop
---yields until it is ready, or the time is up
---@field wait fun(fd: integer, mode: "r" | "w", timeout?: number): boolean?
---@field close? fun(fd: integer) told before a descriptor is closed
---@field sleep? fun(seconds: number) waits for so long, for ever with `math.huge`

---From now on, what would wait inside a coroutine of this loop yields to it. nil goes back to
---blocking.
---Never fails.
---@param loop "cqueues" | "copas" | "luv" | tcp.Loop | nil
function tcp.use(loop) end

---What `use` was last given; nil where calls block. Never fails.
---@return "cqueues" | "copas" | "luv" | tcp.Loop | function | nil
function tcp.using() end

---Seconds on the clock of all timeouts; monotonic, with an origin of its own. Never fails.
---@return number
function tcp.now() end

---Waits for so long. In tasks, and in coroutines of the loop in use, the others run meanwhile.
---Throws in `tcp.safe`, too.
---@param seconds number 0 or more; `math.huge` is for ever
function tcp.sleep(seconds) end

---Calls a function in a task. Gives what it gave when it and all that it spawned have ended; raises
---the first error, as it was, and ends the other tasks then.
---Throws in `tcp.safe`, too.
---@generic T
---@param fn fun(...): T
---@param ... any
---@return T
function tcp.run(fn, ...) end

---Calls a function in another task of the innermost `run`, or item of `map`, that the calling task
---is in.
---Throws in `tcp.safe`, too.
---@param fn fun(...)
---@param ... any
function tcp.spawn(fn, ...) end

---The options of `map`.
---@class tcp.MapOptions
---@field concurrency? integer | number so many items at once, at most; default 100
---@field timeout? number seconds for the whole; default none

---Calls a function for each item, each in a task of its own. `errors[i]` is what it raised, or the
---second value that it gave where the first is nil.
---Throws in `tcp.safe`, too.
---@generic T, R
---@param list T[]
---@param fn fun(item: T, index: integer): any, any
---@param options? tcp.MapOptions
---@return table<integer, any> results
---@return table<integer, any> errors
function tcp.map(list, fn, options) end

---Traces what connections do: `true` on stderr, a function with each line, `false` or nil no
---longer. "payload", as the first or second argument, also shows what is read and written. The
---environment variable TCP_DEBUG does the same.
---Never fails.
---@param to boolean | "payload" | fun(line: string) | nil
---@param detail? "payload"
function tcp.debug(to, detail) end

---Sends on the connection that `connect` opened last.
---@param data string | number
function tcp.send(data) end

---Up to 8192 bytes from the connection that `connect` opened last; "" at the end of the stream.
---@return string
function tcp.recv() end

---Puts `connect`, `connect_tls`, `send` and `recv` into a table and returns `tcp`. Never fails.
---@param env? table default `_G`
---@return tcp
function tcp.export(env) end

return tcp

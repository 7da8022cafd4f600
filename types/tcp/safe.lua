---@meta tcp.safe

-- Made by `make types` from types/tcp.lua: change that one.
--
-- `tcp.safe` for editors: what `tcp` has, with failures returned as nil, message, code and, where
-- there is more to know, details. The methods of its connections do so, too; what returns nothing
-- on success returns true.

---@class tcp.Details: tcp.Failure
---@field version? string nil in the details of a handshake that did not get so far
---@field cipher? string
---@field group? string in which the keys were exchanged
---@field signature_algorithm? string the peer's, in the handshake
---@field alpn? string
---@field resumed? boolean
---@field server_name? string
---@field verified? boolean
---@field verify_error? string what verification says, also where it was not asked
---@field ocsp? tcp.Ocsp where the option `ocsp` asked for it, and it has come
---@field psk_identity? string whose key both sides have used
---@field verify_code? integer OpenSSL's number for it, 0 if nothing is wrong
---@field verify_depth? integer the certificate that is wrong, 0 for the peer's own
---@field certificate? tcp.Certificate the peer's
---@field chain? tcp.Certificate[] as the peer has sent it, leaf first
---@field verified_chain? tcp.Certificate[] the path that verification has built
---@field expires? integer
---@field client_certificate_requested? boolean
---@field acceptable_issuers? string[] of a client's certificate, if that is requested

---A connection. A read that fails consumes nothing; a write that times out keeps what is left in
---order.
---@class tcp.safe.Connection
local Connection = {}

---Everything until the end of the stream; more than `max` bytes is `too_large`.
---@param max? integer
---@return string?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:read_str(max) end

---Exactly `n` bytes.
---@param n integer | number
---@return string?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:read(n) end

---What `read` would give, which stays; without `n` what is there, at least one byte, "" at the end
---of the stream.
---@param n? integer
---@return string?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:peek(n) end

---Throws `n` bytes away without gathering them.
---@param n integer
---@return true?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:skip(n) end

---A line without its `\n` or `\r\n`, or with it; a last line without one counts.
---@param max? integer
---@param keep? "keep"
---@return string?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:read_line(max, keep) end

---Waits until the Lua pattern matches, gives its captures (the match, if it has none), and consumes
---all up to its end.
---@param pattern string without `%b`, `%f` and `%1`
---@param options? tcp.MatchOptions
---@return string | integer | nil ...
function Connection:read_match(pattern, options) end

---The bytes before the delimiter, which is consumed.
---@param delimiter string not empty
---@param max? integer does not count the delimiter
---@return string?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:read_until(delimiter, max) end

---1 to `max` bytes (default 8192) as soon as there are any; "" at the end of the stream.
---@param max? integer
---@return string?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:recv(max) end

---One JSON value, as soon as it is complete.
---@return any
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:read_json() end

---The JSON value in a packet: four bytes of length, then that much JSON, or as
---`framing` says. With JSON Pointers it gives what
---`json.get` gives of it.
---@param pointer? string | string[]
---@return any
---@return string? header_or_message where the framing has one
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:read_json_packet(pointer) end

---A packet's body.
---@return string?
---@return string? header_or_message where the framing has one
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:read_packet() end

---Throws the next packet away, whatever its size; gives its length.
---@return integer?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
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
---@return true?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:send(...) end

---The same as `send`.
---@param ... string | number
---@return true?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:write_str(...) end

---Sends the JSON text of a value and a newline.
---@param value any
---@return true?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:write_json(value) end

---Sends a packet of JSON; over `max_packet` it is `too_large` and nothing is sent.
---@param value any
---@param header? string where the framing has one
---@return true?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:write_json_packet(value, header) end

---Sends a packet of bytes.
---@param bytes string
---@param header? string where the framing has one
---@return true?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:write_packet(bytes, header) end

---Sends what an earlier timeout left.
---@return true?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:flush() end

---An LTN12 sink. Fails only when closed.
---@return fun(chunk?: string): integer?, string?
function Connection:sink() end

---Closes at once, any number of times; over TLS close_notify is offered once. Never fails.
---@return true
function Connection:close() end

---Sends what is queued and ends writing; reading goes on.
---@return true?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:shutdown() end

---Never fails.
---@return boolean
function Connection:is_open() end

---@param seconds number for each later call
---@return true?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:set_timeout(seconds) end

---@param on boolean
---@return true?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:set_nodelay(on) end

---@param on boolean | tcp.Keepalive
---@return true?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:set_keepalive(on) end

---Sets what a live connection can change; all are checked before the first is set.
---@param options tcp.LiveOptions
---@return true?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:set_options(options) end

---False once the peer's end or a failure has come. Looks without waiting, and consumes nothing.
---@return boolean?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:is_alive() end

---Bytes that wait to be sent. Fails only when closed.
---@return integer
function Connection:queued() end

---Hands on what comes to another connection, until the end of the stream: how many bytes.
---@param other tcp.safe.Connection
---@param max? integer most bytes; default no limit
---@return integer?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:copy_to(other, max) end

---Bytes that can be read without waiting. Fails only when closed.
---@return integer
function Connection:pending() end

---Never fails.
---@return tcp.Info
function Connection:info() end

---Begins TLS on this connection; this handle is closed, what it gives goes on.
---@param options? tcp.StartTlsOptions
---@return tcp.safe.TlsConnection?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Connection:start_tls(options) end

---Fails only when closed.
---@return integer
function Connection:fd() end

---The descriptor, for LuaSocket's `select`. Fails only when closed.
---@return integer
function Connection:getfd() end

---Finishes what an accepted connection begins with: a PROXY header, a TLS handshake; or the
---handshake that was left for later.
---@return true?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
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

---@class tcp.safe.TlsConnection: tcp.safe.Connection
---@field info fun(self: tcp.safe.TlsConnection): tcp.TlsConnectionInfo
local TlsConnection = {}

---What resumes this session later, an opaque secret, to be kept as a private key is; nil until the
---server has sent it.
---Fails only when closed.
---@return string?
function TlsConnection:session() end

---Bytes that both ends of this connection know, for SCRAM-PLUS (RFC 9266, RFC 5929).
---@param kind "tls-exporter" | "tls-server-end-point"
---@return string?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function TlsConnection:channel_binding(kind) end

---@class tcp.safe.Listener
local Listener = {}

---The next client.
---@param timeout? number default for ever; 0 does not wait
---@return tcp.safe.Connection | tcp.safe.TlsConnection | nil
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function Listener:accept(timeout) end

---An iterator over the clients that ends when the listener is closed. Throws in `tcp.safe`, too.
---@return fun(): tcp.safe.Connection | tcp.safe.TlsConnection | nil
function Listener:connections() end

---Reads the files of the option `tls` again, for the connections that come. A failure changes
---nothing.
---@return true?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
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
---@return true
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

---@class tcp.safe.json
---@field null lightuserdata JSON null; equal to lua-cjson's
local json = {}

---@param value any
---@param options? tcp.JsonLayout
---@return string?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function json.encode(value, options) end

---@param text string
---@param options? tcp.JsonOptions
---@return any
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function json.decode(text, options) end

---The value that a JSON Pointer (RFC 6901) leads to, nil where there is none; with a list of
---pointers a table of such values. What is passed on the way must be JSON; what stands behind the
---last value is not looked at.
---@param text string
---@param pointer string | string[]
---@return any
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function json.get(text, pointer) end

---Marks a table as an array, also if it is empty, and gives it back. A table with another metatable
---is a bad argument.
---Never fails.
---@generic T: table
---@param table T
---@return T
function json.array(table) end

---@class tcp.safe
---@field _NAME string
---@field _VERSION string
---@field json tcp.safe.json
local tcp = {}

---@param host string a name, an IPv4 or an IPv6 address
---@param port integer | number 1 to 65535
---@param options? number | tcp.Options a timeout in seconds, or options
---@return tcp.safe.Connection?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function tcp.connect(host, port, options) end

---@param host string
---@param port integer | number 1 to 65535
---@param options? number | tcp.TlsOptions a timeout in seconds, or options
---@return tcp.safe.TlsConnection?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function tcp.connect_tls(host, port, options) end

---@param path string of the socket; "@name" is a name in Linux's abstract namespace
---@param options? number | tcp.UnixOptions a timeout in seconds, or options
---@return tcp.safe.Connection?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function tcp.connect_unix(path, options) end

---A connected stream socket that somebody else has opened. It is the connection's own from then on.
---@param fd integer
---@param options? number | tcp.GivenOptions a timeout in seconds, or options
---@return tcp.safe.Connection?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function tcp.from_fd(fd, options) end

---The addresses of a name, in the order in which the system prefers them.
---@param host string
---@param timeout? number default 5
---@return string[]?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function tcp.resolve(host, timeout) end

---The certificates of a PEM text, or of a file. One that cannot be read is `{ error = "..." }` at
---its place.
---@param pem string | { file: string, timeout?: number }
---@return (tcp.Certificate | { error: string })[] | nil
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function tcp.certificates(pem) end

---@param host string
---@param port integer | number 0 takes any
---@param options? tcp.ListenOptions
---@return tcp.safe.Listener?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function tcp.listen(host, port, options) end

---@param path string of the socket; "@name" is a name in Linux's abstract namespace
---@param options? tcp.UnixListenOptions
---@return tcp.safe.Listener?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function tcp.listen_unix(path, options) end

---A listening stream socket that somebody else has opened. It is the listener's own from then on.
---@param fd integer
---@param options? tcp.GivenListenOptions
---@return tcp.safe.Listener?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function tcp.listener_from_fd(fd, options) end

---Which of these are ready. Two empty lists when the time is up.
---@param readers (tcp.safe.Connection | tcp.safe.Listener | integer)[]
---@param writers? (tcp.safe.Connection | tcp.safe.Listener | integer)[]
---@param timeout? number default for ever; 0 looks only
---@return (tcp.safe.Connection | tcp.safe.Listener | integer)[] | nil readable
---@return (tcp.safe.Connection | tcp.safe.Listener | integer)[] | string | nil writable_or_message
---@return tcp.Code? code
---@return tcp.Details? details
function tcp.poll(readers, writers, timeout) end

---From now on, what would wait inside a coroutine of this loop yields to it. nil goes back to
---blocking.
---Never fails.
---@param loop "cqueues" | "copas" | "luv" | tcp.Loop | nil
---@return true
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
---@return true
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
---@return true
function tcp.spawn(fn, ...) end

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
---@return true
function tcp.debug(to, detail) end

---Sends on the connection that `connect` opened last.
---@param data string | number
---@return true?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function tcp.send(data) end

---Up to 8192 bytes from the connection that `connect` opened last; "" at the end of the stream.
---@return string?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function tcp.recv() end

---Puts `connect`, `connect_tls`, `send` and `recv` into a table and returns `tcp`. Never fails.
---@param env? table default `_G`
---@return tcp.safe
function tcp.export(env) end

return tcp

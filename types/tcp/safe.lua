---@meta tcp.safe

-- `tcp.safe` for editors: the functions of `tcp`, which return nil, message, code and, where there
-- is more to know, details in place of throwing. The methods of the connections that they give do
-- so, too; what returns nothing on success returns true.

---`tls` of `info()` for the codes "certificate" and "tls", with the alert; for "timeout" while
---connecting, the phase.
---@alias tcp.Alert { alert?: string, alert_number?: integer, from?: "peer" | "here" }
---@alias tcp.Details tcp.TlsInfo | tcp.Alert | { phase?: "dns" | "connect" | "proxy" | "starttls" | "tls" }

---@class tcp.safe: tcp
local safe = {}

---@param host string a name, an IPv4 or an IPv6 address
---@param port integer 1 to 65535
---@param options? number | tcp.Options a timeout in seconds, or options
---@return tcp.Connection?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function safe.connect(host, port, options) end

---@param host string
---@param port integer 1 to 65535
---@param options? number | tcp.TlsOptions a timeout in seconds, or options
---@return tcp.TlsConnection?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function safe.connect_tls(host, port, options) end

---@param path string of the socket; "@name" is a name in Linux's abstract namespace
---@param options? number | tcp.UnixOptions a timeout in seconds, or options
---@return tcp.Connection?
---@return string? message
---@return tcp.Code? code
---@return tcp.Details? details
function safe.connect_unix(path, options) end

---@param fd integer
---@param options? number | tcp.GivenOptions a timeout in seconds, or options
---@return tcp.Connection?
---@return string? message
---@return tcp.Code? code
function safe.from_fd(fd, options) end

---@param host string
---@param timeout? number default 5
---@return string[]?
---@return string? message
---@return tcp.Code? code
function safe.resolve(host, timeout) end

---@param pem string | { file: string, timeout?: number }
---@return (tcp.Certificate | { error: string })[]?
---@return string? message
---@return tcp.Code? code
function safe.certificates(pem) end

---@param host string
---@param port integer 0 takes any
---@param options? tcp.ListenOptions
---@return tcp.Listener?
---@return string? message
---@return tcp.Code? code
function safe.listen(host, port, options) end

---@param path string of the socket; "@name" is a name in Linux's abstract namespace
---@param options? tcp.UnixListenOptions
---@return tcp.Listener?
---@return string? message
---@return tcp.Code? code
function safe.listen_unix(path, options) end

---@param fd integer
---@param options? tcp.GivenListenOptions
---@return tcp.Listener?
---@return string? message
---@return tcp.Code? code
function safe.listener_from_fd(fd, options) end

return safe

---@meta tcp.luasocket

-- `tcp.luasocket` for editors: LuaSocket's `socket`, and under `ssl` LuaSec's. Their functions and methods are
-- those of LuaSocket 3.1 and LuaSec 1.3; here are the ones that scripts use most. What differs is in
-- docs/existing-clients.md.

---@class tcp.luasocket.Socket
local Socket = {}

---@param host string
---@param port integer | string a number, or the name of a service
---@return number? one
---@return string? message
function Socket:connect(host, port) end

---@param pattern? "*l" | "*a" | number a line, all, or so many bytes; default "*l"
---@param prefix? string
---@return string?
---@return string? message "timeout", "closed" ...
---@return string? partial
function Socket:receive(pattern, prefix) end

---@param data string
---@param from? integer
---@param to? integer
---@return number? last the index of the last byte that was sent
---@return string? message
---@return number? last_sent
function Socket:send(data, from, to) end

---@param seconds? number nil or under 0: never; 0: does not wait
---@param mode? "b" | "t"
---@return number one
function Socket:settimeout(seconds, mode) end

---@return number one
function Socket:close() end

---@class tcp.luasocket
---@field ssl table LuaSec's module
---@field verify_names boolean whether the name given to `sni` is verified; default true
local luasocket = {}

---From then on `require` gives this module for `socket`, `socket.core`, `ssl`, `ssl.core`, `ssl.context` and
---`ssl.x509`. Raises if one of them is loaded already.
---@return tcp.luasocket
function luasocket.install() end

---@return tcp.luasocket.Socket
function luasocket.tcp() end

---@param host string
---@param port integer | string
---@return tcp.luasocket.Socket?
---@return string? message
function luasocket.connect(host, port) end

---@param host string "*" is every address
---@param port integer | string
---@param backlog? integer
---@return tcp.luasocket.Socket?
---@return string? message
function luasocket.bind(host, port, backlog) end

---@param readers? table
---@param writers? table
---@param seconds? number
---@return table readable
---@return table writable
---@return string? message "timeout"
function luasocket.select(readers, writers, seconds) end

return luasocket

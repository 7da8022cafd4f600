-- A query to PostgreSQL, with the login that its servers want by default: SCRAM-SHA-256, bound to
-- the server's certificate where the server knows how. The hashes are luaossl's, base64 is
-- LuaSocket's. Exit status: 0, 1 for an error.
-- usage: PGPASSWORD=... lua examples/postgres.lua HOST PORT USER DATABASE QUERY

local tcp = require "tcp"
local digest, hmac, kdf = require "openssl.digest", require "openssl.hmac", require "openssl.kdf"
local rand, mime = require "openssl.rand", require "mime"

local host, port = assert(arg[1], "which host?"), assert(tonumber(arg[2]), "which port?")
local user, database, query = arg[3] or "postgres", arg[4] or "postgres", arg[5] or "select version()"
local password = os.getenv "PGPASSWORD" or ""

-- A message is a type, a length that counts itself, and a body; the first one has no type.
local conn = tcp.connect_tls(host, port, {
  timeout = 10, ca_file = os.getenv "PGSSLROOTCERT", starttls = "postgres", framing = { length_adjustment = -4 } })
conn:write_packet(("\0\3\0\0user\0%s\0database\0%s\0\0"):format(user, database))
conn:set_options { framing = { length_offset = 1, length_adjustment = -4 } }

local function hear()
  local body, kind = conn:read_packet()
  if kind == "E" then error(body:match "%zM([^%z]+)", 0) end
  return kind, body
end

local function say(text)
  conn:write_packet(text, "p")
  return select(2, hear())
end

local function mac(key, text) return hmac.new(key, "sha256"):final(text) end
local function xor(one, other)
  return (one:gsub("()(.)", function(at, char)
    local a, b, sum, bit = char:byte(), other:byte(at), 0, 1
    while bit < 256 do
      if (a % (2 * bit) < bit) ~= (b % (2 * bit) < bit) then sum = sum + bit end
      bit = 2 * bit
    end
    return string.char(sum)
  end))
end

-- RFC 5802 and RFC 7677: neither side tells the password, and the server shows that it knows it.
local function scram(mechanisms)
  local name, header, binding = "SCRAM-SHA-256", "y,,", ""
  if mechanisms:find("SCRAM-SHA-256-PLUS", 1, true) then
    name, header = "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,"
    binding = conn:channel_binding "tls-server-end-point"
  end
  local first = "n=,r=" .. mime.b64(rand.bytes(18))
  local challenge = say(name .. "\0\0\0\0" .. string.char(#header + #first) .. header .. first):sub(5)
  local nonce, salt, count = challenge:match "^r=([^,]*),s=([^,]*),i=(%d+)"
  assert(nonce and nonce:find(first:sub(6), 1, true) == 1, "this is no challenge of SCRAM")
  local salted = kdf.derive { type = "PBKDF2", md = "sha256", outlen = 32, pass = password,
    salt = mime.unb64(salt), iter = tonumber(count) }
  local final = ("c=%s,r=%s"):format(mime.b64(header .. binding), nonce)
  local all = table.concat({ first, challenge, final }, ",")
  local key = mac(salted, "Client Key")
  local proof = mime.b64(xor(key, mac(digest.new("sha256"):final(key), all)))
  local shown = say(final .. ",p=" .. proof):sub(5)
  assert(shown == "v=" .. mime.b64(mac(mac(salted, "Server Key"), all)), "the server does not know the password")
end

local _, body = hear()
local wanted = body:byte(4)
if wanted == 10 then
  scram(body)
elseif wanted == 3 then              -- the method `password`
  say(password .. "\0")
elseif wanted ~= 0 then              -- 0 is welcome
  error("the server wants authentication of type " .. wanted, 0)
end
while hear() ~= "Z" do end

conn:write_packet(query .. "\0", "Q")
repeat
  local kind, row = hear()
  if kind == "D" then print(row:sub(7)) end     -- the first column
until kind == "Z"
conn:close()

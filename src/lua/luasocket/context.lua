-- `ssl.newcontext`: the parameters of LuaSec, made into options of this module. They are tried at
-- once, so that a wrong file or cipher is told here, as LuaSec does.

local native = ...
local object = native.part "object"
local context = {}

local metatable = { __name = "SSL:Context" }
function metatable.__tostring(self)
  return "SSL context: " .. object.address(self)
end

-- The versions of each protocol: the lowest and the highest.
local protocols = {
  any = {}, sslv23 = {}, tls = {},
  tlsv1 = { "1.0", "1.0" }, tlsv1_1 = { "1.1", "1.1" },
  tlsv1_2 = { "1.2", "1.2" }, tlsv1_3 = { "1.3", "1.3" },
}

-- OpenSSL's options by LuaSec's names. Those of versions have an effect; what the others turn on is
-- so already, or not there to be turned on.
context.options = {}
for name in ([[all allow_client_renegotiation allow_no_dhe_kex allow_unsafe_legacy_renegotiation
  cipher_server_preference cisco_anyconnect cleanse_plaintext cookie_exchange cryptopro_tlsext_bug
  disable_tlsext_ca_names dont_insert_empty_fragments enable_ktls enable_middlebox_compat
  ephemeral_rsa ignore_unexpected_eof legacy_server_connect microsoft_big_sslv3_buffer
  microsoft_sess_id_bug msie_sslv2_rsa_padding netscape_ca_dn_bug netscape_challenge_bug
  netscape_demo_cipher_change_bug netscape_reuse_cipher_change_bug no_anti_replay no_compression
  no_dtls_mask no_dtlsv1 no_dtlsv1_2 no_encrypt_then_mac no_extended_master_secret no_query_mtu
  no_renegotiation no_session_resumption_on_renegotiation no_ssl_mask no_sslv2 no_sslv3 no_ticket
  no_tlsv1 no_tlsv1_1 no_tlsv1_2 no_tlsv1_3 pkcs1_check_1 pkcs1_check_2 prioritize_chacha
  safari_ecdhe_ecdsa_bug single_dh_use single_ecdh_use ssleay_080_client_dh_bug
  sslref2_reuse_cert_type_bug tls_block_padding_bug tls_d5_bug tls_rollback_bug
  tlsext_padding]]):gmatch "%S+" do
  context.options[name] = true
end

-- A parameter that is one value or a list.
local function each_of(value)
  if value == nil then
    return {}
  end
  return type(value) == "table" and value or { value }
end

local function set_versions(cfg, all)
  if type(cfg.protocol) ~= "string" then
    object.expected(1, "create", "string", cfg.protocol)
  end
  local versions = protocols[cfg.protocol]
  if not versions then
    return "invalid protocol (" .. cfg.protocol .. ")"
  end
  all.min_version, all.max_version = versions[1], versions[2]
  for _, name in ipairs(each_of(cfg.options)) do
    if not context.options[name] then
      return "invalid option (" .. tostring(name) .. ")"
    elseif name == "no_tlsv1_2" then
      all.min_version = all.min_version or "1.3"
    elseif name == "no_tlsv1_3" then
      all.max_version = all.max_version or "1.2"
    end
  end
end

local function set_mode(cfg, all)
  if type(cfg.mode) ~= "string" then
    object.expected(2, "setmode", "string", cfg.mode)
  elseif cfg.mode ~= "client" and cfg.mode ~= "server" then
    return "invalid mode (" .. cfg.mode .. ")"
  end
  all.side = cfg.mode
end

local function set_certificate(cfg, all)
  local its = cfg
  if cfg.certificates then
    its = cfg.certificates[1] or {}
    if cfg.certificates[2] then
      return "tcp.luasocket has one certificate for each context"
    end
  end
  local password = its.password
  if password ~= nil and its.key then
    if type(password) == "function" then
      password = password()
      if type(password) ~= "string" then
        return "invalid callback value"
      end
    elseif type(password) ~= "string" then
      return "invalid password type"
    end
    all.key_password = password
  end
  all.cert_file, all.key_file = its.certificate, its.key
  if all.key_file and not all.cert_file then
    return "tcp.luasocket wants a certificate with the key"
  end
end

-- What `verify` and `verifyext` ask for: whether the peer's chain is verified, and whether a client
-- must show one.
local function set_verify(cfg, all)
  local asked = {}
  for _, word in ipairs(each_of(cfg.verify)) do
    if word ~= "none" and word ~= "peer" and word ~= "client_once" and word ~= "fail_if_no_peer_cert" then
      return "invalid verify option (" .. tostring(word) .. ")"
    end
    asked[word] = true
  end
  local goes_on
  local flags = {}
  for _, word in ipairs(each_of(cfg.verifyext)) do
    flags[word] = true
  end
  goes_on = flags.lsec_continue
  for word in pairs(flags) do
    -- Where the handshake goes on whatever is found, a purpose stops nothing.
    if word ~= "lsec_continue" and not (goes_on and word == "lsec_ignore_purpose") then
      return "tcp.luasocket has no verification flag " .. tostring(word)
    end
  end
  all.verify = asked.peer and not goes_on or false
  if all.side == "server" then
    if not asked.peer then
      all.ca_file, all.ca_dir = nil, nil
    elseif all.verify and not asked.fail_if_no_peer_cert then
      all.verify = "optional"
    end
    if all.verify and not all.ca_file and not all.ca_dir then
      return "tcp.luasocket wants cafile or capath to verify clients by"
    end
  end
end

-- ALPN names, as one string or a list.
local function set_alpn(cfg, all)
  if type(cfg.alpn) == "function" then
    return "tcp.luasocket chooses ALPN names from a list, not by a function"
  elseif type(cfg.alpn) ~= "string" and type(cfg.alpn) ~= "table" then
    return "invalid ALPN parameter"
  end
  local names = each_of(cfg.alpn)
  for _, name in ipairs(names) do
    if name == "" then
      return "invalid ALPN name (empty string)"
    elseif #name > 255 then
      return "invalid ALPN name (length > 255)"
    end
  end
  if not names[1] then
    return "invalid ALPN list (empty)"
  end
  all.alpn = names
end

-- What this module leaves to OpenSSL, or does not have.
local function check_rest(cfg)
  for _, name in ipairs { "psk", "dane", "depth" } do
    if cfg[name] then
      return "tcp.luasocket has no parameter " .. name
    end
  end
  if cfg.dhparam and type(cfg.dhparam) ~= "function" then
    return "invalid DH parameter type"
  end
end

-- The words of LuaSec for what was wrong with a file or a list.
local function word(message, cfg)
  -- A parameter that none of this module's options takes.
  local option = message:match "^bad argument #1 to 'check_tls' %(option (.*)%)$"
  local detail = option or message:match ": %l+: (.*)$" or message
  if detail:find "^'?groups'?:" then
    return cfg.curveslist and ('unknown elliptic curve in "%s"'):format(tostring(cfg.curveslist))
      or ("elliptic curve '%s' not supported"):format(tostring(cfg.curve))
  elseif detail:find "^cannot read cert" then
    return "error loading certificate (" .. (detail:match ": (.*)$" or detail) .. ")"
  elseif detail:find "^cannot read key" then
    return "error loading private key (" .. (detail:match ": (.*)$" or detail) .. ")"
  elseif detail:find "^cannot read ca" then
    return "error loading CA locations (" .. (detail:match ": (.*)$" or detail) .. ")"
  elseif detail:find "cipher" then
    return "error setting cipher list (" .. detail .. ")"
  elseif detail:find "does not match the certificate" then
    return "private key does not match public key"
  end
  return detail
end

-- Whether this module can be told the curves.
local has_groups
local function groups(cfg)
  local its = cfg.curveslist or cfg.curve
  if its and has_groups == nil then
    has_groups = native.face.check_tls(nil, { side = "client", groups = "P-256" })
  end
  return has_groups and its or nil
end

function context.new(cfg)
  if type(cfg) ~= "table" then
    object.expected(1, "newcontext", "table", cfg)
  end
  local all = { close_notify = "ignore", ca_file = cfg.cafile, ca_dir = cfg.capath,
    ciphers = cfg.ciphers, ciphersuites = cfg.ciphersuites, groups = groups(cfg) }
  local why = set_versions(cfg, all) or set_mode(cfg, all) or set_certificate(cfg, all)
    or set_verify(cfg, all) or cfg.alpn and set_alpn(cfg, all) or check_rest(cfg)
  if why then
    return nil, why
  end
  -- A server's certificate may be missing until it makes a handshake.
  if all.side == "client" or all.cert_file then
    local ok, how, message = native.face.check_tls(nil, all)
    if not ok and how ~= "return" and not message:find "^bad argument" then
      error(message, 0)
    elseif not ok then
      return nil, word(message, cfg)
    end
  end
  local goes_on = cfg.verifyext ~= nil
  return setmetatable({ settings = all, mode = cfg.mode, goes_on = goes_on }, metatable)
end

function context.is(value)
  return getmetatable(value) == metatable
end

return context

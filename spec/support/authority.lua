-- What a certificate authority of the specs does besides issuing: lists of revoked certificates and
-- OCSP responses. The openssl command makes them, with dates and contents as the spec wants them.
-- The files live in a folder until `finish`.

local helper = require "spec.support.helper"

local authority = {}

local folder

local function run(command, ...)
  local said = helper.output(("(%s) 2>&1; echo $?"):format(command:format(...)))
  assert(said:match "(%d+)\n$" == "0", said)
  return said
end

authority.run = run

-- Returns the path of a new file, or of one of this name.
local count = 0
function authority.path(name)
  if not folder then
    folder = helper.output("mktemp -d"):gsub("\n", "")
  end
  count = count + 1
  return ("%s/%s"):format(folder, name or "file" .. count)
end

function authority.write(text, name)
  local path = authority.path(name)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

-- Removes all files.
function authority.finish()
  if folder then helper.output("rm -rf " .. folder) end
  folder = nil
end

-- The files of a certificate and its key: of one of the specs by its name, or of a file with both.
local function certificate_of(name)
  return name:find "/" and name or helper.pem(name)
end

local function key_of(name)
  return name:find "/" and name or helper.pem(name, "key")
end

local function serial(name)
  return run("openssl x509 -in %s -noout -serial", certificate_of(name)):match "serial=(%x+)"
end

-- The database of `openssl ca` and `openssl ocsp`: these certificates, each with its state.
local function database(known)
  local lines = {}
  for name, state in pairs(known) do
    lines[#lines + 1] = ("%s\t491231235959Z\t%s\t%s\tunknown\t/CN=%s"):format(
      state == "revoked" and "R" or "V", state == "revoked" and "240102030405Z" or "", serial(name), name)
  end
  return authority.write(table.concat(lines, "\n") .. (lines[1] and "\n" or ""))
end

-- Returns PEM text: the list of this issuer (a certificate of the specs, or a file), with what it
-- has revoked. Options: `from` and `to`, the list's dates; `extensions`, lines of OpenSSL's
-- configuration in place of the key's identifier.
function authority.list(issuer, revoked, options)
  options = options or {}
  local known = {}
  for _, name in ipairs(revoked or {}) do known[name] = "revoked" end
  local index = database(known)
  local config = authority.write(([[
[ca]
default_ca = specs
[specs]
database = %s
default_md = sha256
crlnumber = %s
crl_extensions = extensions
[extensions]
%s
]]):format(index, authority.write "01\n", options.extensions or "authorityKeyIdentifier = keyid"))
  local path = authority.path()
  run("openssl ca -gencrl -config %s -cert %s -keyfile %s -crl_lastupdate %s -crl_nextupdate %s -out %s",
    config, certificate_of(issuer), key_of(issuer), options.from or "20200101000000Z",
    options.to or "20491231235959Z", path)
  return helper.contents(path)
end

-- Returns a file: the OCSP response of this issuer for a certificate. Options: `known`, the state
-- of each certificate; `signer`, a certificate of the specs or a file, with its key; `more`,
-- further options of `openssl ocsp`; `before`, shell text before the command.
function authority.response(issuer, certificate, options)
  local signer = options.signer or issuer
  local path = authority.path()
  run("%s openssl ocsp -index %s -CA %s -rsigner %s -rkey %s -issuer %s -cert %s -respout %s -noverify %s",
    options.before or "", database(options.known or {}), certificate_of(issuer), certificate_of(signer), key_of(signer),
    certificate_of(issuer), certificate_of(certificate), path,
    options.more or "-ndays 7")
  return path
end

-- Returns a file: a certificate with its key that this issuer has signed. `extensions` are lines of
-- OpenSSL's configuration; `dates`, from and to.
function authority.issue(issuer, subject, extensions, dates)
  local key, request = authority.path(), authority.path()
  run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s -subj '%s' -out %s", key, subject,
    request)
  local from, to = (dates or "20200101000000Z 20491231235959Z"):match "(%S+) (%S+)"
  local config = authority.write(([[
[ca]
default_ca = specs
[specs]
database = %s
new_certs_dir = %s
default_md = sha256
policy = any
rand_serial = yes
unique_subject = no
[any]
commonName = supplied
[extensions]
%s
]]):format(authority.write "", folder, extensions))
  local path, by = authority.path(), "-selfsign -keyfile " .. key
  if issuer ~= "self" then by = ("-cert %s -keyfile %s"):format(certificate_of(issuer), key_of(issuer)) end
  run("openssl ca -config %s -batch -notext %s -startdate %s -enddate %s -extensions extensions -in %s -out %s",
    config, by, from, to, request, path)
  return authority.write(helper.contents(path) .. helper.contents(key))
end

return authority

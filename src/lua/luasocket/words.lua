-- The words that LuaSocket and LuaSec have for failures, from this module's messages and codes.

local words = {}

-- What getaddrinfo says, in LuaSocket's words.
local resolver = {
  ["no address of the family asked for"] = "Address family for hostname not supported",
  ["name or service not known"] = "host or service not provided, or not known",
  ["no address associated with hostname"] = "host or service not provided, or not known",
  ["nodename nor servname provided, or not known"] = "host or service not provided, or not known",
  ["temporary failure in name resolution"] = "temporary failure in name resolution",
}

-- What LuaSocket does not leave to the system.
local own = {
  ["address in use"] = "address already in use",
  ["address already in use"] = "address already in use",
  ["connection refused"] = "connection refused",
  ["connection timed out"] = "timeout",
  ["permission denied"] = "permission denied",
}

-- The detail of a message: what stands behind its code, without what was tried.
local function detail(message, code)
  local text = message:match(": " .. code .. ": (.*)$") or message
  return (text:gsub(" %(tried .-%)$", ""))
end
words.detail = detail

-- The system's words begin with a capital letter there.
local function system(text)
  -- Several addresses failed, each in its way: the last one counts.
  text = text:match "^.*, [%x%.:]+: (.*)$" or text:match "^[%x%.:]+: (.*)$" or text
  text = text:match "^cannot bind [^ ]+: (.*)$" or text
  return own[text] or (text:gsub("^%l", string.upper))
end

-- The word for a failure of this code and message.
function words.of(message, code)
  if code == "timeout" or code == "closed" then
    return code
  elseif code == "refused" then
    return "connection refused"
  elseif not message then
    return "unknown error"
  elseif code == nil and message:find "^bad argument #1 to" then
    -- Neither a name nor an address in its usual form.
    return "host or service not provided, or not known"
  elseif code == "dns" then
    local text = detail(message, code)
    if text:find "^not a name" then
      text = "name or service not known"
    end
    return resolver[text] or text
  elseif code == "address" or code == "unreachable" or code == "io" then
    return system(detail(message, code))
  elseif code == "certificate" then
    return "certificate verify failed"
  end
  return code and detail(message, code) or message
end

return words

-- The ciphers that both ends of a peer with records by hand must agree on, as records.py has them.

local helper = require "spec.support.helper"

local source = helper.contents "spec/support/records.py"

return {
  CIPHER = assert(source:match '\nCIPHER = "([^"]+)"'),
  SUITE = assert(source:match '\nSUITE = "([^"]+)"'),
}

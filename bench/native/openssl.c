/* A Lua module that does nothing, but is linked with OpenSSL: what loading that costs. */

int luaopen_openssl_only(void *state) {
  (void)state;
  return 0;
}

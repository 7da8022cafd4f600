/* getsockopt for the specs, on any Lua: its headers are not needed. */
#include <sys/socket.h>

void lua_pushnumber(void *state, double number);
/* Lua 5.1 and LuaJIT have the one, later Luas the other. */
__attribute__((weak)) double lua_tonumber(void *state, int index);
__attribute__((weak)) double lua_tonumberx(void *state, int index, int *is_number);

static int whole(void *state, int index) {
  return lua_tonumberx ? lua_tonumberx(state, index, 0) : lua_tonumber(state, index);
}

/* sockopt(fd, level, name) -> the option's value; of SO_LINGER the seconds, -1 where it is off */
int spec_sockopt(void *state) {
  int level = whole(state, 2), name = whole(state, 3), value[2] = {-1, -1};
  socklen_t size = sizeof value;
  int result = getsockopt(whole(state, 1), level, name, value, &size);
  if (level == SOL_SOCKET && name == SO_LINGER) value[0] = value[0] ? value[1] : -1;
  lua_pushnumber(state, result == 0 ? value[0] : -2);
  return 1;
}

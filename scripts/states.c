/* A Lua module for spec/build_spec.lua: it creates further Lua states in the process. It declares
 * Lua's functions itself, so that no headers need be installed. The interpreter has them, as for
 * any module. Built with -DLUA=501 .. 505. */
#include <stddef.h>

typedef struct lua_State lua_State;
typedef int (*lua_CFunction)(lua_State *);

extern lua_State *luaL_newstate(void);
extern void lua_close(lua_State *);
extern int luaL_loadstring(lua_State *, const char *);
extern const char *luaL_checklstring(lua_State *, int, size_t *);
extern const char *lua_tolstring(lua_State *, int, size_t *);
extern void *lua_touserdata(lua_State *, int);
extern void lua_pushlightuserdata(lua_State *, void *);
extern void lua_pushboolean(lua_State *, int);
extern void lua_pushcclosure(lua_State *, lua_CFunction, int);
extern void lua_createtable(lua_State *, int, int);
extern void lua_setfield(lua_State *, int, const char *);
extern void lua_settop(lua_State *, int);
#if LUA >= 505
extern void luaL_openselectedlibs(lua_State *, int, int);
#define luaL_openlibs(L) luaL_openselectedlibs(L, ~0, 0)
#else
extern void luaL_openlibs(lua_State *);
#endif
#if LUA >= 503
extern const char *lua_pushstring(lua_State *, const char *);
extern int lua_pcallk(lua_State *, int, int, int, ptrdiff_t, void *);
#define lua_pcall(L, n, r, h) lua_pcallk(L, n, r, h, 0, NULL)
#elif LUA == 502
extern const char *lua_pushstring(lua_State *, const char *);
extern int lua_pcallk(lua_State *, int, int, int, int, void *);
#define lua_pcall(L, n, r, h) lua_pcallk(L, n, r, h, 0, NULL)
#else
extern void lua_pushstring(lua_State *, const char *);
extern int lua_pcall(lua_State *, int, int, int);
#endif

/* open() -> a new state, with the standard libraries */
static int open(lua_State *L) {
  lua_State *other = luaL_newstate();
  luaL_openlibs(other);
  lua_pushlightuserdata(L, other);
  return 1;
}

/* run(state, chunk) -> whether it went well, what it returned or raised (a string) */
static int run(lua_State *L) {
  lua_State *other = lua_touserdata(L, 1);
  int failed = luaL_loadstring(other, luaL_checklstring(L, 2, NULL)) || lua_pcall(other, 0, 1, 0);
  const char *text = lua_tolstring(other, -1, NULL);
  lua_pushboolean(L, !failed);
  lua_pushstring(L, text ? text : "");
  lua_settop(other, 0);
  return 2;
}

/* close(state) */
static int close(lua_State *L) {
  lua_close(lua_touserdata(L, 1));
  return 0;
}

int luaopen_states(lua_State *L) {
  lua_createtable(L, 0, 3);
  lua_pushcclosure(L, open, 0);
  lua_setfield(L, -2, "open");
  lua_pushcclosure(L, run, 0);
  lua_setfield(L, -2, "run");
  lua_pushcclosure(L, close, 0);
  lua_setfield(L, -2, "close");
  return 1;
}

/* host SCRIPT ARGS...: runs a Lua script with an allocator that can be told to fail.
 *
 * The script gets the table `oom`:
 *   oom.call(n, keeps, f)  calls f while the nth allocation fails (and, if `keeps`, all that follow);
 *                          gives whether one did, then what pcall gives
 *   oom.lua()              bytes that Lua has allocated
 *   oom.native()           bytes that everything else in the process has, by malloc's own count
 * It exits with 1 if the script fails, or if Lua's memory is not all given back by lua_close. */

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

struct heap {
  size_t used;
  long until_failure; /* 0: none is to come */
  int keeps, failed;
};

static struct heap heap;

static int fails(void) {
  if (heap.until_failure == 0) return 0;
  if (heap.until_failure > 1) {
    heap.until_failure--;
    return 0;
  }
  if (!heap.keeps) heap.until_failure = 0;
  return heap.failed = 1;
}

static void *allocate(void *ud, void *block, size_t old, size_t new) {
  (void)ud;
  if (block == NULL) old = 0; /* it is a type then */
  if (new == 0) {
    free(block);
    heap.used -= old;
    return NULL;
  }
  if (new > old && fails()) return NULL;
  void *result = realloc(block, new);
  if (result != NULL) heap.used += new - old;
  return result;
}

static int call(lua_State *L) {
  long n = (long)luaL_checknumber(L, 1);
  int keeps = lua_toboolean(L, 2);
  lua_settop(L, 3);
  luaL_checkstack(L, 40, "results");
  lua_gc(L, LUA_GCCOLLECT, 0);
  heap.keeps = keeps;
  heap.failed = 0;
  heap.until_failure = n;
  int ok = lua_pcall(L, 0, 2, 0) == 0;
  heap.until_failure = 0;
  lua_settop(L, ok ? 4 : 3);
  lua_pushboolean(L, heap.failed);
  lua_pushboolean(L, ok);
  lua_pushvalue(L, 3);
  return 3;
}

static int lua_bytes(lua_State *L) {
  lua_pushnumber(L, (lua_Number)heap.used);
  return 1;
}

static int native_bytes(lua_State *L) {
  struct mallinfo2 info = mallinfo2();
  lua_pushnumber(L, (lua_Number)(info.uordblks + info.hblkhd) - (lua_Number)heap.used);
  return 1;
}

static int run(lua_State *L) {
  char **argv = lua_touserdata(L, 1);
  luaL_openlibs(L);
  lua_newtable(L);
  lua_pushcfunction(L, call);
  lua_setfield(L, -2, "call");
  lua_pushcfunction(L, lua_bytes);
  lua_setfield(L, -2, "lua");
  lua_pushcfunction(L, native_bytes);
  lua_setfield(L, -2, "native");
  lua_setglobal(L, "oom");
  if (luaL_loadfile(L, argv[1]) != 0) return lua_error(L);
  int n = 0;
  for (char **argument = argv + 2; *argument != NULL; argument++, n++) lua_pushstring(L, *argument);
  lua_call(L, n, 0);
  return 0;
}

static int open_and_run(char **argv) {
#if LUA_VERSION_NUM >= 505
  lua_State *L = lua_newstate(allocate, NULL, 0);
#else
  lua_State *L = lua_newstate(allocate, NULL);
#endif
  if (L == NULL) {
    fprintf(stderr, "this Lua takes no allocator\n");
    return 1;
  }
  lua_pushcfunction(L, run);
  lua_pushlightuserdata(L, argv);
  int status = lua_pcall(L, 1, 0, 0);
  if (status != 0) fprintf(stderr, "%s\n", lua_tostring(L, -1));
  lua_close(L);
  if (heap.used != 0) fprintf(stderr, "%zu bytes are left after lua_close\n", heap.used);
  return status != 0 || heap.used != 0;
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  return open_and_run(argv);
}

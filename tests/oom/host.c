/* host SCRIPT ARGS...: runs a Lua script with an allocator that can be told to fail.
 *
 * The script gets the table `oom`:
 *   oom.call(n, keeps, f)  calls f while the nth allocation fails (and, if `keeps`, all that
 *                          follow); gives whether one did, then what pcall gives
 *   oom.lua()              bytes that Lua has allocated
 *   oom.native()           blocks that all else in the process has from malloc
 * It exits with 1 if the script fails, or if Lua's memory is not all given back by lua_close. */

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

/* glibc's own, under the names that stay when malloc is replaced. */
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static long blocks; /* that the process has from malloc; one thread allocates */

static void *counted(void *block) {
  if (block != NULL) blocks++;
  return block;
}

void *malloc(size_t size) { return counted(__libc_malloc(size)); }
void *calloc(size_t n, size_t size) { return counted(__libc_calloc(n, size)); }
void *memalign(size_t align, size_t size) { return counted(__libc_memalign(align, size)); }
void *aligned_alloc(size_t align, size_t size) { return counted(__libc_memalign(align, size)); }

int posix_memalign(void **block, size_t align, size_t size) {
  *block = counted(__libc_memalign(align, size));
  return *block == NULL ? ENOMEM : 0;
}

void free(void *block) {
  if (block != NULL) blocks--;
  __libc_free(block);
}

void *realloc(void *block, size_t size) {
  void *result = __libc_realloc(block, size);
  if (block == NULL && result != NULL) blocks++;
  if (block != NULL && size == 0) blocks--;
  return result;
}

struct heap {
  size_t used;
  long blocks;
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
    if (block != NULL) heap.blocks--;
    free(block);
    heap.used -= old;
    return NULL;
  }
  if (new > old && fails()) return NULL;
  void *result = realloc(block, new);
  if (result != NULL && block == NULL) heap.blocks++;
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

static int native_blocks(lua_State *L) {
  lua_pushnumber(L, (lua_Number)(blocks - heap.blocks));
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
  lua_pushcfunction(L, native_blocks);
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

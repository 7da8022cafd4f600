/* host SCRIPT ARGS...: runs a Lua script, and makes chosen allocations fail: Lua's own, and those
 * with malloc in the rest of the process (the module, OpenSSL, the C library).
 *
 * The script gets the table `oom`:
 *   oom.call(n, keeps, f)  calls f while the nth allocation fails (and, if `keeps`, all that
 *                          follow); returns whether one did, and the results of pcall
 *   oom.lua()              the bytes that Lua has allocated
 *   oom.native()           the blocks that the rest of the process has from malloc
 * It exits with 1 if the script fails, or if lua_close does not free all of Lua's memory. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <link.h>
#include <malloc.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>

/* glibc's own functions, under names that remain when malloc is replaced. */
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

/* Resolver threads allocate as well. */
static long blocks;         /* that the process has from malloc, Lua's apart */
static int armed, keeps;
static long until_failure;
static int failed;

/* The C library aborts the process if a thread has no memory for the module's thread-locals, or to
 * register their destructors. No other code can handle that, so the allocations of the loader and
 * of this function never fail. */
static uintptr_t loader, loader_end, registers;

static int find_loader(struct dl_phdr_info *info, size_t size, void *data) {
  (void)size, (void)data;
  if (info->dlpi_addr != getauxval(AT_BASE)) return 0;
  loader = loader_end = info->dlpi_addr;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    uintptr_t end = loader + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
    if (info->dlpi_phdr[i].p_type == PT_LOAD && end > loader_end) loader_end = end;
  }
  return 1;
}

/* Whether this allocation, by this caller, must fail. */
static int fails(void *by) {
  if (!__atomic_load_n(&armed, __ATOMIC_SEQ_CST)) return 0;
  uintptr_t caller = (uintptr_t)by;
  if ((caller >= loader && caller < loader_end) || caller - registers < 512) return 0;
  long left = __atomic_sub_fetch(&until_failure, 1, __ATOMIC_SEQ_CST);
  if (left > 0 || (left < 0 && !keeps)) return 0;
  __atomic_store_n(&failed, 1, __ATOMIC_SEQ_CST);
  errno = ENOMEM;
  return 1;
}

#define CALLER __builtin_return_address(0)

static void *counted(void *block) {
  if (block != NULL) __atomic_add_fetch(&blocks, 1, __ATOMIC_SEQ_CST);
  return block;
}

void *malloc(size_t size) { return fails(CALLER) ? NULL : counted(__libc_malloc(size)); }
void *calloc(size_t n, size_t size) { return fails(CALLER) ? NULL : counted(__libc_calloc(n, size)); }
void *memalign(size_t align, size_t size) { return fails(CALLER) ? NULL : counted(__libc_memalign(align, size)); }
void *aligned_alloc(size_t align, size_t size) { return memalign(align, size); }

int posix_memalign(void **block, size_t align, size_t size) {
  void *result = memalign(align, size);
  if (result == NULL) return ENOMEM;
  *block = result;
  return 0;
}

void free(void *block) {
  if (block != NULL) __atomic_sub_fetch(&blocks, 1, __ATOMIC_SEQ_CST);
  __libc_free(block);
}

/* A block can always shrink. */
void *realloc(void *block, size_t size) {
  if (block == NULL) return fails(CALLER) ? NULL : counted(__libc_malloc(size));
  if (size == 0) {
    free(block);
    return NULL;
  }
  if (size > malloc_usable_size(block) && fails(CALLER)) return NULL;
  return __libc_realloc(block, size);
}

static size_t used; /* bytes of Lua's */

static void *allocate(void *ud, void *block, size_t old, size_t new) {
  (void)ud;
  if (block == NULL) old = 0; /* it is a type then */
  if (new == 0) {
    __libc_free(block);
    used -= old;
    return NULL;
  }
  if (new > old && fails(NULL)) return NULL;
  void *result = __libc_realloc(block, new);
  if (result != NULL) used += new - old;
  return result;
}

static int call(lua_State *L) {
  long n = (long)luaL_checknumber(L, 1);
  keeps = lua_toboolean(L, 2);
  lua_settop(L, 3);
  luaL_checkstack(L, 40, "results");
  lua_gc(L, LUA_GCCOLLECT, 0);
  failed = 0;
  until_failure = n;
  __atomic_store_n(&armed, 1, __ATOMIC_SEQ_CST);
  int ok = lua_pcall(L, 0, 2, 0) == 0;
  __atomic_store_n(&armed, 0, __ATOMIC_SEQ_CST);
  lua_settop(L, ok ? 4 : 3);
  lua_pushboolean(L, failed);
  lua_pushboolean(L, ok);
  lua_pushvalue(L, 3);
  return 3;
}

static int lua_bytes(lua_State *L) {
  lua_pushnumber(L, (lua_Number)used);
  return 1;
}

static int native_blocks(lua_State *L) {
  lua_pushnumber(L, (lua_Number)blocks);
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
  if (used != 0) fprintf(stderr, "%zu bytes are left after lua_close\n", used);
  return status != 0 || used != 0;
}

int main(int argc, char **argv) {
  registers = (uintptr_t)dlsym(RTLD_DEFAULT, "__cxa_thread_atexit_impl");
  if (argc < 2 || registers == 0 || !dl_iterate_phdr(find_loader, NULL)) return 2;
  return open_and_run(argv);
}

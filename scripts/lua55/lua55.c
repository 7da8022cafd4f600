/* A Lua 5.5 interpreter for the tests, where no package has one: `lua5.5 [-e chunk]... [script
 * [args]]`. To a script it behaves like the stand-alone interpreter: it sets `arg`, prints
 * tracebacks to standard error, has the same exit codes, and SIGINT sets a hook ("interrupted!").
 * Without a script it runs standard input, unless there was an -e. It ignores LUA_INIT and has no
 * other options. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"

static lua_State *globalL; /* the handler's: a signal carries no state */

static void stop(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  luaL_error(L, "interrupted!");
}

static void on_interrupt(int sig) {
  signal(sig, SIG_DFL); /* a second one ends the process */
  lua_sethook(globalL, stop, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

static int traceback(lua_State *L) {
  const char *message = lua_tostring(L, 1);
  if (message == NULL) {
    if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) return 1;
    message = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  }
  luaL_traceback(L, L, message, 1);
  return 1;
}

/* Calls the function below its `nargs` arguments; prints what it raises. */
static int call(lua_State *L, const char *name, int nargs) {
  int base = lua_gettop(L) - nargs, status;
  lua_pushcfunction(L, traceback);
  lua_insert(L, base);
  globalL = L;
  signal(SIGINT, on_interrupt);
  status = lua_pcall(L, nargs, 0, base);
  signal(SIGINT, SIG_DFL);
  if (status != LUA_OK) fprintf(stderr, "%s: %s\n", name, lua_tostring(L, -1));
  lua_settop(L, base - 1);
  return status;
}

static int run(lua_State *L, const char *name, int status, int nargs) {
  if (status == LUA_OK) {
    lua_insert(L, -1 - nargs); /* the chunk was loaded above its arguments */
    return call(L, name, nargs);
  }
  fprintf(stderr, "%s: %s\n", name, lua_tostring(L, -1));
  return status;
}

int main(int argc, char **argv) {
  int i, script = 1, status = LUA_OK, had_e = 0;
  lua_State *L = luaL_newstate();
  if (L == NULL) return EXIT_FAILURE;
  luaL_openlibs(L);
  lua_gc(L, LUA_GCGEN);

  while (script + 1 < argc && strcmp(argv[script], "-e") == 0) script += 2;
  lua_createtable(L, argc, script + 1);
  for (i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i - script);
  }
  lua_setglobal(L, "arg");

  for (i = 1; i < script && status == LUA_OK; i += 2) {
    had_e = 1;
    status = run(L, argv[0], luaL_loadbuffer(L, argv[i + 1], strlen(argv[i + 1]), "=(command line)"), 0);
  }
  if (status == LUA_OK && script < argc) {
    for (i = script + 1; i < argc; i++) lua_pushstring(L, argv[i]);
    i = argc - script - 1;
    luaL_checkstack(L, i + 2, "too many arguments");
    status = run(L, argv[0], luaL_loadfile(L, strcmp(argv[script], "-") == 0 ? NULL : argv[script]), i);
  } else if (status == LUA_OK && !had_e) {
    status = run(L, argv[0], luaL_loadfile(L, NULL), 0);
  }
  lua_close(L);
  return status == LUA_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

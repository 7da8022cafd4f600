/* fork and waitpid for the specs, on any Lua: its headers are not needed. */
#include <sys/wait.h>
#include <unistd.h>

void lua_pushnumber(void *state, double number);

/* fork() -> the child's process id, 0 in the child */
int spec_fork(void *state) {
  lua_pushnumber(state, fork());
  return 1;
}

/* wait() -> the status of a child that has ended */
int spec_wait(void *state) {
  int status = -1;
  wait(&status);
  lua_pushnumber(state, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  return 1;
}

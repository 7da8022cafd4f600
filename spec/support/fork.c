/* fork, waitpid and the like for the specs, on any Lua: its headers are not needed. */
#define _DEFAULT_SOURCE
#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

void lua_pushnumber(void *state, double number);

/* fork() -> the child's process id, 0 in the child */
int spec_fork(void *state) {
  lua_pushnumber(state, fork());
  return 1;
}

/* chdir(): the working directory is the root from then on */
int spec_chdir(void *state) {
  lua_pushnumber(state, chdir("/"));
  return 1;
}

/* become_nobody(): this process is the user 65534's from then on, who may do little */
int spec_become_nobody(void *state) {
  lua_pushnumber(state, setgroups(0, 0) || setgid(65534) || setuid(65534));
  return 1;
}

/* wait() -> the status of a child that has ended */
int spec_wait(void *state) {
  int status = -1;
  wait(&status);
  lua_pushnumber(state, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  return 1;
}

/* fork: loaded with LD_PRELOAD, it gives scripts what Lua has not, through os.getenv, which every Lua has:
 *   fork:           "0" in the new child, and its process id in the parent
 *   fork:wait PID   waits for the end of that child: the status it ended with, -1 for another end */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What this process starts is none of ours. */
__attribute__((constructor)) static void begin(void) { unsetenv("LD_PRELOAD"); }

char *getenv(const char *name) {
  static char answer[16];
  int status = 0;
  if (strcmp(name, "fork:") == 0) {
    snprintf(answer, sizeof answer, "%d", (int)fork());
  } else if (strncmp(name, "fork:wait ", 10) == 0) {
    waitpid(atoi(name + 10), &status, 0);
    snprintf(answer, sizeof answer, "%d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  } else {
    char *(*next)(const char *) = (char *(*)(const char *))dlsym(RTLD_NEXT, "getenv");
    return next(name);
  }
  return answer;
}

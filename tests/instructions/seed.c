/* Lua makes the seed of its string hash of the time of day, LuaJIT of random bytes. Both are the
 * same in each run. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <time.h>

time_t time(time_t *where) {
  if (where) *where = 1767225600;
  return 1767225600;
}

/* LuaJIT has no other way to its random bytes. All other system calls are made. */
long syscall(long number, ...) {
  long arguments[6];
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; i++) arguments[i] = va_arg(list, long);
  va_end(list);
  if (number == SYS_getrandom) {
    static unsigned state = 1;
    unsigned char *bytes = (unsigned char *)arguments[0];
    for (long i = 0; i < arguments[1]; i++) bytes[i] = (state = state * 1103515245 + 12345) >> 16;
    return arguments[1];
  }
  static long (*next)(long, ...);
  if (!next) next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  return next(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}

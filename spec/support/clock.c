/* Gives a program the time that the variable SPEC_TIME says, in seconds since 1970. */
#include <stdlib.h>
#include <time.h>

time_t time(time_t *into) {
  const char *given = getenv("SPEC_TIME");
  time_t now = given ? (time_t)atoll(given) : 0;
  if (into) *into = now;
  return now;
}

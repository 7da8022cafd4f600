/* The time of day stands still: Lua makes the seed of its string hash of it. */

#include <time.h>

time_t time(time_t *where) {
  if (where) *where = 1767225600;
  return 1767225600;
}

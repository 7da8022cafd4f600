/* What no module for Lua can do without, as a module for Lua: a value that is sent has its table walked and
 * its strings copied, but nothing is written as JSON; a value that is received has its table made, of strings
 * that are known, without anything being read. The packets and the system calls are those of client.c.
 *
 *   least.connect(port, folder, tls)    one connection
 *   least.model(name, value)            what is received is made like this value, what is sent is FOLDER/NAME.json
 *   least.learn(value)                  a value that is to be made, whatever its size
 *   least.make()                        makes it
 *   least.walk(value)                   a string of all its names and strings, and eight bytes for each number
 *   least.write(value)                  the packet with the id of the value
 *   least.read()                        the next packet, as a value
 *   least.read_all(port)                what a new connection receives until its end
 *   least.read_line()                   the next line, nothing at the end of the stream
 *   least.read_block()                  what comes next, at most 64 KiB; "" at the end of the stream
 *   least.dial(port)                    a connection that is nothing but a descriptor, under a deadline
 *   least.hang_up(fd)
 *   least.put(fd, bytes)                sends on what `dial` gave
 *   least.take(fd, size)                as many bytes as are there; nothing where none has come yet */

#define _GNU_SOURCE
#include "net.h"
#include <poll.h>

/* Of Lua's headers, which need not be installed, what is the same in all versions. */
typedef struct lua_State lua_State;
extern int lua_type(lua_State *, int), lua_next(lua_State *, int), lua_gettop(lua_State *);
extern int lua_toboolean(lua_State *, int);
extern const char *lua_tolstring(lua_State *, int, size_t *);
extern double lua_tonumberx(lua_State *, int, int *);
extern void lua_settop(lua_State *, int), lua_pushnil(lua_State *), lua_pushboolean(lua_State *, int);
extern void lua_pushnumber(lua_State *, double), lua_createtable(lua_State *, int, int);
extern void lua_pushlstring(lua_State *, const char *, size_t), lua_rawset(lua_State *, int);
extern void lua_rawseti(lua_State *, int, long long); /* an int in LuaJIT: the same register */
extern void lua_rawgeti(lua_State *, int, long long), lua_pushlightuserdata(lua_State *, void *);
extern unsigned long long lua_rawlen(lua_State *, int) __attribute__((weak)); /* from 5.2 on */
extern size_t lua_objlen(lua_State *, int) __attribute__((weak));             /* in 5.1 */
extern int lua_checkstack(lua_State *, int);
extern void lua_pushcclosure(lua_State *, int (*)(lua_State *), int), lua_setfield(lua_State *, int, const char *);
enum { BOOLEAN = 1, POINTER = 2, NUMBER = 3, STRING = 4 };

static struct stream stream;
static struct packets in;
static const char *folder;
static char *packet, *id;
static size_t length;

/* A value as it is to be made, in the order of its parts. */
static struct part {
  int type, is_true, array, hash;
  double number;
  char *text;
  size_t size;
} *parts;
static int part_count, part_room, next_part;

static char *path(const char *name, const char *extension) {
  static char whole[4096];
  snprintf(whole, sizeof whole, "%s/%s%s", folder, name, extension);
  return whole;
}

/* A socket of this type, and its connect to the port that is the first argument. */
static int begin(lua_State *state, int type) {
  int on = 1, fd = socket(AF_INET, type, 0);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)lua_tonumberx(state, 1, NULL)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
      (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS))
    fail("connect");
  return fd;
}

static int dial(lua_State *state) {
  struct pollfd poller = {begin(state, SOCK_STREAM | SOCK_NONBLOCK), POLLOUT, 0};
  if (poll(&poller, 1, 60000) != 1 || poller.revents != POLLOUT) fail("connect");
  lua_pushnumber(state, poller.fd);
  return 1;
}

static int hang_up(lua_State *state) {
  close((int)lua_tonumberx(state, 1, NULL));
  return 0;
}

/* Into memory that is kept for the next. */
static int read_all(lua_State *state) {
  static char *all;
  static size_t room;
  struct stream from = {begin(state, SOCK_STREAM), NULL};
  size_t have = 0, got;
  do {
    if (room - have < ROOM) expect((all = realloc(all, room = 2 * room + ROOM)) != NULL, "memory");
    have += got = read_some(&from, all + have, room - have);
  } while (got > 0);
  lua_pushlstring(state, all, have);
  close_stream(&from);
  return 1;
}

static int connect_to(lua_State *state) {
  folder = strdup(lua_tolstring(state, 2, NULL));
  stream.fd = begin(state, SOCK_STREAM);
  if (lua_toboolean(state, 3)) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context || SSL_CTX_load_verify_locations(context, path("root", ".pem"), NULL) != 1) fail("TLS");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    stream.ssl = SSL_new(context);
    SSL_set_fd(stream.ssl, stream.fd);
    SSL_set_tlsext_host_name(stream.ssl, "localhost");
    SSL_set1_host(stream.ssl, "localhost");
    if (SSL_connect(stream.ssl) != 1) fail("SSL_connect");
  }
  in = (struct packets){&stream, memory(ROOM), 0, 0, FOUR};
  return 0;
}

/* Takes down the value at `index`, counted from the bottom of the stack. */
static void take_down(lua_State *state, int index) {
  if (part_count == part_room)
    expect((parts = realloc(parts, (size_t)(part_room = 2 * part_room + 256) * sizeof *parts)) != NULL, "memory");
  int number = part_count++;
  struct part *part = &parts[number];
  *part = (struct part){0};
  part->type = lua_type(state, index);
  if (part->type == STRING) {
    const char *text = lua_tolstring(state, index, &part->size);
    part->text = memcpy(memory(part->size + 1), text, part->size);
  } else if (part->type == NUMBER) {
    part->number = lua_tonumberx(state, index, NULL);
  } else if (part->type == BOOLEAN) {
    part->is_true = lua_toboolean(state, index);
  } else if (part->type != POINTER) {
    expect(lua_checkstack(state, 8), "a value that is not as deep");
    lua_pushnil(state);
    int key = lua_gettop(state);
    while (lua_next(state, index)) {
      part = &parts[number]; /* may have moved */
      if (lua_type(state, key) == NUMBER) part->array++;
      else part->hash++;
      take_down(state, key);
      take_down(state, key + 1);
      lua_settop(state, key);
    }
  }
}

static int model(lua_State *state) {
  packet = load_packet(path(lua_tolstring(state, 1, NULL), ".json"), &length);
  id = find_id(packet, length);
  take_down(state, 2);
  return 0;
}

/* Looks at every part of the value on top of the stack, and copies it; gives where the next copy goes. */
static char *walk(lua_State *state, char *out, int *number) {
  size_t size;
  const char *text;
  double value;
  switch (lua_type(state, -1)) {
  case STRING:
    text = lua_tolstring(state, -1, &size);
    memcpy(out, text, size);
    return out + size;
  case NUMBER:
    value = lua_tonumberx(state, -1, NULL);
    if (value >= FIRST_ID) *number = (int)value;
    memcpy(out, &value, sizeof value);
    return out + sizeof value;
  case BOOLEAN:
    *out = (char)lua_toboolean(state, -1);
    return out + 1;
  case POINTER: /* JSON's null */
    return out;
  }
  int table = lua_gettop(state);
  long long size_of_array = (long long)(lua_rawlen ? lua_rawlen(state, table) : lua_objlen(state, table));
  if (size_of_array > 0) {
    for (long long i = 1; i <= size_of_array; i++) {
      lua_rawgeti(state, table, i);
      out = walk(state, out, number);
      lua_settop(state, table);
    }
    return out;
  }
  lua_pushnil(state);
  while (lua_next(state, -2)) {
    if (lua_type(state, -2) == STRING) {
      text = lua_tolstring(state, -2, &size);
      memcpy(out, text, size);
      out += size;
    }
    out = walk(state, out, number);
    lua_settop(state, -2);
  }
  return out;
}

static int write_packet(lua_State *state) {
  static char copy[ROOM];
  int number = 0;
  lua_settop(state, 1);
  walk(state, copy, &number);
  put_id(id, number);
  write_all(&stream, packet, HEADER + length);
  return 0;
}

/* Makes the next part, and what it is made of. */
static void make(lua_State *state) {
  const struct part *part = &parts[next_part++];
  if (part->type == STRING) lua_pushlstring(state, part->text, part->size);
  else if (part->type == NUMBER) lua_pushnumber(state, part->number);
  else if (part->type == BOOLEAN) lua_pushboolean(state, part->is_true);
  else if (part->type == POINTER) lua_pushlightuserdata(state, NULL);
  else {
    lua_createtable(state, part->array, part->hash);
    for (int left = part->array + part->hash; left > 0; left--) {
      if (parts[next_part].type == NUMBER) {
        long long index = (long long)parts[next_part++].number;
        make(state);
        lua_rawseti(state, -2, index);
      } else {
        make(state);
        make(state);
        lua_rawset(state, -3);
      }
    }
  }
}

static int read_packet(lua_State *state) {
  size_t got;
  if (!next_packet(&in, &got)) fail("a packet");
  next_part = 0;
  make(state);
  return 1;
}

static int learn(lua_State *state) {
  part_count = 0;
  take_down(state, 1);
  return 0;
}

static int make_known(lua_State *state) {
  expect(lua_checkstack(state, 500), "room for a deep value");
  next_part = 0;
  make(state);
  return 1;
}

static int walk_known(lua_State *state) {
  static char out[8 << 20];
  int number;
  expect(lua_checkstack(state, 500), "room for a deep value");
  lua_settop(state, 1);
  char *end = walk(state, out, &number);
  expect(end <= out + sizeof out, "a smaller value");
  lua_pushlstring(state, out, (size_t)(end - out));
  return 1;
}

static int read_answer(lua_State *state) {
  char answer[6];
  expect(read_some(&stream, answer, sizeof answer) == 6, "the answer");
  lua_pushlstring(state, answer, 5);
  return 1;
}

static int read_line(lua_State *state) {
  for (;;) {
    size_t here = in.end - in.start;
    char *line = in.bytes + in.start, *newline = memchr(line, '\n', here);
    if (newline) {
      lua_pushlstring(state, line, (size_t)(newline - line));
      in.start += (size_t)(newline - line) + 1;
      return 1;
    }
    memmove(in.bytes, line, here);
    size_t got = read_some(&stream, in.bytes + here, ROOM - here);
    if (got == 0) return 0;
    in.start = 0;
    in.end = here + got;
  }
}

static int read_block(lua_State *state) {
  lua_pushlstring(state, in.bytes, read_some(&stream, in.bytes, 65536));
  return 1;
}

static int put(lua_State *state) {
  size_t size;
  const char *bytes = lua_tolstring(state, 2, &size);
  expect(send((int)lua_tonumberx(state, 1, NULL), bytes, size, MSG_NOSIGNAL) == (ssize_t)size, "room to send");
  return 0;
}

static int take(lua_State *state) {
  static char bytes[4096];
  size_t size = (size_t)lua_tonumberx(state, 2, NULL);
  expect(size <= sizeof bytes, "a small packet");
  ssize_t got = recv((int)lua_tonumberx(state, 1, NULL), bytes, size, 0);
  if (got < 0 && errno == EAGAIN) return 0;
  expect(got == (ssize_t)size, "a whole packet");
  lua_pushlstring(state, bytes, size);
  return 1;
}

static int close_it(lua_State *state) {
  (void)state;
  close_stream(&stream);
  return 0;
}

int luaopen_least(lua_State *state) {
  static const struct {
    const char *name;
    int (*function)(lua_State *);
  } functions[] = {{"connect", connect_to}, {"model", model},        {"write", write_packet}, {"read", read_packet},
                   {"answer", read_answer}, {"close", close_it},     {"dial", dial},          {"hang_up", hang_up},
                   {"read_all", read_all},  {"read_line", read_line}, {"read_block", read_block},
                   {"put", put},            {"take", take},           {"learn", learn},
                   {"make", make_known},    {"walk", walk_known}};
  lua_createtable(state, 0, sizeof functions / sizeof *functions);
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    lua_pushcclosure(state, functions[i].function, 0);
    lua_setfield(state, -2, functions[i].name);
  }
  return 1;
}

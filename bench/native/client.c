/* The limit that the libraries are measured against: client SCENARIO PORT COUNT SIZE FOLDER
 * The port may be the path of a Unix socket.
 * The bare system calls of a scenario, on a blocking socket without timeouts, with no Lua and no JSON
 * around them. Says "start" and "end" on its output, as the other clients do. */

#define _GNU_SOURCE
#include "net.h"

static int port;
static const char *where;
static long count;
static size_t size;
static const char *folder;
static SSL_CTX *context;
static SSL_SESSION *session;

static char *path(const char *name) {
  static char whole[4096];
  snprintf(whole, sizeof whole, "%s/%s", folder, name);
  return whole;
}

static void say(const char *what) {
  puts(what);
  fflush(stdout);
}

static void prepare_tls(void) {
  context = SSL_CTX_new(TLS_client_method());
  if (!context || SSL_CTX_load_verify_locations(context, path("root.pem"), NULL) != 1) fail("TLS");
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
}

static struct stream connect_tcp(void) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct stream stream = {socket(AF_INET, SOCK_STREAM, 0), NULL};
  int on = 1;
  if (stream.fd < 0 || setsockopt(stream.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
      connect(stream.fd, (struct sockaddr *)&address, sizeof address) < 0)
    fail("connect");
  return stream;
}

static struct stream connect_unix(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct stream stream = {socket(AF_UNIX, SOCK_STREAM, 0), NULL};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", where);
  if (stream.fd < 0 || connect(stream.fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
  return stream;
}

static struct stream connect_any(void) {
  struct stream stream = connect_tcp();
  if (!context) return stream;
  stream.ssl = SSL_new(context);
  SSL_set_fd(stream.ssl, stream.fd);
  SSL_set_tlsext_host_name(stream.ssl, "localhost");
  SSL_set1_host(stream.ssl, "localhost");
  if (session) SSL_set_session(stream.ssl, session);
  if (SSL_connect(stream.ssl) != 1) fail("SSL_connect");
  return stream;
}

static void round_trips(void) {
  size_t length;
  char *packet = load_packet(path("large.json"), &length);
  char *id = find_id(packet, length);
  struct stream stream = connect_any();
  struct packets in = {&stream, memory(ROOM), 0, 0, FOUR};
  for (long i = 0; i < count; i++) {
    put_id(id, FIRST_ID + (int)i);
    write_all(&stream, packet, HEADER + length);
    char *reply = next_packet(&in, &length);
    expect(reply && length == size, "a reply");
  }
  close_stream(&stream);
}

static void read_packets(void) {
  struct stream stream = connect_any();
  struct packets in = {&stream, memory(ROOM), 0, 0, FOUR};
  size_t length;
  long packets = 0;
  while (next_packet(&in, &length)) packets += length == size;
  expect(packets == count, "the packets");
  close_stream(&stream);
}

static void write_packets(void) {
  char answer[6];
  size_t length;
  char *packet = load_packet(path("small.json"), &length);
  char *id = find_id(packet, length);
  struct stream stream = connect_any();
  for (long i = 0; i < count; i++) {
    put_id(id, FIRST_ID + (int)i);
    write_all(&stream, packet, HEADER + length);
  }
  expect(read_some(&stream, answer, sizeof answer) == 6, "the answer");
  close_stream(&stream);
}

static void unix_lines(void) {
  char *line = memory(size + 1), *reply = memory(size + 1);
  for (size_t at = 0; at < size; at++) line[at] = (char)('a' + at % 26);
  line[size] = '\n';
  struct stream stream = connect_unix();
  for (long i = 0; i < count; i++) {
    write_all(&stream, line, size + 1);
    for (size_t have = 0; have <= size;) {
      size_t got = read_some(&stream, reply + have, size + 1 - have);
      expect(got > 0, "a reply");
      have += got;
    }
    expect(memcmp(line, reply, size + 1) == 0, "the same line");
  }
  close_stream(&stream);
}

static void read_framed(enum framing framing) {
  struct stream stream = connect_any();
  struct packets in = {&stream, memory(ROOM), 0, 0, framing};
  size_t length;
  long packets = 0;
  while (next_packet(&in, &length)) packets += length == size;
  expect(packets == count, "the packets");
  close_stream(&stream);
}

static void read_two(void) { read_framed(TWO); }
static void read_varint(void) { read_framed(VARINT); }

static void write_framed(enum framing framing) {
  char answer[6];
  size_t length;
  char *packet = load_packet(path("small.json"), &length), *whole = memory(MOST + length);
  struct stream stream = connect_any();
  for (long i = 0; i < count; i++) {
    size_t head = put_head(framing, whole, length);
    memcpy(whole + head, packet + HEADER, length);
    write_all(&stream, whole, head + length);
  }
  expect(read_some(&stream, answer, sizeof answer) == 6, "the answer");
  close_stream(&stream);
}

static void write_two(void) { write_framed(TWO); }
static void write_varint(void) { write_framed(VARINT); }

/* From one connection to the other, block by block. */
static void copy(void) {
  struct stream from = connect_any(), into = connect_any();
  char *block = memory(ROOM);
  for (size_t got; (got = read_some(&from, block, ROOM)) > 0;) write_all(&into, block, got);
  close_stream(&into);
  close_stream(&from);
}

static void lines(void) {
  struct stream stream = connect_any();
  char *block = memory(ROOM);
  long lines = 0;
  size_t got, total = 0;
  while ((got = read_some(&stream, block, ROOM)) > 0) {
    char *at = block, *end = block + got;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
      lines++;
      at++;
    }
    total += got;
  }
  expect(lines == count && total == (size + 1) * (size_t)count, "the lines");
  close_stream(&stream);
}

/* Everything until the end, in one piece of memory that grows. */
static void read_until_end(void) {
  for (long i = 0; i < count; i++) {
    struct stream stream = connect_any();
    size_t room = 2 * ROOM, have = 0, got;
    char *all = memory(room);
    while ((got = read_some(&stream, all + have, room - have)) > 0) {
      have += got;
      if (have == room) {
        room *= 2;
        if (!(all = realloc(all, room))) fail("realloc");
      }
    }
    expect(have == size, "all bytes");
    free(all);
    close_stream(&stream);
  }
}

/* Block by block, none of them kept. */
static void read_blocks(void) {
  struct stream stream = connect_any();
  char *block = memory(ROOM);
  size_t got, total = 0;
  while ((got = read_some(&stream, block, ROOM)) > 0) total += got;
  expect(total == size, "all bytes");
  close_stream(&stream);
}

static void handshakes(void) {
  char greeting;
  for (long i = 0; i < count; i++) {
    struct stream stream = connect_any();
    expect(read_some(&stream, &greeting, 1) == 1 && greeting == '!', "the greeting");
    if (size == 1) { /* resumed: the next one goes on with this session */
      SSL_SESSION_free(session);
      session = SSL_get1_session(stream.ssl);
    }
    close_stream(&stream);
  }
}

static void connects(void) {
  for (long i = 0; i < count; i++) {
    struct stream stream = connect_tcp();
    close(stream.fd);
  }
}

static const struct {
  const char *name;
  void (*run)(void);
  int tls;
} scenarios[] = {
    {"round_trips", round_trips, 0},     {"round_trips_tls", round_trips, 1},
    {"read_packets", read_packets, 0},   {"write_packets", write_packets, 0},
    {"lines", lines, 0},                 {"read_once", read_until_end, 0},
    {"read_often", read_until_end, 0},   {"read_tls", read_blocks, 1},
    {"handshakes", handshakes, 1},       {"resumed", handshakes, 1},
    {"connects", connects, 0},           {"unix_lines", unix_lines, 0},
    {"read_two", read_two, 0},           {"write_two", write_two, 0},
    {"read_varint", read_varint, 0},     {"write_varint", write_varint, 0},
    {"match_lines", lines, 0},           {"copy", copy, 0},
    {"read_lines", lines, 0},
};

int main(int argc, char **argv) {
  if (argc != 6) {
    fputs("client SCENARIO PORT COUNT SIZE FOLDER\n", stderr);
    return 2;
  }
  alarm(LIFETIME);
  signal(SIGPIPE, SIG_IGN);
  where = argv[2];
  port = atoi(where);
  count = atol(argv[3]);
  size = (size_t)atoll(argv[4]);
  folder = argv[5];
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
    if (strcmp(scenarios[i].name, argv[1]) == 0) {
      say("start");
      if (scenarios[i].tls) prepare_tls();
      scenarios[i].run();
      say("end");
      return 0;
    }
  }
  fputs("no such scenario\n", stderr);
  return 2;
}

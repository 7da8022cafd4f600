/* The benchmark's server: server SCENARIO COUNT SIZE FOLDER
 * Prints the port that it took on 127.0.0.1, or the path of its Unix socket, serves one client's run of
 * the scenario, checks what it got, and ends: 0 if all was as it had to be. FOLDER has the packets,
 * certificate and key. All that it sends is made before it listens, so that it has as little as possible
 * to do meanwhile. */

#define _GNU_SOURCE
#include "net.h"

#include <sys/wait.h>

static long count;
static size_t size;
static const char *folder;
static int listener;
static SSL_CTX *context;

static char *path(const char *name) {
  static char whole[4096];
  snprintf(whole, sizeof whole, "%s/%s", folder, name);
  return whole;
}

static void prepare_tls(void) {
  context = SSL_CTX_new(TLS_server_method());
  if (!context || SSL_CTX_use_certificate_chain_file(context, path("server.pem")) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, path("server.key"), SSL_FILETYPE_PEM) != 1)
    fail("TLS");
}

static void start(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 4096) < 0 ||
      getsockname(listener, (struct sockaddr *)&address, &length) < 0)
    fail("listen");
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
}

static void start_unix(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s/server.sock", folder);
  unlink(address.sun_path);
  listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0)
    fail("listen");
  puts(address.sun_path);
  fflush(stdout);
}

static struct stream next_client(void) {
  struct stream stream = {accept(listener, NULL, NULL), NULL};
  if (stream.fd < 0) fail("accept");
  int on = 1; /* a Unix socket refuses the option, which does no harm */
  setsockopt(stream.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (context) {
    stream.ssl = SSL_new(context);
    SSL_set_fd(stream.ssl, stream.fd);
    if (SSL_accept(stream.ssl) != 1) fail("SSL_accept");
  }
  return stream;
}

/* Ends our side, and waits until the client has ended its own. */
static void finish(struct stream *stream) {
  static char rest[64];
  if (stream->ssl)
    SSL_shutdown(stream->ssl);
  shutdown(stream->fd, SHUT_WR);
  while (recv(stream->fd, rest, sizeof rest, 0) > 0) continue;
  close(stream->fd);
  SSL_free(stream->ssl);
}

/* Sends each packet back. */
static void echo(void) {
  start();
  struct stream stream = next_client();
  struct packets in = {&stream, memory(ROOM), 0, 0, FOUR};
  size_t length;
  for (long i = 0; i < count; i++) {
    char *packet = next_packet(&in, &length);
    expect(packet && length == size, "a packet to send back");
    write_all(&stream, packet, HEADER + length);
  }
  finish(&stream);
}

/* Sends each line back, at a Unix socket. */
static void echo_lines(void) {
  start_unix();
  struct stream stream = next_client();
  char *bytes = memory(ROOM);
  for (size_t left = (size_t)count * (size + 1); left > 0;) {
    size_t got = read_some(&stream, bytes, ROOM);
    expect(got > 0 && got <= left, "a line to send back");
    write_all(&stream, bytes, got);
    left -= got;
  }
  finish(&stream);
}

/* The packet that is sent again and again, with its length in front, and its size. */
static char *framed(enum framing framing, size_t *whole) {
  size_t length;
  char *packet = load_packet(path("small.json"), &length), *made = memory(MOST + length);
  size_t head = put_head(framing, made, length);
  memcpy(made + head, packet + HEADER, length);
  *whole = head + length;
  return made;
}

static void framed_packets(enum framing framing) {
  size_t whole, many;
  char *packet = framed(framing, &whole);
  many = ROOM / whole;
  char *block = memory(whole * many);
  for (size_t i = 0; i < many; i++) memcpy(block + i * whole, packet, whole);
  start();
  struct stream stream = next_client();
  for (size_t left = (size_t)count; left > 0;) {
    size_t now = left < many ? left : many;
    write_all(&stream, block, now * whole);
    left -= now;
  }
  finish(&stream);
}

static void two_packets(void) { framed_packets(TWO); }
static void varint_packets(void) { framed_packets(VARINT); }

static void take_framed(enum framing framing) {
  size_t whole, length;
  char *wanted = framed(framing, &whole);
  start();
  struct stream stream = next_client();
  struct packets in = {&stream, memory(ROOM), 0, 0, framing};
  for (long i = 0; i < count; i++) {
    char *packet = next_packet(&in, &length);
    expect(packet && length == size && memcmp(packet, wanted, whole) == 0, "a packet");
  }
  write_all(&stream, "taken\n", 6);
  finish(&stream);
}

static void take_two(void) { take_framed(TWO); }
static void take_varint(void) { take_framed(VARINT); }

/* Sends packets, numbered, as fast as it can. */
static void packets(void) {
  size_t length;
  char *packet = load_packet(path("small.json"), &length);
  char *id = find_id(packet, length);
  size_t whole = HEADER + length;
  char *all = memory(whole * (size_t)count);
  for (long i = 0; i < count; i++) {
    put_id(id, FIRST_ID + (int)i);
    memcpy(all + (size_t)i * whole, packet, whole);
  }
  start();
  struct stream stream = next_client();
  write_all(&stream, all, whole * (size_t)count);
  finish(&stream);
}

/* Takes packets, looks at each, and says so when all have come. */
static void take(void) {
  start();
  struct stream stream = next_client();
  struct packets in = {&stream, memory(ROOM), 0, 0, FOUR};
  size_t length;
  for (long i = 0; i < count; i++) {
    char *packet = next_packet(&in, &length);
    expect(packet && length == size, "a packet's length");
    expect(get_id(find_id(packet, length)) == FIRST_ID + (int)i, "a packet's number");
  }
  write_all(&stream, "taken\n", 6);
  finish(&stream);
}

/* Sends lines of `size` bytes without the newline, which begin with these bytes. */
static void lines_like(const char *begin) {
  size_t whole = size + 1, many = ROOM / whole, fixed = strlen(begin);
  char *block = memory(whole * many);
  for (size_t at = 0; at < whole * many; at++) block[at] = at % whole == size ? '\n' : (char)('a' + at % whole % 26);
  for (size_t i = 0; i < many; i++) memcpy(block + i * whole, begin, fixed);
  start();
  struct stream stream = next_client();
  for (size_t left = (size_t)count; left > 0;) {
    size_t now = left < many ? left : many;
    write_all(&stream, block, now * whole);
    left -= now;
  }
  finish(&stream);
}

static void lines(void) { lines_like(""); }

/* As a mail server answers. */
static void answers(void) { lines_like("250-"); }

/* Sends `size` bytes to its first client, and takes them from its second: both are the forwarder. */
static void forwarded(void) {
  char *block = memory(ROOM);
  for (size_t at = 0; at < ROOM; at++) block[at] = (char)('a' + at % 26);
  start();
  struct stream source = next_client();
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    alarm(LIFETIME);
    for (size_t left = size; left > 0;) {
      size_t now = left < ROOM ? left : ROOM;
      write_all(&source, block, now);
      left -= now;
    }
    finish(&source);
    exit(0);
  }
  close(source.fd);
  struct stream sink = next_client();
  char *got = memory(ROOM), last = 0;
  size_t total = 0;
  for (size_t some; (some = read_some(&sink, got, ROOM)) > 0; total += some) last = got[some - 1];
  expect(total == size && last == block[(size - 1) % ROOM], "all bytes");
  finish(&sink);
  int status;
  expect(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, "the sender");
}

/* Sends `size` bytes to each of `count` clients. */
static void bytes(void) {
  char *block = memory(ROOM);
  for (size_t at = 0; at < ROOM; at++) block[at] = (char)('a' + at % 26);
  start();
  for (long i = 0; i < count; i++) {
    struct stream stream = next_client();
    for (size_t left = size; left > 0;) {
      size_t now = left < ROOM ? left : ROOM;
      write_all(&stream, block, now);
      left -= now;
    }
    finish(&stream);
  }
}

/* Greets each client with a byte. `size` is 1 if the sessions of all but the first must be resumed. */
static void greet(void) {
  start();
  for (long i = 0; i < count; i++) {
    struct stream stream = next_client();
    expect(SSL_session_reused(stream.ssl) == (size == 1 && i > 0), "a full or a resumed handshake");
    write_all(&stream, "!", 1);
    finish(&stream);
  }
}

/* Accepts, and leaves it to the client to end the connection: who does that first has most of the work,
 * and the slower a client were, the more often it would be spared. */
static void accept_all(void) {
  start();
  for (long i = 0; i < count; i++) {
    char byte;
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) fail("accept");
    expect(recv(fd, &byte, 1, 0) == 0, "the client's end");
    close(fd);
  }
}

static const struct {
  const char *name;
  void (*run)(void);
  int tls;
} scenarios[] = {
    {"round_trips", echo, 0},   {"round_trips_tls", echo, 1}, {"read_packets", packets, 0},
    {"write_packets", take, 0}, {"lines", lines, 0},          {"read_once", bytes, 0},
    {"read_often", bytes, 0},   {"read_tls", bytes, 1},       {"handshakes", greet, 1},
    {"resumed", greet, 1},      {"connects", accept_all, 0},
    {"unix_lines", echo_lines, 0},     {"copy", forwarded, 0},
    {"read_two", two_packets, 0},      {"write_two", take_two, 0},
    {"read_varint", varint_packets, 0}, {"write_varint", take_varint, 0},
    {"match_lines", answers, 0},       {"read_lines", lines, 0},
};

int main(int argc, char **argv) {
  if (argc != 5) {
    fputs("server SCENARIO COUNT SIZE FOLDER\n", stderr);
    return 2;
  }
  alarm(LIFETIME);
  signal(SIGPIPE, SIG_IGN);
  count = atol(argv[2]);
  size = (size_t)atoll(argv[3]);
  folder = argv[4];
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
    if (strcmp(scenarios[i].name, argv[1]) == 0) {
      if (scenarios[i].tls) prepare_tls();
      scenarios[i].run();
      return 0;
    }
  }
  fputs("no such scenario\n", stderr);
  return 2;
}

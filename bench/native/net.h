/* What the benchmark's server and its C client share: a stream that is TCP, a Unix socket or TLS, whole
 * reads and writes on it, and packets of a length and a body. Any failure ends the process. */

#ifndef NET_H
#define NET_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { HEADER = 4, ROOM = 256 * 1024 };

/* No process of the benchmark outlives this, whatever becomes of the others; in seconds. */
enum { LIFETIME = 300 };

struct stream {
  int fd;
  SSL *ssl; /* NULL for plain TCP */
};

static inline void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : "not as expected");
  ERR_print_errors_fp(stderr);
  exit(1);
}

static inline void expect(int is_so, const char *what) {
  if (!is_so) {
    errno = 0;
    fail(what);
  }
}

static inline void *memory(size_t size) {
  void *bytes = malloc(size);
  if (!bytes) fail("malloc");
  return bytes;
}

/* Up to `size` bytes; 0 at the end of the stream. */
static inline size_t read_some(struct stream *stream, char *into, size_t size) {
  if (stream->ssl) {
    size_t count = 0;
    if (SSL_read_ex(stream->ssl, into, size, &count)) return count;
    if (SSL_get_error(stream->ssl, 0) == SSL_ERROR_ZERO_RETURN) return 0;
    fail("SSL_read");
  }
  ssize_t count = recv(stream->fd, into, size, 0);
  if (count < 0) fail("recv");
  return (size_t)count;
}

static inline void write_all(struct stream *stream, const char *bytes, size_t size) {
  while (size > 0) {
    size_t count = 0;
    if (stream->ssl) {
      if (!SSL_write_ex(stream->ssl, bytes, size, &count)) fail("SSL_write");
    } else {
      ssize_t sent = send(stream->fd, bytes, size, MSG_NOSIGNAL);
      if (sent < 0) fail("send");
      count = (size_t)sent;
    }
    bytes += count;
    size -= count;
  }
}

static inline void close_stream(struct stream *stream) {
  if (stream->ssl) {
    SSL_shutdown(stream->ssl);
    SSL_free(stream->ssl);
  }
  close(stream->fd);
}

static inline size_t get_length(const char *header) {
  uint32_t length;
  memcpy(&length, header, HEADER);
  return ntohl(length);
}

static inline void put_length(char *header, size_t length) {
  uint32_t number = htonl((uint32_t)length);
  memcpy(header, &number, HEADER);
}

/* How a length stands in front of a body: in four bytes, in two, or seven bits a byte (LEB128). */
enum framing { FOUR, TWO, VARINT };

/* Writes the length of a body: how many bytes that takes, MOST at most. */
enum { MOST = 10 };
static inline size_t put_head(enum framing framing, char *head, size_t length) {
  size_t size = 0;
  if (framing == FOUR) {
    put_length(head, length);
    return HEADER;
  }
  if (framing == TWO) {
    head[0] = (char)(length >> 8);
    head[1] = (char)length;
    return 2;
  }
  for (; length > 0x7f; length >>= 7) head[size++] = (char)(length | 0x80);
  head[size++] = (char)length;
  return size;
}

/* Reads the length in front of a body: how many bytes that takes, 0 where more must come first. */
static inline size_t get_head(enum framing framing, const char *head, size_t here, size_t *length) {
  const unsigned char *bytes = (const unsigned char *)head;
  if (framing == FOUR) {
    if (here < HEADER) return 0;
    *length = get_length(head);
    return HEADER;
  }
  if (framing == TWO) {
    if (here < 2) return 0;
    *length = (size_t)bytes[0] << 8 | bytes[1];
    return 2;
  }
  *length = 0;
  for (size_t at = 0; at < here && at < MOST; at++) {
    *length |= (size_t)(bytes[at] & 0x7f) << (7 * at);
    if (bytes[at] < 0x80) return at + 1;
  }
  expect(here < MOST, "a varint");
  return 0;
}

/* The packets that a stream brings, from a buffer of ROOM bytes. */
struct packets {
  struct stream *stream;
  char *bytes;
  size_t start, end;
  enum framing framing;
};

/* The next packet with its header, NULL at the end of the stream; its body's length in `length`. */
static inline char *next_packet(struct packets *in, size_t *length) {
  for (;;) {
    size_t here = in->end - in->start;
    size_t head = get_head(in->framing, in->bytes + in->start, here, length);
    if (head > 0) {
      expect(head + *length <= ROOM, "a packet's length");
      if (here >= head + *length) {
        char *packet = in->bytes + in->start;
        in->start += head + *length;
        return packet;
      }
    }
    memmove(in->bytes, in->bytes + in->start, here);
    in->start = 0;
    in->end = here;
    size_t count = read_some(in->stream, in->bytes + here, ROOM - here);
    if (count == 0) {
      expect(here == 0, "the end of a packet");
      return NULL;
    }
    in->end += count;
  }
}

/* A file's content, with room for a header in front of it. */
static inline char *load_packet(const char *path, size_t *length) {
  FILE *file = fopen(path, "r");
  if (!file) fail(path);
  char *packet = memory(ROOM);
  *length = fread(packet + HEADER, 1, ROOM - HEADER, file);
  fclose(file);
  put_length(packet, *length);
  return packet;
}

/* Where the six digits of a packet's id are; every packet has one, whatever the order of its keys. */
static inline char *find_id(char *packet, size_t length) {
  static const char key[] = "\"id\":";
  char *found = memmem(packet + HEADER, length, key, sizeof key - 1);
  expect(found != NULL, "an id");
  return found + sizeof key - 1;
}

enum { FIRST_ID = 100000 };

static inline void put_id(char *digits, int id) {
  for (int at = 5; at >= 0; at--, id /= 10) digits[at] = (char)('0' + id % 10);
}

static inline int get_id(const char *digits) {
  int id = 0;
  for (int at = 0; at < 6; at++) id = id * 10 + digits[at] - '0';
  return id;
}

#endif

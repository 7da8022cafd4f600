/* flood KIND CERTIFICATE KEY: a TLS server that prints its port, and floods each client with
 * records that carry little or no payload.
 * flood KIND PORT: a client that does the same to the server at that port of this machine. It first
 * sends "ready\n", so that the other end knows that the flood has come.
 *
 * KIND: tickets (TLS 1.3 session tickets), key_updates, key_requests (updates that ask for one in
 * return), hello_requests (TLS 1.2), bytes (records of one byte each), hello_request (one, more
 * payload, and a cut); and in plain text, in the middle of the handshake: plain_requests,
 * plain_empty (records without a byte), plain_alerts (warnings), plain_pieces (a certificate in
 * records of one byte each). */

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECONDS 20      /* of one flood */

static const char *kind;

static int is(const char *name) { return !strcmp(kind, name); }

static void check(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "flood: %s\n", what);
  ERR_print_errors_fp(stderr);
  exit(1);
}

static void send_all(int fd, const char *bytes, size_t size) {
  while (size) {
    ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
    if (sent <= 0) exit(0); /* the other end has had enough */
    bytes += sent;
    size -= sent;
  }
}

/* Adds a message without payload to the output. */
static void add(SSL *ssl) {
  if (is("tickets")) check(SSL_new_session_ticket(ssl), "ticket");
  if (is("key_updates")) check(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), "key update");
  if (is("key_requests")) check(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), "key update");
  if (strstr(kind, "hello_request")) check(SSL_renegotiate(ssl), "hello request");
  if (is("bytes")) check(SSL_write(ssl, "x", 1) == 1, "write");
  check(SSL_do_handshake(ssl) == 1, "message");
}

static void flood(SSL *ssl, int fd) {
  BIO *memory = BIO_new(BIO_s_mem());
  /* All are made first and sent at once: clients read tickets faster than they are made. */
  size_t least = is("tickets") ? 8 << 20 : 512 << 10;
  time_t late = time(NULL) + SECONDS;
  SSL_set0_wbio(ssl, memory);
  check(SSL_write(ssl, "ready\n", 6) == 6, "write");
  if (is("hello_request")) {
    add(ssl);
    check(SSL_write(ssl, "more\n", 5) == 5, "write");
    least = 0;
  }
  while (time(NULL) < late) {
    char *bytes;
    size_t size;
    while ((size_t)BIO_pending(memory) < least) add(ssl);
    size = BIO_get_mem_data(memory, &bytes);
    send_all(fd, bytes, size);
    if (is("hello_request")) {
      shutdown(fd, SHUT_WR);
      while (recv(fd, (char[64]){0}, 64, 0) > 0) {} /* a reset would say something else */
      return;
    }
    (void)BIO_reset(memory);
    least = 32 << 10;
  }
}

/* Sends copies of these bytes, 64 KiB at a time, until the time is over. */
static void repeat(int fd, const unsigned char *bytes, size_t size) {
  static char many[65536];
  size_t filled = 0;
  time_t late = time(NULL) + SECONDS;
  for (; filled + size <= sizeof many; filled += size) memcpy(many + filled, bytes, size);
  while (time(NULL) < late) send_all(fd, many, filled);
}

static void flood_handshake(int fd) {
  /* HelloRequest is a type, 0, and a length, 0. */
  static const unsigned char requests[5 + 16384] = {22, 3, 3, 64, 0}, empty[] = {22, 3, 3, 0, 0};
  static const unsigned char alert[] = {21, 3, 3, 0, 2, 1, 90}, piece[] = {22, 3, 3, 0, 1, 0};
  /* A ServerHello of TLS 1.2, and the head of its Certificate, which announces 99,999 bytes. */
  static const unsigned char hello[5 + 49] = {22, 3, 3, 0, 49, 2, 0, 0, 45, 3, 3, [43] = 0,
    0xc0, 0x2f, 0, 0, 5, 0xff, 1, 0, 1, 0};
  static const unsigned char head[] = {22, 3, 3, 0, 4, 11, 1, 0x86, 0x9f};
  check(recv(fd, (char[16384]){0}, 16384, 0) > 0, "hello");
  if (is("plain_requests")) repeat(fd, requests, sizeof requests);
  if (is("plain_empty")) repeat(fd, empty, sizeof empty);
  if (is("plain_alerts")) repeat(fd, alert, sizeof alert);
  if (is("plain_pieces")) {
    send_all(fd, (const char *)hello, sizeof hello);
    send_all(fd, (const char *)head, sizeof head);
    repeat(fd, piece, sizeof piece);
  }
}

static void play(SSL_CTX *context, int fd, int is_server) {
  SSL *ssl = SSL_new(context);
  if (!strncmp(kind, "plain_", 6)) {
    flood_handshake(fd);
    exit(0);
  }
  SSL_set_fd(ssl, fd);
  check((is_server ? SSL_accept(ssl) : SSL_connect(ssl)) == 1, "handshake");
  flood(ssl, fd);
  exit(0);
}

int main(int count, char **words) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM, 0), is_server = count == 4;
  SSL_CTX *context;
  if (count < 3) return 2;
  kind = words[1];
  signal(SIGCHLD, SIG_IGN); /* no zombies */
  context = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
  if (strstr(kind, "hello_request")) SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
  if (!is_server) {
    address.sin_port = htons(atoi(words[2]));
    check(!connect(fd, (struct sockaddr *)&address, size), "connect");
    play(context, fd, 0);
  }
  SSL_CTX_set_num_tickets(context, 0);
  check(SSL_CTX_use_certificate_chain_file(context, words[2]) == 1, "certificate");
  check(SSL_CTX_use_PrivateKey_file(context, words[3], SSL_FILETYPE_PEM) == 1, "key");
  check(!bind(fd, (struct sockaddr *)&address, size) && !listen(fd, 16), "listen");
  getsockname(fd, (struct sockaddr *)&address, &size);
  printf("port %d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = 1}};
    int client;
    if (poll(fds, 2, -1) > 0 && fds[1].revents) return 0; /* nobody reads its output any more */
    client = accept(fd, NULL, NULL);
    if (client >= 0 && !fork()) play(context, client, 1);
    close(client);
  }
}

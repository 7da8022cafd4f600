/* The system calls of bench/loops alone, in C and with epoll: exchange PORT CONNECTIONS PACKETS. Opens so many
 * connections at once and, when all are open, exchanges so many packets of 300 bytes on each. Prints as
 * client.lua does the wall and the CPU seconds of the exchange; the third figure is 0. It has no timeouts, and
 * checks the size of what comes. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PACKET = 304 };

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int open_one(int port) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
      connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
    fail("connect");
  return fd;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  alarm(300);
  int count = atoi(argv[2]), packets = atoi(argv[3]), poller = epoll_create1(0), ended = 0;
  int *left = calloc((size_t)count, sizeof *left), *fds = calloc((size_t)count, sizeof *fds);
  char packet[PACKET] = {0, 0, 1, 44}, reply[PACKET];
  if (poller < 0 || !left || !fds) fail("epoll_create1");
  memset(packet + 4, 'x', PACKET - 4);
  for (int i = 0; i < count; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = i};
    fds[i] = open_one(atoi(argv[1]));
    left[i] = packets;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &event) < 0) fail("epoll_ctl");
  }

  double began = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
  for (int i = 0; i < count; i++)
    if (send(fds[i], packet, PACKET, MSG_NOSIGNAL) != PACKET) fail("send");
  while (ended < count) {
    struct epoll_event events[1024];
    int ready = epoll_wait(poller, events, 1024, -1);
    for (int each = 0; each < ready; each++) {
      int i = events[each].data.fd;
      if (recv(fds[i], reply, PACKET, 0) != PACKET) fail("recv");
      if (--left[i] > 0) {
        if (send(fds[i], packet, PACKET, MSG_NOSIGNAL) != PACKET) fail("send");
      } else {
        close(fds[i]);
        ended++;
      }
    }
  }
  printf("%.6f %.6f 0\n", now(CLOCK_MONOTONIC) - began, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
  return 0;
}

/* The other end of bench/loops: echo SECONDS. Listens on a free port of 127.0.0.1, prints it, and sends
 * back what comes on as many connections as there are descriptors. Ends after so many seconds, or with
 * its input. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void watch(int poller, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
}

static void accept_all(int poller, int listener) {
  int fd, on = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(poller, fd);
  }
  if (errno != EAGAIN) fail("accept4");
}

static void send_back(int fd) {
  static char buffer[65536];
  ssize_t size = recv(fd, buffer, sizeof buffer, 0);
  if (size < 0 && errno == EAGAIN) return;
  /* What is sent back fits into the socket's buffer: the clients wait for it. */
  if (size <= 0 || send(fd, buffer, (size_t)size, MSG_NOSIGNAL) != size) close(fd);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  alarm((unsigned)atoi(argv[1]));
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);

  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poller = epoll_create1(0);
  if (listener < 0 || poller < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 ||
      listen(listener, 4096) < 0 || getsockname(listener, (struct sockaddr *)&address, &size) < 0)
    fail("listen");
  watch(poller, listener);
  watch(poller, 0);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);

  for (;;) {
    struct epoll_event events[1024];
    int count = epoll_wait(poller, events, 1024, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == 0) return 0;
      if (fd == listener)
        accept_all(poller, listener);
      else
        send_back(fd);
    }
  }
}

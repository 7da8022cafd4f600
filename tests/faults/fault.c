/* fault: loaded with LD_PRELOAD, it makes chosen system calls of this process fail, or transfer one
 * byte only.
 *
 * The script commands it through os.getenv, which every Lua has:
 *   fault:install              puts it between the process and the kernel; "yes", or why not
 *   fault:arm NAME NTH WHAT    the NTH call of NAME from now on (0: each) fails with errno WHAT, or
 *                              with WHAT = "short" moves one byte; NAME = "-" only counts. send
 *                              fails from the NTH on if the connection is gone: EPIPE, ECONNRESET
 *   fault:arm descriptors NTH  from when the module asks for a descriptor for the NTH time (0: from
 *                              now on) the process gets no more, whoever asks, until fault:stop
 *   fault:pause, fault:go on   meanwhile nothing is counted or fails
 *   fault:stop                 back to normal; "NAME=CALLS ..." since arm, and "hits=N"
 *   fault:fds                  how many descriptors are open
 *   fault:fork                 forks; "0" in the child, which has twenty seconds to live
 *   fault:tell, fault:hear     a byte to the process on the other side of the last fork; waits for
 *                              one from there, or its end
 *   fault:wait                 waits for a child, or the child of one that has ended: its status
 *   fault:clock SECONDS        from now on the time of day is so much later
 *   fault:race HOST            from now on HOST is 127.0.0.2 and 127.0.0.1, in this order
 *
 * The module's calls through libc are replaced here; those of other code, such as libuv, are left
 * alone. The module calls recv, send and poll without libc: a seccomp filter turns them into
 * SIGSYS. Its handler decides, and makes the real call from the one place that the filter allows.
 * x86-64 Linux only. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define SHORT (-1)

static const char *const names[] = {
  "recv", "send", "poll", "accept4", "bind", "connect", "epoll_create1", "epoll_ctl", "epoll_wait",
  "fcntl", "getaddrinfo", "getpeername", "getsockname", "getsockopt", "listen", "pipe2", "pthread_create",
  "setsockopt", "shutdown", "socket", "open64", "descriptors",
};
enum { COUNT = sizeof names / sizeof *names, DESCRIPTORS = COUNT - 1 };
/* The functions among them that open a descriptor. */
static const char makers[] = " accept4 epoll_create1 fcntl getaddrinfo open64 pipe2 socket ";

static int calls[COUNT];
static int armed;    /* calls are counted */
static int chosen;   /* index of the name that fails, or -1 */
static int nth;      /* 0: each */
static int what;     /* errno or SHORT */
static int hits;

static struct rlimit before;

/* Open descriptors stay; a new one would be the fourth, over the limit. */
static void end_descriptors(void) {
  struct rlimit none = { .rlim_cur = 3, .rlim_max = before.rlim_max };
  if (setrlimit(RLIMIT_NOFILE, &none) != 0) abort();
  hits++;
}

static void count_descriptor(int index) {
  char name[32];
  snprintf(name, sizeof name, " %s ", names[index]);
  if (strstr(makers, name) == NULL) return;
  int call = __atomic_add_fetch(&calls[DESCRIPTORS], 1, __ATOMIC_SEQ_CST);
  if (chosen == DESCRIPTORS && call == nth) end_descriptors();
}

/* Returns the fault of this call: 0 for none, an errno, or SHORT. */
static int fault(int index) {
  if (!__atomic_load_n(&armed, __ATOMIC_SEQ_CST)) return 0;
  count_descriptor(index);
  int call = __atomic_add_fetch(&calls[index], 1, __ATOMIC_SEQ_CST);
  /* After such an error, each later send fails, too. */
  int stays = index == 1 && (what == EPIPE || what == ECONNRESET);
  if (index != chosen || (nth != 0 && call != nth && !(stays && call > nth))) return 0;
  __atomic_add_fetch(&hits, 1, __ATOMIC_SEQ_CST);
  return what;
}

/* Whether this is a return address in the module. */
static int is_ours(void *caller) {
  Dl_info info;
  /* The address sanitizer stands between. */
  return dladdr(caller, &info) != 0 &&
         (strstr(info.dli_fname, "tcp.so") != NULL || strstr(info.dli_fname, "libasan.so") != NULL);
}

static int named(const char *name) {
  for (int i = 0; i < COUNT; i++)
    if (strcmp(name, names[i]) == 0) return i;
  return -1;
}

/* Calls through libc. */

static void *real(const char *name) {
  void *function = dlsym(RTLD_NEXT, name);
  if (function == NULL) abort();
  return function;
}

#define REPLACE(result, name, parameters, arguments)                                            \
  result name parameters {                                                                      \
    static result(*next) parameters;                                                            \
    if (next == NULL) next = (result(*) parameters)real(#name);                                 \
    int error = is_ours(__builtin_return_address(0)) ? fault(named(#name)) : 0;                 \
    if (error > 0) {                                                                            \
      errno = error;                                                                            \
      return -1;                                                                                \
    }                                                                                           \
    return next arguments;                                                                      \
  }

REPLACE(int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags))
REPLACE(int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
REPLACE(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
REPLACE(int, epoll_create1, (int flags), (flags))
REPLACE(int, epoll_ctl, (int epfd, int op, int fd, struct epoll_event *e), (epfd, op, fd, e))
REPLACE(int, epoll_wait, (int epfd, struct epoll_event *e, int n, int ms), (epfd, e, n, ms))
REPLACE(int, getpeername, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
REPLACE(int, getsockname, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
REPLACE(int, getsockopt, (int fd, int level, int name, void *v, socklen_t *n), (fd, level, name, v, n))
REPLACE(int, listen, (int fd, int backlog), (fd, backlog))
REPLACE(int, pipe2, (int fds[2], int flags), (fds, flags))
REPLACE(int, setsockopt, (int fd, int level, int name, const void *v, socklen_t n), (fd, level, name, v, n))
REPLACE(int, shutdown, (int fd, int how), (fd, how))
REPLACE(int, socket, (int domain, int type, int protocol), (domain, type, protocol))

int fcntl(int fd, int command, ...) {
  static int (*next)(int, int, ...);
  if (next == NULL) next = (int (*)(int, int, ...))real("fcntl");
  va_list rest;
  va_start(rest, command);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  int error = fault(named("fcntl"));
  if (error > 0) {
    errno = error;
    return -1;
  }
  return next(fd, command, argument);
}

int open64(const char *path, int flags, ...) {
  static int (*next)(const char *, int, ...);
  if (next == NULL) next = (int (*)(const char *, int, ...))real("open64");
  va_list rest;
  va_start(rest, flags);
  int mode = va_arg(rest, int);
  va_end(rest);
  int error = is_ours(__builtin_return_address(0)) ? fault(named("open64")) : 0;
  if (error > 0) {
    errno = error;
    return -1;
  }
  return next(path, flags, mode);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
  static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (next == NULL) next = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))real("pthread_create");
  int error = fault(named("pthread_create"));
  return error > 0 ? error : next(thread, attributes, start, argument);
}

/* A thread that blocks SIGSYS would be killed by it. */
int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
  static int (*next)(int, const sigset_t *, sigset_t *);
  if (next == NULL) next = (int (*)(int, const sigset_t *, sigset_t *))real("pthread_sigmask");
  sigset_t without;
  if (set != NULL && how != SIG_UNBLOCK) {
    without = *set;
    sigdelset(&without, SIGSYS);
    set = &without;
  }
  return next(how, set, old);
}

static char race_host[64];

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **list) {
  static int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  if (next == NULL)
    next = (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))real("getaddrinfo");
  int error = fault(named("getaddrinfo"));
  if (error > 1000) return 1000 - error; /* one of EAI_..., which are negative */
  if (error > 0) {
    errno = error;
    return EAI_SYSTEM;
  }
  if (host == NULL || race_host[0] == 0 || strcmp(host, race_host) != 0) return next(host, service, hints, list);
  struct addrinfo *second;
  if ((error = next("127.0.0.2", service, hints, list)) != 0) return error;
  if ((error = next("127.0.0.1", service, hints, &second)) != 0) return error;
  struct addrinfo *last = *list;
  while (last->ai_next != NULL) last = last->ai_next;
  last->ai_next = second;
  return 0;
}

/* Calls without libc. */

long fault_syscall(long number, long a, long b, long c, long d, long e, long f);
extern const char fault_after_syscall[];

__asm__(".text\n.globl fault_syscall\n.hidden fault_syscall\n.type fault_syscall, @function\n"
        "fault_syscall:\n"
        "  mov %rdi, %rax\n  mov %rsi, %rdi\n  mov %rdx, %rsi\n  mov %rcx, %rdx\n"
        "  mov %r8, %r10\n  mov %r9, %r8\n  mov 8(%rsp), %r9\n"
        "  syscall\n"
        ".globl fault_after_syscall\n.hidden fault_after_syscall\n"
        "fault_after_syscall:\n  ret\n");

static void on_sigsys(int signal, siginfo_t *info, void *context) {
  (void)signal;
  int saved = errno;
  greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
  int index = info->si_syscall == SYS_recvfrom ? 0 : info->si_syscall == SYS_sendto ? 1 : 2;
  int error = fault(index);
  if (error > 0) {
    r[REG_RAX] = -error;
  } else {
    long size = error == SHORT && index != 2 && r[REG_RDX] > 1 ? 1 : r[REG_RDX];
    r[REG_RAX] = fault_syscall(info->si_syscall, r[REG_RDI], r[REG_RSI], size, r[REG_R10], r[REG_R8], r[REG_R9]);
  }
  errno = saved;
}

static const char *install(void) {
  struct sigaction action = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO | SA_RESTART };
  sigfillset(&action.sa_mask);
  sigdelset(&action.sa_mask, SIGINT); /* Ctrl-C during a wait */
  if (sigaction(SIGSYS, &action, NULL) != 0) return "no sigaction";
  unsigned long passage = (unsigned long)fault_after_syscall;
  unsigned low = (unsigned)passage, high = (unsigned)(passage >> 32);
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
  struct sock_filter filter[] = {
    LOAD(arch),
    IF(AUDIT_ARCH_X86_64, 0, 9),
    LOAD(nr),
    IF(SYS_recvfrom, 2, 0),
    IF(SYS_sendto, 1, 0),
    IF(SYS_ppoll, 0, 5),
    LOAD(instruction_pointer),
    IF(low, 0, 2),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
    IF(high, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = { .len = sizeof filter / sizeof *filter, .filter = filter };
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return "no PR_SET_NO_NEW_PRIVS";
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0) return "no seccomp";
  return "yes";
}

/* Commands. */

static int descriptors(void) {
  DIR *folder = opendir("/proc/self/fd");
  int count = -3; /* the folder's own, "." and ".." */
  while (folder != NULL && readdir(folder) != NULL) count++;
  if (folder != NULL) closedir(folder);
  return count;
}

/* The time of day. */

static long later;

int clock_gettime(clockid_t clock, struct timespec *at) {
  static int (*next)(clockid_t, struct timespec *);
  if (next == NULL) next = (int (*)(clockid_t, struct timespec *))real("clock_gettime");
  int result = next(clock, at);
  if (result == 0 && clock == CLOCK_REALTIME) at->tv_sec += later;
  return result;
}

time_t time(time_t *into) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (into != NULL) *into = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}

static int other_side = -1;

static int fork_with_a_channel(void) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) abort();
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  fflush(NULL);
  int child = fork();
  if (child == 0) alarm(20);
  if (other_side >= 0) close(other_side);
  other_side = ends[child == 0];
  close(ends[child != 0]);
  return child;
}

static int wait_for_any(void) {
  int status;
  while (wait(&status) < 0)
    if (errno != EINTR) abort();
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static char *command(const char *text) {
  static char answer[1024];
  char name[32], word[32];
  if (strcmp(text, "install") == 0) return strcpy(answer, install());
  if (strcmp(text, "fds") == 0) {
    snprintf(answer, sizeof answer, "%d", descriptors());
  } else if (sscanf(text, "clock %ld", &later) == 1) {
    strcpy(answer, "yes");
  } else if (strcmp(text, "fork") == 0) {
    snprintf(answer, sizeof answer, "%d", fork_with_a_channel());
  } else if (strcmp(text, "tell") == 0) {
    strcpy(answer, send(other_side, ".", 1, MSG_NOSIGNAL) == 1 ? "yes" : "gone");
  } else if (strcmp(text, "hear") == 0) {
    char byte;
    strcpy(answer, read(other_side, &byte, 1) == 1 ? "yes" : "gone");
  } else if (strcmp(text, "wait") == 0) {
    snprintf(answer, sizeof answer, "%d", wait_for_any());
  } else if (sscanf(text, "race %63s", race_host) == 1) {
    strcpy(answer, "yes");
  } else if (sscanf(text, "arm %31s %d %31s", name, &nth, word) == 3) {
    chosen = named(name);
    what = strcmp(word, "short") == 0 ? SHORT : atoi(word);
    memset(calls, 0, sizeof calls);
    hits = 0;
    if (chosen == DESCRIPTORS && nth == 0) end_descriptors();
    __atomic_store_n(&armed, 1, __ATOMIC_SEQ_CST);
    strcpy(answer, "yes");
  } else if (strcmp(text, "pause") == 0 || strcmp(text, "go on") == 0) {
    __atomic_store_n(&armed, text[0] == 'g', __ATOMIC_SEQ_CST);
    strcpy(answer, "yes");
  } else if (strcmp(text, "stop") == 0) {
    __atomic_store_n(&armed, 0, __ATOMIC_SEQ_CST);
    setrlimit(RLIMIT_NOFILE, &before);
    char *end = answer + sprintf(answer, "hits=%d", hits);
    for (int i = 0; i < COUNT; i++) end += sprintf(end, " %s=%d", names[i], calls[i]);
  } else {
    return NULL;
  }
  return answer;
}

char *getenv(const char *name) {
  static char *(*next)(const char *);
  if (strncmp(name, "fault:", 6) == 0) return command(name + 6);
  if (next == NULL) next = (char *(*)(const char *))real("getenv");
  return next(name);
}

/* Processes that this one starts are not tested. */
__attribute__((constructor)) static void begin(void) {
  unsetenv("LD_PRELOAD");
  getrlimit(RLIMIT_NOFILE, &before);
}

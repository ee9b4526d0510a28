#define _GNU_SOURCE
#include "CSystem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int varve_die_with_parent(void) {
  return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 ? 0 : errno;
}

int varve_spawn_close_from(posix_spawn_file_actions_t *actions, int first) {
  return posix_spawn_file_actions_addclosefrom_np(actions, first);
}

short varve_spawn_flags(int new_session) {
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  return flags | (new_session ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP);
}

int varve_pidfd_open(int pid) {
#ifdef SYS_pidfd_open
  long descriptor = syscall(SYS_pidfd_open, pid, 0);
  return descriptor >= 0 ? (int)descriptor : -errno;
#else
  (void)pid;
  return -ENOSYS;
#endif
}

int varve_pipe(int descriptors[2]) { return pipe2(descriptors, O_CLOEXEC) == 0 ? 0 : errno; }

int64_t varve_write_quietly(int fd, const void *bytes, size_t length) {
  sigset_t broken, before, pending;
  sigemptyset(&broken);
  sigaddset(&broken, SIGPIPE);
  sigpending(&pending);
  int was_pending = sigismember(&pending, SIGPIPE);
  if (pthread_sigmask(SIG_BLOCK, &broken, &before) != 0) return -EINVAL;
  ssize_t written;
  do {
    written = write(fd, bytes, length);
  } while (written < 0 && errno == EINTR);
  int code = errno;
  if (written < 0 && code == EPIPE && !was_pending) {
    struct timespec none = {0, 0};
    while (sigtimedwait(&broken, NULL, &none) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return written < 0 ? -(int64_t)code : (int64_t)written;
}

void varve_error_text(int code, char *buffer, size_t length) {
  const char *text = strerrordesc_np(code);
  if (length == 0) return;
  strncpy(buffer, text != NULL ? text : "unknown error", length - 1);
  buffer[length - 1] = 0;
}

// As the kernel has it: glibc declares it only since 2.41.
struct varve_sched_attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

int varve_request_slice(int thread, uint64_t nanoseconds) {
  struct varve_sched_attributes wanted = {.size = sizeof wanted};
  if (syscall(SYS_sched_getattr, thread, &wanted, sizeof wanted, 0) != 0) return errno;
  if (wanted.policy != SCHED_OTHER) return 0;
  wanted.flags = 0;
  wanted.runtime = nanoseconds;
  return syscall(SYS_sched_setattr, thread, &wanted, 0) == 0 ? 0 : errno;
}

void varve_request_slice_everywhere(uint64_t nanoseconds) {
  DIR *threads = opendir("/proc/self/task");
  if (threads == NULL) return;
  struct dirent *entry;
  while ((entry = readdir(threads)) != NULL) {
    int thread = atoi(entry->d_name);
    if (thread > 0) (void)varve_request_slice(thread, nanoseconds);
  }
  closedir(threads);
}

#define _GNU_SOURCE
#include "StorageCalls.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

int64_t varve_pwrite2(int fd, const void *first, size_t first_length, const void *second,
                      size_t second_length, int64_t offset) {
  struct iovec parts[2] = {
      {.iov_base = (void *)first, .iov_len = first_length},
      {.iov_base = (void *)second, .iov_len = second_length},
  };
  ssize_t written;
  do {
    written = pwritev(fd, parts, second_length > 0 ? 2 : 1, (off_t)offset);
  } while (written < 0 && errno == EINTR);
  return written < 0 ? -(int64_t)errno : (int64_t)written;
}

int64_t varve_pread(int fd, void *buffer, size_t length, int64_t offset) {
  ssize_t count;
  do {
    count = pread(fd, buffer, length, (off_t)offset);
  } while (count < 0 && errno == EINTR);
  return count < 0 ? -(int64_t)errno : (int64_t)count;
}

int varve_fallocate(int fd, int64_t offset, int64_t length) {
  int result;
  do {
    result = fallocate(fd, 0, (off_t)offset, (off_t)length);
  } while (result < 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

int varve_write_zeros(int fd, int64_t offset, int64_t length) {
  static const char zeros[1 << 16];
  while (length > 0) {
    size_t piece = length < (int64_t)sizeof zeros ? (size_t)length : sizeof zeros;
    ssize_t count = pwrite(fd, zeros, piece, (off_t)offset);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return count < 0 ? errno : EIO;
    offset += count;
    length -= count;
  }
  return 0;
}

int varve_fdatasync(int fd) { return fdatasync(fd) == 0 ? 0 : errno; }

int varve_lock_exclusively(int fd) { return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno; }

int varve_sync_directory(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  int result = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return result;
}

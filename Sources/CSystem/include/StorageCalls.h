#pragma once

#include <stddef.h>
#include <stdint.h>

/// Writes two buffers one after the other at `offset` with one call; the second may be empty.
/// Returns the number of bytes written, which may be short, or the negated value of errno.
int64_t varve_pwrite2(int fd, const void *first, size_t first_length, const void *second,
                      size_t second_length, int64_t offset);

/// Reads up to `length` bytes at `offset`. Returns the number read, or the negated value of errno.
int64_t varve_pread(int fd, void *buffer, size_t length, int64_t offset);

/// Reserves zeroed space and extends the file over it. Returns 0, or the value of errno.
int varve_fallocate(int fd, int64_t offset, int64_t length);

/// Writes zeros over a range of the file. Returns 0, or the value of errno.
int varve_write_zeros(int fd, int64_t offset, int64_t length);

/// Forces the file's data, and what is needed to read it back, to the disk. Returns 0, or the value of errno.
int varve_fdatasync(int fd);

/// Locks the file for this open description without waiting. Returns 0, or the value of errno (EWOULDBLOCK: held).
int varve_lock_exclusively(int fd);

/// Forces a directory's entries to the disk. Returns 0, or the value of errno.
int varve_sync_directory(const char *path);

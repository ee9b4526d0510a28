#pragma once

#include "StorageCalls.h"

#include <spawn.h>

/// Asks the kernel to send SIGKILL to this process when the thread that started it ends.
/// Returns 0, or the value of errno.
int varve_die_with_parent(void);

/// Makes a spawned child close every descriptor from `first` on. Returns 0 or an error number.
int varve_spawn_close_from(posix_spawn_file_actions_t *actions, int first);

/// The attributes of a spawned child: signals reset, and a session or a process group of its own.
short varve_spawn_flags(int new_session);

/// A descriptor that becomes readable when the process ends; closed on exec. Or the negated value of errno.
int varve_pidfd_open(int pid);

/// Makes a pipe whose ends are closed on exec. Returns 0, or the value of errno.
int varve_pipe(int descriptors[2]);

/// Writes without a SIGPIPE when nobody reads. Returns the number of bytes, or the negated value of errno.
int64_t varve_write_quietly(int fd, const void *bytes, size_t length);

/// Copies what the system says about an error number, shortened to the buffer; safe on any thread.
void varve_error_text(int code, char *buffer, size_t length);

/// Asks for time slices of this length for a thread of this process, 0 being the calling one; 0 ns is the system's own
/// length. Kernels before 6.12 take no notice. Returns 0, or the value of errno.
int varve_request_slice(int thread, uint64_t nanoseconds);

/// The same for every thread that there is; those that they start later inherit it.
void varve_request_slice_everywhere(uint64_t nanoseconds);

#pragma once

#include "StorageCalls.h"

#include <spawn.h>

/// Asks the kernel to send SIGKILL to this process when the thread that started it ends.
/// Returns 0, or the value of errno.
int varve_die_with_parent(void);

/// Makes a spawned child close every descriptor from `first` on. Returns 0 or an error number.
int varve_spawn_close_from(posix_spawn_file_actions_t *actions, int first);

#pragma once

#include "StorageCalls.h"

/// Asks the kernel to send SIGKILL to this process when the thread that started it ends.
/// Returns 0, or the value of errno.
int varve_die_with_parent(void);

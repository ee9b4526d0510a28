// The one wrapper of the C library nng: nothing else in Varve imports CNNG.
//
// Invariants
// - Every socket has a finite receive limit before it starts, and every queue a limit in messages and in bytes.
// - A message has one owner at a time; it is delivered at most once, and dropped messages are counted.
// - No call waits for nng without a deadline: `close()` leaves a wedged socket to a detached thread.
// - Messages of one connection arrive in the order in which they were sent, with gaps where some were dropped.

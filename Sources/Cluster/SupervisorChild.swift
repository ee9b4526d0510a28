import CSystem
import Foundation

/// Ties a node to its parent: it ends with the process that started it, even if that one was killed.
///
/// To be called on a thread that lives as long as the node does: the kernel forgets the wish with its thread.
/// The kernel then kills this process whatever it does, paused included. `VARVE_PARENT_PID`, which the
/// ``Supervisor`` sets, closes the race in which the parent ends before the kernel is asked; without that
/// variable the node was started by hand and lives on its own.
public func dieWithParent() {
    guard let text = ProcessInfo.processInfo.environment["VARVE_PARENT_PID"], let parent = Int32(text) else {
        return
    }
    let failure = varve_die_with_parent()
    if failure != 0 || getppid() != parent { exit(1) }
}

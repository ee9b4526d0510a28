import Glibc

/// Children of this program, started from its own file.
enum Processes {
    /// Starts this program again with the arguments; returns its process id.
    static func spawn(_ arguments: [String]) -> pid_t {
        var pid: pid_t = 0
        let all = [CommandLine.arguments[0]] + arguments
        var pointers: [UnsafeMutablePointer<CChar>?] = all.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        let code = posix_spawn(&pid, "/proc/self/exe", nil, nil, &pointers, environ)
        if code != 0 {
            Console.complain("cannot start a peer: \(String(cString: strerror(code)))")
            exit(1)
        }
        return pid
    }

    /// Kills a child; false if it had ended by itself before.
    @discardableResult
    static func kill(_ pid: pid_t) -> Bool {
        guard pid > 0 else { return false }
        Glibc.kill(pid, SIGKILL)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
        return status & 0x7F == SIGKILL
    }

    /// Stays until the parent is gone: a child must not outlive a soak that was stopped.
    static func waitForParentsEnd() {
        let parent = getppid()
        while getppid() == parent && parent != 1 { usleep(50_000) }
    }

    /// A TCP port of the loopback that is free now.
    static func freePort() -> Int {
        // Below the ports of outgoing connections: one of those may take a port while its peer is dead, and the peer
        // that follows could not bind it.
        while true {
            let port = Int.random(in: 20_000..<32_768)
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(descriptor) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            address.sin_port = UInt16(port).bigEndian
            let length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let bound = withUnsafeMutableBytes(of: &address) { bytes in
                bind(descriptor, bytes.assumingMemoryBound(to: sockaddr.self).baseAddress, length) == 0
            }
            if bound { return port }
        }
    }

    /// Resident memory of this process in KiB.
    static var residentKiB: Int {
        guard let file = fopen("/proc/self/statm", "r") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 128)
        guard fgets(&line, 128, file) != nil else { return 0 }
        let text = line.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        let fields = text.split(separator: " ")
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * 4 : 0
    }

    /// Processor time of this process in microseconds, all threads.
    static var processorMicroseconds: Double {
        var usage = rusage()
        getrusage(Int32(RUSAGE_SELF.rawValue), &usage)
        let seconds = Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        return seconds * 1e6 + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
    }

    static var nowMilliseconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
    }
}

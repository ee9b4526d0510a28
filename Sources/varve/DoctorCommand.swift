import ArgumentParser
import Foundation

/// `varve doctor`: what this machine lacks, and the command that mends it.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Say what this machine lacks for building, running and drilling, and how to mend it.",
        discussion: "Example: varve doctor --json. Exit code 0 if all essentials are there, otherwise 1.")

    @Option(help: "The folder whose free space and fsync are tried; the present one by default.")
    var directory = "."

    @Flag(help: "Print one JSON object on standard output.") var json = false

    func run() throws {
        let findings = Doctor(directory: directory).examine()
        let ok = Doctor.isFit(findings)
        if json {
            try printJSON(Report(ok: ok, checks: findings))
        } else {
            print(Self.table(findings, colours: Terminal(descriptor: STDOUT_FILENO).colours))
        }
        if !ok {
            let names = findings.filter { $0.essential && $0.state == .missing }.map(\.name)
            throw CommandFailure(
                "this machine lacks \(names.joined(separator: ", ")): run the commands that 'varve doctor' "
                    + "prints under MEND", exitCode: CommandFailure.failed)
        }
    }

    struct Report: Encodable {
        let ok: Bool
        let checks: [DoctorFinding]
    }

    static func table(_ findings: [DoctorFinding], colours: Bool) -> String {
        var table = TextTable([.init("CHECK"), .init("STATE"), .init("WHAT"), .init("MEND")])
        for finding in findings {
            let optional = finding.essential || finding.state == .ok ? "" : " (optional)"
            table.add([
                finding.name, finding.state.rawValue + optional, finding.detail, finding.mend ?? "",
            ])
        }
        return table.render(colours: colours)
    }
}

/// One thing that was looked at.
struct DoctorFinding: Sendable, Hashable, Encodable {
    enum State: String, Sendable, Hashable, Encodable { case ok, missing }

    let name: String
    let state: State
    /// Without it training can't run; the rest serves builds, drills or speed.
    let essential: Bool
    let detail: String
    /// The command that mends it; nil if there is nothing to mend.
    let mend: String?
    /// What was measured, where something was: bytes, descriptors, or milliseconds as `unit` says.
    var value: Double?
    var unit: String?
}

/// Looks at the machine. It writes nothing but one small file, which it removes.
struct Doctor {
    let directory: String
    var environment = ProcessInfo.processInfo.environment

    /// Each node holds sockets to its peers and segment files; this is enough for a hundred nodes.
    static let descriptorsNeeded: UInt64 = 1024
    static let freeBytesNeeded = 1_073_741_824.0

    static func isFit(_ findings: [DoctorFinding]) -> Bool {
        findings.allSatisfy { !$0.essential || $0.state == .ok }
    }

    func examine() -> [DoctorFinding] {
        libraries() + [dataSet(), freeSpace(), fsyncLatency(), descriptors()] + tools()
    }

    private func libraries() -> [DoctorFinding] {
        // The names that the loader looks for; the packages bring headers as well, for a build from source.
        let wanted = [
            ("nng", "libnng.so", "libnng-dev"), ("openblas", "libopenblas.so", "libopenblas-dev"),
            ("xxhash", "libxxhash.so", "libxxhash-dev"), ("sqlite3", "libsqlite3.so", "libsqlite3-dev"),
            ("zlib", "libz.so", "zlib1g-dev"), ("zstd", "libzstd.so", "libzstd-dev"),
        ]
        return wanted.map { name, file, package in
            let loaded = [file, file + ".0", file + ".1"].first { candidate in
                guard let handle = dlopen(candidate, RTLD_LAZY | RTLD_LOCAL) else { return false }
                dlclose(handle)
                return true
            }
            return DoctorFinding(
                name: "library \(name)", state: loaded == nil ? .missing : .ok, essential: true,
                detail: loaded ?? "\(file) can't be loaded",
                mend: loaded == nil ? "sudo apt-get install -y \(package)" : nil)
        }
    }

    private func dataSet() -> DoctorFinding {
        let folder = "/usr/share/datasets/fashion-mnist"
        let stems = ["train-images", "train-labels", "t10k-images", "t10k-labels"]
        let missing = stems.filter { stem in
            let name = "\(folder)/\(stem)-idx\(stem.hasSuffix("images") ? 3 : 1)-ubyte"
            return access(name, R_OK) != 0 && access(name + ".gz", R_OK) != 0
        }
        return DoctorFinding(
            name: "data set fashion-mnist", state: missing.isEmpty ? .ok : .missing, essential: true,
            detail: missing.isEmpty ? folder : "\(folder) lacks \(missing.joined(separator: ", "))",
            mend: missing.isEmpty ? nil : "sudo apt-get install -y dataset-fashion-mnist")
    }

    private func freeSpace() -> DoctorFinding {
        var information = statvfs()
        guard statvfs(directory, &information) == 0 else {
            return DoctorFinding(
                name: "free space", state: .missing, essential: true,
                detail: "\(directory): \(String(cString: strerror(errno)))",
                mend: "mkdir -p \(shellQuoted(directory))")
        }
        let free = Double(information.f_bavail) * Double(information.f_frsize)
        let enough = free >= Self.freeBytesNeeded
        return DoctorFinding(
            name: "free space", state: enough ? .ok : .missing, essential: true,
            detail: "\(humanBytes(Int(free))) free in \(directory)",
            mend: enough ? nil : "use --run-dir on a disk with 1 GiB free", value: free, unit: "bytes")
    }

    /// The median of a few small synced appends: what a checkpoint waits for at the least.
    private func fsyncLatency() -> DoctorFinding {
        func refused(_ what: String) -> DoctorFinding {
            DoctorFinding(
                name: "fsync", state: .missing, essential: true,
                detail: "can't \(what) in \(directory): \(String(cString: strerror(errno)))",
                mend: "use --run-dir in a folder that you may write to")
        }
        let path = "\(directory)/.varve-doctor-\(getpid())"
        let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return refused("create a file") }
        defer {
            close(descriptor)
            unlink(path)
        }
        let block = [UInt8](repeating: 0x5A, count: 4096)
        var spans: [Double] = []
        let clock = ContinuousClock()
        let deadline = clock.now + .seconds(2)
        while spans.count < 15, spans.isEmpty || clock.now < deadline {
            let start = clock.now
            guard write(descriptor, block, block.count) == block.count else { return refused("write") }
            guard fdatasync(descriptor) == 0 else { return refused("sync a file") }
            let (seconds, attoseconds) = (clock.now - start).components
            spans.append(Double(seconds) * 1000 + Double(attoseconds) / 1e15)
        }
        let median = spans.sorted()[spans.count / 2]
        return DoctorFinding(
            name: "fsync", state: .ok, essential: true,
            detail: "4 KiB reach the disk in \(fixed(median, decimals: 2)) ms in \(directory)", mend: nil,
            value: median, unit: "ms")
    }

    private func descriptors() -> DoctorFinding {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return DoctorFinding(
                name: "open files", state: .missing, essential: true,
                detail: "the limit can't be read: \(String(cString: strerror(errno)))", mend: "ulimit -n 4096"
            )
        }
        let enough = limit.rlim_cur >= Self.descriptorsNeeded
        let shown = limit.rlim_cur == rlim_t.max ? "unlimited" : "\(limit.rlim_cur)"
        return DoctorFinding(
            name: "open files", state: enough ? .ok : .missing, essential: true,
            detail: "\(shown) a process; \(Self.descriptorsNeeded) are needed",
            mend: enough ? nil : "ulimit -n 4096", value: Double(limit.rlim_cur), unit: "files")
    }

    private func tools() -> [DoctorFinding] {
        let wanted = [
            ("ip", "iproute2", "cuts nodes off in network namespaces"),
            ("nft", "nftables", "drops packets in one direction"),
            ("tc", "iproute2", "makes links slow"),
            ("strace", "strace", "makes the n-th system call fail"),
            ("fiu-run", "fiu-utils", "makes disks fail and fill up"),
        ]
        return wanted.map { tool, package, purpose in
            let found = path(of: tool)
            return DoctorFinding(
                name: "drill tool \(tool)", state: found == nil ? .missing : .ok, essential: false,
                detail: found ?? purpose, mend: found == nil ? "sudo apt-get install -y \(package)" : nil)
        }
    }

    /// Where a program is; the administrator's folders are looked into even if PATH leaves them out.
    private func path(of tool: String) -> String? {
        let folders = (environment["PATH"] ?? "").split(separator: ":").map(String.init)
        return (folders + ["/usr/local/sbin", "/usr/sbin", "/sbin"]).map { "\($0)/\(tool)" }
            .first { access($0, X_OK) == 0 }
    }

    private func shellQuoted(_ text: String) -> String {
        "'" + text.replacingOccurrences(of: "'", with: "'\\''") + "'"
    }
}

import Foundation

/// Damage to what stores have written.
///
/// Old bytes are hurt while the store runs, as disks do. What changes the newest bytes or whole files happens while the
/// store is dead; until it is done, `varve up` is stopped so that it can't start the store anew.
struct DiskInjector {
    let scene: Scene

    func folder(of node: String) -> String { "\(scene.cluster.directory)/stores/\(node)" }

    /// Records that will be needed for a while: damage to what is about to be pruned hurts nobody, and isn't mended.
    private func needed(on node: String) -> [SegmentFiles.Record] {
        let records = SegmentFiles(folder: folder(of: node)).records
        let checkpoint = scene.run.drill.configuration.checkpoint
        let horizon = UInt64(checkpoint.keep.last * max(checkpoint.every, 1) / 2)
        let newest = records.map(\.step).max() ?? 0
        return records.filter { $0.step + horizon >= newest }
    }

    // MARK: While the store runs

    /// Flips bits in the payload of one record; with several stores in the same record of each.
    func flipBits(_ nodes: [String], count: Int, record kind: RecordKind) throws(NotInjected) -> Injection {
        var perNode: [[SegmentFiles.Record]] = []
        for node in nodes {
            let found = needed(on: node).filter { $0.kind == kind && $0.payloadBytes > 0 }
            guard !found.isEmpty else { throw NotInjected("\(node) holds no \(kind.rawValue) yet") }
            perNode.append(found)
        }
        // What every one of them holds.
        let common = perNode[0].filter { first in
            perNode.allSatisfy { $0.contains { $0.shard == first.shard && $0.step == first.step } }
        }
        guard !common.isEmpty else { throw NotInjected("these stores hold no \(kind.rawValue) in common") }
        let (chosen, bits) = scene.run.state.withLock { state in
            let chosen = common[state.random.below(common.count)]
            let bits = (0..<count).map { _ in state.random.below(chosen.payloadBytes * 8) }
            return (chosen, bits)
        }
        for (node, records) in zip(nodes, perNode) {
            let mine = records.filter { $0.shard == chosen.shard && $0.step == chosen.step }
            for record in mine {
                for bit in bits {
                    let place =
                        record.offset + SegmentFiles.Record.headerBytes
                        + min(bit / 8, record.payloadBytes - 1)
                    guard let old = SegmentFiles.read(record.path, at: place, count: 1) else {
                        throw NotInjected("can't read \(record.path) of \(node)")
                    }
                    try SegmentFiles.overwrite(record.path, at: place, with: [old[0] ^ (1 << UInt8(bit % 8))])
                }
            }
        }
        return Injection(
            nodes: nodes,
            sentence:
                "\(bits.count) bit\(bits.count == 1 ? "" : "s") flipped in \(chosen.name), on \(nodes.joined(separator: ", "))",
            heal: nil)
    }

    /// Writes one record's bytes over another, as a disk does that misses its place.
    func misdirect(_ nodes: [String]) throws(NotInjected) -> Injection {
        var sentences: [String] = []
        for node in nodes {
            let deltas = needed(on: node).filter { $0.kind == .delta }
            // Whole frames, so that the stray one is sound in itself and known by its place alone.
            let pairs = deltas.indices.dropLast().filter {
                deltas[$0 + 1].frameBytes >= deltas[$0].frameBytes
            }
            guard !pairs.isEmpty else { throw NotInjected("\(node) holds too few deltas yet") }
            let index = scene.run.state.withLock { pairs[$0.random.below(pairs.count)] }
            let (source, target) = (deltas[index], deltas[index + 1])
            guard let bytes = SegmentFiles.read(source.path, at: source.offset, count: source.frameBytes)
            else {
                throw NotInjected("can't read \(source.path)")
            }
            try SegmentFiles.overwrite(target.path, at: target.offset, with: bytes)
            sentences.append("\(source.name) was written over \(target.name) on \(node)")
        }
        return Injection(nodes: nodes, sentence: sentences.joined(separator: "; "), heal: nil)
    }

    // MARK: While the store is dead

    /// Kills the stores, changes their folders, and lets `varve up` start them again.
    func whileDead(
        _ nodes: [String], _ change: () throws(NotInjected) -> Void
    ) throws(NotInjected) {
        let processes = ProcessInjector(scene: scene)
        let found = try processes.find(nodes)
        let up = scene.cluster.up
        guard up.signal(SIGSTOP) else { throw NotInjected("varve up has ended") }
        defer { up.signal(SIGCONT) }
        try processes.wait(
            milliseconds: 10_000, until: { ProcessTable.entry(up.pid)?.state == "T" },
            else: "varve up could not be stopped")
        for (_, entry) in found { kill(entry.pid, SIGKILL) }
        try processes.wait(
            milliseconds: 10_000, until: { !found.contains { ProcessTable.isAlive($0.entry) } },
            else: "\(nodes.joined(separator: ", ")) did not end")
        try change()
    }

    /// Leaves the beginning of a record at the end of the newest segment, as a crash within a write does.
    func tearTail(_ nodes: [String]) throws(NotInjected) -> Injection {
        var sentences: [String] = []
        try whileDead(nodes) { () throws(NotInjected) in
            for node in nodes {
                guard let path = SegmentFiles(folder: folder(of: node)).paths.last else {
                    throw NotInjected("\(node) has no segment yet")
                }
                let (records, end) = SegmentFiles.records(of: path)
                guard let last = records.last,
                    let bytes = SegmentFiles.read(path, at: last.offset, count: last.frameBytes)
                else { throw NotInjected("\(node) has no record in its newest segment yet") }
                let length = scene.run.state.withLock { 100 + $0.random.below(max(1, last.frameBytes - 108)) }
                try SegmentFiles.overwrite(path, at: end, with: Array(bytes.prefix(length)))
                sentences.append(
                    "\(length) bytes of an unfinished record at \(end) of \(node)'s newest segment")
            }
        }
        return Injection(nodes: nodes, sentence: sentences.joined(separator: "; "), heal: nil)
    }

    /// Takes away a segment from between the others, or the oldest of two.
    func removeSegment(_ nodes: [String]) throws(NotInjected) -> Injection {
        var sentences: [String] = []
        try whileDead(nodes) { () throws(NotInjected) in
            for node in nodes {
                let paths = SegmentFiles(folder: folder(of: node)).paths
                guard paths.count >= 2 else {
                    throw NotInjected(
                        "\(node) has \(paths.count) segment; one that is not the newest is needed")
                }
                let path = paths[(paths.count - 1) / 2]
                guard unlink(path) == 0 else { throw NotInjected("can't remove \(path)") }
                let name = path.split(separator: "/").last.map(String.init) ?? path
                sentences.append("\(name), one of \(paths.count), is gone from \(node)")
            }
        }
        return Injection(nodes: nodes, sentence: sentences.joined(separator: "; "), heal: nil)
    }

    func wipe(_ nodes: [String]) throws(NotInjected) -> Injection {
        var files = 0
        try whileDead(nodes) { () throws(NotInjected) in
            for node in nodes {
                let folder = folder(of: node)
                for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
                    do { try FileManager.default.removeItem(atPath: "\(folder)/\(name)") } catch {
                        throw NotInjected("can't remove \(folder)/\(name)")
                    }
                    files += 1
                }
            }
        }
        guard files > 0 else { throw NotInjected("there was nothing to wipe") }
        return Injection(
            nodes: nodes, sentence: "\(files) files were removed from \(nodes.joined(separator: ", "))",
            heal: nil)
    }

    /// Puts back what the disk held some time ago.
    func goBack(_ nodes: [String], ageMilliseconds: Int) throws(NotInjected) -> Injection {
        let processes = ProcessInjector(scene: scene)
        let copies = nodes.map { "\(scene.run.scratch)/stale-\($0)-\(UInt64.random(in: 0...UInt64.max))" }
        defer { for copy in copies { try? FileManager.default.removeItem(atPath: copy) } }
        let pause = try processes.pause(nodes)
        var failed: String?
        for (node, copy) in zip(nodes, copies) {
            do { try FileManager.default.copyItem(atPath: folder(of: node), toPath: copy) } catch {
                failed = "can't copy the folder of \(node)"
            }
        }
        _ = pause.heal?()
        if let failed { throw NotInjected(failed) }
        let limit = ContinuousClock.now + .milliseconds(ageMilliseconds)
        while ContinuousClock.now < limit, !scene.run.settings.isCancelled() { usleep(2000) }
        try whileDead(nodes) { () throws(NotInjected) in
            for (node, copy) in zip(nodes, copies) {
                do { try Self.replaceFiles(of: folder(of: node), with: copy) } catch {
                    throw NotInjected("can't put the old copy of \(node) in place: \(error)")
                }
            }
        }
        return Injection(
            nodes: nodes,
            sentence:
                "\(nodes.joined(separator: ", ")) came back with the disk of \(ageMilliseconds) ms before",
            heal: nil)
    }

    /// The folder itself stays: it may be a file system of its own.
    private static func replaceFiles(of folder: String, with copy: String) throws {
        let files = FileManager.default
        for name in try files.contentsOfDirectory(atPath: folder) {
            try files.removeItem(atPath: "\(folder)/\(name)")
        }
        for name in try files.contentsOfDirectory(atPath: copy) {
            try files.copyItem(atPath: "\(copy)/\(name)", toPath: "\(folder)/\(name)")
        }
    }

    /// Moves each store onto a small file system in memory that is nearly full.
    func fill(_ nodes: [String]) throws(NotInjected) -> Injection {
        let room = 512 << 10
        var mounted: [String] = []
        do throws(NotInjected) {
            try whileDead(nodes) { () throws(NotInjected) in
                for node in nodes {
                    let folder = folder(of: node)
                    let used = size(of: folder)
                    if scene.run.mounts.withLock({ $0.contains(folder) }) {
                        // It was full before, and is on a file system of its own since then.
                        guard Self.resize(folder, to: "\(used + room)") else {
                            throw NotInjected("can't make the file system of \(node) smaller")
                        }
                        mounted.append(folder)
                        continue
                    }
                    let aside = folder + ".before"
                    guard rename(folder, aside) == 0, mkdir(folder, 0o755) == 0 else {
                        throw NotInjected("can't move \(folder)")
                    }
                    let options = "size=\(used + room)"
                    guard mount("varve-drill", folder, "tmpfs", 0, options) == 0 else {
                        let why = String(cString: strerror(errno))
                        rmdir(folder)
                        rename(aside, folder)
                        throw NotInjected("can't mount a small file system: \(why)")
                    }
                    mounted.append(folder)
                    scene.run.mounts.withLock { $0.append(folder) }
                    for name in (try? FileManager.default.contentsOfDirectory(atPath: aside)) ?? [] {
                        do {
                            try FileManager.default.copyItem(
                                atPath: "\(aside)/\(name)", toPath: "\(folder)/\(name)")
                        } catch { throw NotInjected("can't copy \(name) of \(node)") }
                    }
                    try? FileManager.default.removeItem(atPath: aside)
                }
            }
            for folder in mounted { try Self.fillUp(folder) }
        } catch {
            Self.enlarge(mounted)
            throw error
        }
        let folders = mounted
        return Injection(
            nodes: nodes, sentence: "the disk of \(nodes.joined(separator: ", ")) is full"
        ) {
            Self.enlarge(folders)
                ? nil : "the disk of \(nodes.joined(separator: ", ")) could not be made larger"
        }
    }

    @discardableResult
    private static func enlarge(_ folders: [String]) -> Bool {
        folders.allSatisfy { folder in
            unlink("\(folder)/\(filler)")
            return resize(folder, to: "1g")
        }
    }

    private static func resize(_ folder: String, to size: String) -> Bool {
        mount("varve-drill", folder, "tmpfs", UInt(MS_REMOUNT), "size=\(size)") == 0
    }

    /// Writes until the file system refuses: from here on so does every write of the store that needs room.
    private static func fillUp(_ folder: String) throws(NotInjected) {
        let descriptor = open(folder + "/\(filler)", O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw NotInjected("can't fill \(folder): \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        let page = [UInt8](repeating: 0xA5, count: 4096)
        while write(descriptor, page, page.count) > 0 {}
        guard errno == ENOSPC else {
            throw NotInjected("can't fill \(folder): \(String(cString: strerror(errno)))")
        }
    }

    private static let filler = "filler-of-a-drill"

    private func size(of folder: String) -> Int {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.reduce(64 << 10) { sum, name in
            var facts = stat()
            return stat("\(folder)/\(name)", &facts) == 0 ? sum + Int(facts.st_blocks) * 512 : sum
        }
    }
}

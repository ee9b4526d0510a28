import Foundation

/// Faults at system calls, by strace on the running program: a sync that fails or takes its time, a death within a call.
struct SystemCallInjector {
    let scene: Scene

    private static func calls(of moment: KillMoment) -> String {
        switch moment {
        case .fsync: "fsync,fdatasync"
        case .sending: "sendmsg,sendto,write,writev"
        case .receiving: "recvmsg,recvfrom,read,readv"
        }
    }

    func kill(_ nodes: [String], during moment: KillMoment) throws(NotInjected) -> Injection {
        let found = try ProcessInjector(scene: scene).find(nodes)
        let calls = Self.calls(of: moment)
        // The third: the first two may end waits that began before the tracer came.
        let when = moment == .fsync ? 1 : 3
        let tracers = try attach(found, "inject=\(calls):signal=SIGKILL:when=\(when)", trace: calls)
        defer { for tracer in tracers { tracer.child.end(graceMilliseconds: 1000) } }
        try ProcessInjector(scene: scene).wait(
            milliseconds: 10_000, until: { !found.contains { ProcessTable.isAlive($0.entry) } },
            else: "\(nodes.joined(separator: ", ")) made no such call (\(calls))")
        let names = found.map { "\($0.node) (process \($0.entry.pid))" }.joined(separator: ", ")
        return Injection(
            nodes: nodes, sentence: "SIGKILL within a call of \(calls) ended \(names)", heal: nil)
    }

    func failSync(_ nodes: [String]) throws(NotInjected) -> Injection {
        try during(nodes, "inject=fsync,fdatasync:error=EIO", "every sync fails with EIO", mark: "(INJECTED)")
    }

    func slowSync(_ nodes: [String], milliseconds: Int) throws(NotInjected) -> Injection {
        try during(
            nodes, "inject=fsync,fdatasync:delay_enter=\(milliseconds * 1000)",
            "every sync takes \(milliseconds) ms longer", mark: "(DELAYED)")
    }

    private struct Tracer {
        let child: Subprocess
        let output: String
    }

    private func attach(
        _ found: [(node: String, entry: ProcessTable.Entry)], _ injection: String, trace: String
    ) throws(NotInjected) -> [Tracer] {
        var tracers: [Tracer] = []
        for (node, entry) in found {
            let output = "\(scene.run.scratch)/strace-\(node)-\(UInt64.random(in: 0...UInt64.max))"
            do throws(Subprocess.Failure) {
                let child = try Subprocess(
                    "strace",
                    [
                        "-f", "-qq", "-p", "\(entry.pid)", "-e", "trace=\(trace)", "-e", injection, "-o",
                        output,
                    ],
                    output: output + ".out", errors: output + ".err")
                tracers.append(Tracer(child: child, output: output))
            } catch {
                for tracer in tracers { tracer.child.end(graceMilliseconds: 1000) }
                throw NotInjected(error.sentence)
            }
        }
        return tracers
    }

    private func during(
        _ nodes: [String], _ injection: String, _ what: String, mark: String
    ) throws(NotInjected) -> Injection {
        let found = try ProcessInjector(scene: scene).find(nodes)
        let tracers = try attach(found, injection, trace: "fsync,fdatasync")
        do {
            try ProcessInjector(scene: scene).wait(
                milliseconds: 10_000,
                until: {
                    tracers.allSatisfy {
                        ((try? String(contentsOfFile: $0.output, encoding: .utf8)) ?? "").contains(mark)
                    }
                }, else: "no sync was caught: " + words(tracers))
        } catch {
            for tracer in tracers { tracer.child.end(graceMilliseconds: 1000) }
            throw error
        }
        let names = found.map { "\($0.node) (process \($0.entry.pid))" }.joined(separator: ", ")
        return Injection(nodes: nodes, sentence: "\(names): \(what)") {
            for tracer in tracers { tracer.child.end(graceMilliseconds: 2000) }
            return nil
        }
    }

    private func words(_ tracers: [Tracer]) -> String {
        let texts = tracers.map { (try? String(contentsOfFile: $0.output + ".err", encoding: .utf8)) ?? "" }
        return texts.joined(separator: " ").split(separator: "\n").last.map(String.init)
            ?? "strace said nothing"
    }
}

import ArgumentParser
import CZstd
import LCCheckpoint
import Tensors

/// `varve bench codec`: the codec in memory, against memory bandwidth and zstd, in one run.
struct CodecBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "codec",
        abstract: "Time the codec in memory against memcpy, a subtraction loop and zstd.",
        discussion: """
            Every round times everything once, in turn, and medians are over rounds, because machines are noisy. Encoding \
            includes the update of the reconstruction, the statistics, the digest of the reconstruction and the frame's \
            checksums; decoding includes the frame's checksum, the addition to the state, and the digest that proves it.
            The floor is what encoding can't do without: one pass over both states to find the largest delta, one that \
            changes the reconstruction, and its digest, without a symbol being found or coded. Auto is the search and the \
            coding by --codec auto at the error that the plain encoding came to. Arithmetic is a loop in \
            registers: what a second core adds where no memory is read.

            Without files the deltas are the bench's own: 'training' has heavy tails, 'gaussian' is dense. With --base and --target \
            they are those of your model: its Float32 tensors in order of their names, as one vector.

            EXAMPLE: varve bench codec --json
            EXAMPLE: varve bench codec --base step0.safetensors --target step1.safetensors
            """)
    @Option(help: "Elements of the bench's own states; 8388608 by default.") var elements: Int?
    @Option(help: "A model file (safetensors), to time its delta to --target.") var base: String?
    @Option(help: "The model a step later: same tensors, same shapes.") var target: String?
    @Option(help: "Rounds.") var rounds = 9
    @Option(help: "Bits of promotion: 1 to 16, or all.") var bits = "3"
    @Option(help: ArgumentHelp("Write a report there (HTML, JSON, CSV).", valueName: "dir")) var report:
        String?
    @Flag(help: "Print one JSON object.") var json = false

    func run() throws {
        guard (1 << 12...1 << 28).contains(elements ?? ownElements), (1...1000).contains(rounds) else {
            throw CommandFailure(
                "--elements is 4096 to 268435456, --rounds 1 to 1000", exitCode: CommandFailure.usage)
        }
        let bits = try promotionBits(bits)
        if let report { try makeFolder(report) }
        let deltas = try self.deltas()
        var trials: [CodecTrial] = []
        for delta in deltas {
            let bench = CodecTrial(delta, bits: bits)
            for _ in 0..<rounds { bench.round() }
            trials.append(bench)
        }
        if let report { try self.report(trials, command: command).write(to: report) }
        let cases = trials.map { json ? $0.object : $0.text }
        let exact = ExactTrial(BenchDelta(deltas[0], first: 1 << 22))
        print(
            json
                ? jsonObject([
                    ("elements", "\(deltas[0].base.count)"), ("rounds", "\(rounds)"),
                    ("bits", bits.map { "\($0)" } ?? jsonQuoted("all")),
                    ("workloads", "[\(cases.joined(separator: ", "))]"), ("exact", exact.object),
                ]) : (cases + [exact.text]).joined(separator: "\n"))
    }

    private var ownElements: Int { 1 << 23 }

    /// What measures the same again.
    private var command: String {
        var words = ["varve bench codec --rounds \(rounds) --bits \(bits)"]
        if let base, let target { words.append("--base \(base) --target \(target)") }
        if let elements { words.append("--elements \(elements)") }
        return words.joined(separator: " ")
    }

    /// What is to be timed, at least one.
    private func deltas() throws -> [BenchDelta] {
        switch (base, target) {
        case (nil, nil):
            return Workload.allCases.map { BenchDelta($0, elements: elements ?? ownElements) }
        case (let base?, let target?) where elements == nil:
            return [try BenchDelta(base: base, target: target)]
        default:
            throw CommandFailure(
                "--base and --target go together, and without --elements", exitCode: CommandFailure.usage)
        }
    }
}

/// Seconds of each round, by what was timed.
struct Timings {
    private(set) var seconds: [String: [Double]] = [:]

    mutating func time(_ name: String, _ body: () -> Void) {
        let clock = ContinuousClock()
        let elapsed = clock.measure(body)
        seconds[name, default: []].append(elapsed / .seconds(1))
    }

    func median(_ name: String) -> Double {
        let sorted = (seconds[name] ?? []).sorted()
        guard !sorted.isEmpty else { return .nan }
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }

    /// The median over rounds of one time over another.
    func ratio(_ one: String, _ two: String) -> Double {
        let ratios = zip(seconds[one] ?? [], seconds[two] ?? []).map { $0 / $1 }.sorted()
        return ratios.isEmpty ? .nan : ratios[ratios.count / 2]
    }
}

/// Sizes of exact deltas by several lossless coders.
private struct ExactTrial {
    private var figures: [(key: String, value: Double)] = []

    init(_ delta: BenchDelta) {
        let (base, target) = (delta.base, delta.target)
        let raw = Double(4 * base.count)
        let words = zip(base, target).map { $0.bitPattern ^ $1.bitPattern }
        let xored = words.withUnsafeBytes { Array($0) }
        let planes = (0..<4).flatMap { plane in
            words.map { UInt8(truncatingIfNeeded: $0 >> UInt32(8 * plane)) }
        }
        var work = base
        var encoder = FrameEncoder(
            kind: .delta, step: 1,
            baseDigest: base.withUnsafeBufferPointer {
                StateDigest.of(sections: [$0], names: ["p"], metadata: [])
            })
        target.withUnsafeBufferPointer { target in
            work.withUnsafeMutableBufferPointer { work in
                try? encoder.add(
                    section: "p", target: target, reconstruction: work, settings: CodecSettings(kind: .exact))
            }
        }
        figures = [
            ("exact_ratio", raw / Double(encoder.finish().bytes.count)),
            ("zstd_3_raw_ratio", raw / ExactTrial.zstd(target.withUnsafeBytes { Array($0) })),
            ("zstd_3_xor_ratio", raw / ExactTrial.zstd(xored)),
            ("zstd_3_xor_planes_ratio", raw / ExactTrial.zstd(planes)),
        ]
    }

    private static func zstd(_ bytes: [UInt8]) -> Double {
        var packed = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
        return Double(ZSTD_compress(&packed, packed.count, bytes, bytes.count, 3))
    }

    var object: String { jsonObject(figures.map { ($0.key, jsonNumber($0.value)) }) }
    var text: String {
        (["exact:"] + figures.map { "  \($0.key) \($0.value)" }).joined(separator: "\n")
    }
}

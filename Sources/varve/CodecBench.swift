import ArgumentParser
import CBenchLoops
import CZstd
import LCCheckpoint
import Tensors
import Training

/// `varve bench codec`: the codec in memory, against memory bandwidth and zstd, in one run.
struct CodecBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "codec",
        abstract: "Time the codec in memory against memcpy, a subtraction loop and zstd.",
        discussion: """
            Every round times everything once, in turn, and medians are over rounds, because machines are noisy. Encoding \
            includes the update of the reconstruction, the statistics, the digest of the reconstruction and the frame's \
            checksums; decoding includes the frame's checksum, the addition to the state, and the digest that proves it.

            Example:
              varve bench codec --json
            """)
    @Option(help: "Elements of the state.") var elements = 1 << 23
    @Option(help: "Rounds.") var rounds = 9
    @Option(help: "Bits of promotion.") var bits = 3
    @Flag(help: "Print one JSON object.") var json = false

    func run() throws {
        guard (1 << 12...1 << 28).contains(elements), (1...1000).contains(rounds), (1...16).contains(bits)
        else {
            throw CommandFailure(
                "--elements is 4096 to 268435456, --rounds 1 to 1000, --bits 1 to 16",
                exitCode: CommandFailure.usage)
        }
        var cases: [String] = []
        for workload in Workload.allCases {
            let bench = CodecTrial(workload, elements: elements, bits: bits)
            for _ in 0..<rounds { bench.round() }
            cases.append(json ? bench.object : bench.text)
        }
        let exact = ExactTrial(elements: min(elements, 1 << 22))
        print(
            json
                ? jsonObject([
                    ("elements", "\(elements)"), ("rounds", "\(rounds)"), ("bits", "\(bits)"),
                    ("workloads", "[\(cases.joined(separator: ", "))]"), ("exact", exact.object),
                ]) : (cases + [exact.text]).joined(separator: "\n"))
    }
}

/// How the deltas of a step are spread.
enum Workload: String, CaseIterable {
    /// Heavy tails, as training has: few deltas reach the top exponents.
    case training
    /// Every element draws from one Gaussian: the densest that promotion meets.
    case gaussian
}

/// The floats that a bench is run on: the same in each run.
struct BenchNumbers {
    var generator = SplitMix64(seed: 1)
    /// About a standard normal variable: twelve uniform ones.
    mutating func normal() -> Float {
        let (one, two) = (generator.next(), generator.next())
        var sum: Float = -6
        for shift in stride(from: UInt64(0), to: 60, by: 10) {
            sum += Float((one >> shift) & 1023) / 1024 + Float((two >> shift) & 1023) / 1024
        }
        return sum
    }

    /// A state, and the one after a step.
    static func states(_ workload: Workload, elements: Int) -> (base: [Float], target: [Float]) {
        var numbers = BenchNumbers()
        let base = (0..<elements).map { _ in numbers.normal() * 0.05 }
        let target = base.map { value in
            let unit = numbers.normal()
            // The product of three is heavy-tailed, as a gradient of activations is.
            let step = workload == .gaussian ? unit : unit * numbers.normal() * numbers.normal()
            return value + 1e-3 * step
        }
        return (base, target)
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

/// One workload, timed round after round.
private final class CodecTrial {
    let workload: Workload
    let bits: Int
    var timings = Timings()
    private let base: [Float]
    private let target: [Float]
    private var work: [Float]
    private var loop: [Float]
    private var packed: [UInt8]
    private var statistics: FrameStatistics?
    private var zstdBytes: [Int32: Int] = [:]

    init(_ workload: Workload, elements: Int, bits: Int) {
        self.workload = workload
        self.bits = bits
        (base, target) = BenchNumbers.states(workload, elements: elements)
        work = base
        loop = base
        packed = [UInt8](repeating: 0, count: ZSTD_compressBound(4 * elements))
    }

    private func digest(_ state: [Float]) -> Digest {
        state.withUnsafeBufferPointer { StateDigest.of(sections: [$0], names: ["p"], metadata: []) }
    }

    private func encode(threads: Int) -> EncodedFrame {
        var encoder = FrameEncoder(kind: .delta, step: 1, baseDigest: known, threads: threads)
        let failure: CodecError? = target.withUnsafeBufferPointer { target in
            work.withUnsafeMutableBufferPointer { work in
                do throws(CodecError) {
                    try encoder.add(
                        section: "p", target: target, reconstruction: work,
                        settings: CodecSettings(kind: .lc(bits: bits)))
                    return nil
                } catch {
                    return error
                }
            }
        }
        precondition(failure == nil, "the bench's own state can be encoded")
        return encoder.finish()
    }

    private func decode(_ bytes: [UInt8], threads: Int) {
        let failure: CodecError? = bytes.withUnsafeBytes { bytes in
            work.withUnsafeMutableBufferPointer { work in
                do throws(CodecError) {
                    try Frame(parsing: bytes).apply(to: [work], expectingBase: known, threads: threads)
                    return nil
                } catch {
                    return error
                }
            }
        }
        precondition(failure == nil, "the bench's own frame can be decoded")
    }

    private lazy var known = digest(base)

    private func reset() {
        base.withUnsafeBufferPointer { base in
            _ = work.withUnsafeMutableBufferPointer { $0.update(fromContentsOf: base) }
        }
    }

    func round() {
        let count = base.count
        timings.time("memcpy") {
            loop.withUnsafeMutableBytes { loop in target.withUnsafeBytes { loop.copyMemory(from: $0) } }
        }
        timings.time("subtract") { bench_subtract(target, base, &loop, count) }
        timings.time("subtract_swift") {
            loop.withUnsafeMutableBufferPointer { loop in
                target.withUnsafeBufferPointer { target in
                    base.withUnsafeBufferPointer { base in
                        for index in 0..<count { loop[index] = target[index] - base[index] }
                    }
                }
            }
        }
        for threads in [1, 2] {
            reset()
            var frame: EncodedFrame?
            timings.time("encode_\(threads)") { frame = encode(threads: threads) }
            guard let frame else { continue }
            statistics = frame.statistics
            reset()
            timings.time("decode_\(threads)") { decode(frame.bytes, threads: threads) }
        }
        for level: Int32 in [1, 3] {
            timings.time("zstd_\(level)") {
                zstdBytes[level] = ZSTD_compress(&packed, packed.count, target, 4 * count, level)
            }
        }
    }

    /// The subtraction in C or in Swift, whichever is faster.
    private var subtraction: String {
        timings.median("subtract") <= timings.median("subtract_swift") ? "subtract" : "subtract_swift"
    }

    private var figures: [(key: String, value: Double)] {
        let count = Double(base.count)
        var figures: [(String, Double)] = [
            ("entropy_bits", statistics?.entropyBits ?? .nan), ("ratio", statistics?.ratio ?? .nan),
            ("bits_per_element", 8 * Double(statistics?.encodedBytes ?? 0) / count),
        ]
        for name in timings.seconds.keys.sorted() {
            figures.append(("\(name)_ns_per_element", timings.median(name) * 1e9 / count))
        }
        figures += [
            ("encode_vs_subtract", timings.ratio(subtraction, "encode_1")),
            ("decode_vs_subtract", timings.ratio(subtraction, "decode_1")),
            ("encode_vs_memcpy", timings.ratio("memcpy", "encode_1")),
            ("decode_vs_memcpy", timings.ratio("memcpy", "decode_1")),
            ("encode_vs_zstd_1", timings.ratio("zstd_1", "encode_1")),
            ("encode_vs_zstd_3", timings.ratio("zstd_3", "encode_1")),
            ("encode_two_cores", timings.ratio("encode_1", "encode_2")),
            ("decode_two_cores", timings.ratio("decode_1", "decode_2")),
            ("zstd_1_ratio", 4 * count / Double(zstdBytes[1] ?? 0)),
            ("zstd_3_ratio", 4 * count / Double(zstdBytes[3] ?? 0)),
        ]
        return figures
    }

    var object: String {
        jsonObject(
            [("workload", jsonQuoted(workload.rawValue))] + figures.map { ($0.key, jsonNumber($0.value)) })
    }

    var text: String {
        (["\(workload.rawValue):"] + figures.map { "  \($0.key) \($0.value)" }).joined(separator: "\n")
    }
}

/// Sizes of exact deltas by several lossless coders.
private struct ExactTrial {
    private var figures: [(key: String, value: Double)] = []

    init(elements: Int) {
        let (base, target) = BenchNumbers.states(.training, elements: elements)
        let raw = Double(4 * elements)
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

import CBenchLoops
import CZstd
import Dispatch
import LCCheckpoint
import Synchronization
import Tensors

/// One delta, timed round after round.
final class CodecTrial {
    let delta: BenchDelta
    /// Nil for every bucket.
    let bits: Int?
    var timings = Timings()
    private var base: [Float] { delta.base }
    private var target: [Float] { delta.target }
    private var work: [Float]
    private var loop: [Float]
    private var packed: [UInt8]
    private var statistics: FrameStatistics?
    private var zstdBytes: [Int32: Int] = [:]
    /// Of `auto` at the error of the plain encoding.
    private var autoBytes = 0

    init(_ delta: BenchDelta, bits: Int?) {
        self.delta = delta
        self.bits = bits
        work = delta.base
        loop = delta.base
        packed = [UInt8](repeating: 0, count: ZSTD_compressBound(4 * delta.base.count))
    }

    private func digest(_ state: [Float]) -> Digest {
        state.withUnsafeBufferPointer { StateDigest.of(sections: [$0], names: ["p"], metadata: []) }
    }

    private func encode(_ kind: CodecSettings.Kind, threads: Int) -> EncodedFrame {
        var encoder = FrameEncoder(kind: .delta, step: 1, baseDigest: known, threads: threads)
        let failure: CodecError? = target.withUnsafeBufferPointer { target in
            work.withUnsafeMutableBufferPointer { work in
                do throws(CodecError) {
                    try encoder.add(
                        section: "p", target: target, reconstruction: work,
                        settings: CodecSettings(kind: kind))
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

    /// What encoding can't do without.
    private func passTwice(threads: Int) {
        let largest = Mutex<Float>(0)
        let piece = 1 << 16
        inParts(threads) { target, base, range in
            let own = bench_largest(target, base, range.count)
            largest.withLock { $0 = max($0, own) }
        }
        let step = largest.withLock { $0 } / 2
        work.withUnsafeMutableBufferPointer { work in
            inParts(threads) { target, _, range in
                guard let out = work.baseAddress else { return }
                for start in stride(from: 0, to: range.count, by: piece) {
                    let count = min(piece, range.count - start)
                    bench_advance(target + start, out + range.lowerBound + start, count, step)
                    withExtendedLifetime(
                        Digest.of(
                            UnsafeRawBufferPointer(start: out + range.lowerBound + start, count: 4 * count))
                    ) {}
                }
            }
        }
    }

    /// Calls `body` with equal parts of both states at once.
    private func inParts(
        _ threads: Int, _ body: (UnsafePointer<Float>, UnsafePointer<Float>, Range<Int>) -> Void
    ) {
        let count = count
        target.withUnsafeBufferPointer { target in
            base.withUnsafeBufferPointer { base in
                guard let target = target.baseAddress, let base = base.baseAddress else { return }
                withoutActuallyEscaping(body) { body in
                    // The parts are apart, and each is one thread's.
                    nonisolated(unsafe) let (target, base, body) = (target, base, body)
                    DispatchQueue.concurrentPerform(iterations: threads) { part in
                        let range = (part * count / threads)..<((part + 1) * count / threads)
                        body(target + range.lowerBound, base + range.lowerBound, range)
                    }
                }
            }
        }
    }

    private var count: Int { base.count }

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
        timings.time("subtract_2") {
            loop.withUnsafeMutableBufferPointer { loop in
                inParts(2) { target, base, range in
                    guard let out = loop.baseAddress else { return }
                    bench_subtract(target, base, out + range.lowerBound, range.count)
                }
            }
        }
        for threads in [1, 2] {
            timings.time("arithmetic_\(threads)") {
                inParts(threads) { _, _, range in withExtendedLifetime(bench_multiply(range.count)) {} }
            }
            reset()
            timings.time("floor_\(threads)") { passTwice(threads: threads) }
            reset()
            var frame: EncodedFrame?
            timings.time("encode_\(threads)") { frame = encode(.lc(bits: bits), threads: threads) }
            guard let frame else { continue }
            statistics = frame.statistics
            reset()
            timings.time("decode_\(threads)") { decode(frame.bytes, threads: threads) }
        }
        if let error = statistics?.relativeError, error > 0, error < 1 {
            reset()
            timings.time("auto_1") { autoBytes = encode(.auto(error: error), threads: 1).bytes.count }
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

    /// Every figure, ratios as medians over the rounds.
    var figures: [(key: String, value: Double)] {
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
            ("auto_vs_encode_time", timings.ratio("auto_1", "encode_1")),
            ("auto_vs_encode_bytes", Double(autoBytes) / Double(statistics?.encodedBytes ?? 0)),
            ("encode_two_cores", timings.ratio("encode_1", "encode_2")),
            ("decode_two_cores", timings.ratio("decode_1", "decode_2")),
            ("floor_vs_zstd_1", timings.ratio("zstd_1", "floor_1")),
            ("floor_two_cores", timings.ratio("floor_1", "floor_2")),
            ("subtract_two_cores", timings.ratio("subtract", "subtract_2")),
            ("arithmetic_two_cores", timings.ratio("arithmetic_1", "arithmetic_2")),
            ("zstd_1_ratio", 4 * count / Double(zstdBytes[1] ?? 0)),
            ("zstd_3_ratio", 4 * count / Double(zstdBytes[3] ?? 0)),
        ]
        return figures
    }

    var name: String { delta.name }

    var object: String {
        jsonObject(
            [("workload", jsonQuoted(delta.name))] + figures.map { ($0.key, jsonNumber($0.value)) })
    }

    var text: String {
        (["\(delta.name):"] + figures.map { "  \($0.key) \($0.value)" }).joined(separator: "\n")
    }
}

import ModelCodec
import Training

/// What the codec's bench is run on: a state, and the one after a step.
struct BenchDelta {
    let name: String
    /// As many as in `target`, at least one.
    let base: [Float]
    let target: [Float]

    /// One of the bench's own.
    init(_ workload: Workload, elements: Int) {
        name = workload.rawValue
        var numbers = BenchNumbers()
        let base = (0..<elements).map { _ in numbers.normal() * 0.05 }
        self.base = base
        target = base.map { value in
            let unit = numbers.normal()
            // The product of three is heavy-tailed, as a gradient of activations is.
            let step = workload == .gaussian ? unit : unit * numbers.normal() * numbers.normal()
            return value + 1e-3 * step
        }
    }

    /// The Float32 tensors of two model files, in order of their names, as one vector.
    init(base: String, target: String) throws {
        let (old, new) = (try CodecModel(base), try CodecModel(target))
        if let difference = old.difference(from: new) {
            throw CommandFailure(
                "\(target) isn't a state of the same model as \(base): \(difference)",
                exitCode: CommandFailure.malformed)
        }
        name = "files"
        self.base = BenchDelta.floats(old)
        self.target = BenchDelta.floats(new)
        guard !self.base.isEmpty else {
            throw CommandFailure("\(base) holds no Float32 numbers", exitCode: CommandFailure.malformed)
        }
    }

    /// The first elements of another.
    init(_ delta: BenchDelta, first count: Int) {
        name = delta.name
        base = Array(delta.base.prefix(count))
        target = Array(delta.target.prefix(count))
    }

    private static func floats(_ model: CodecModel) -> [Float] {
        model.tensors.filter { $0.dtype == .float32 }.flatMap { member in
            let bytes = UnsafeRawBufferPointer(model.bytes(member))
            return (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }
}

/// How the bench's own deltas are spread.
enum Workload: String, CaseIterable {
    /// Heavy tails, as training has: few deltas reach the top exponents.
    case training
    /// Every element draws from one Gaussian: the densest that promotion meets.
    case gaussian
}

/// The floats that a bench makes: the same in each run.
private struct BenchNumbers {
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
}

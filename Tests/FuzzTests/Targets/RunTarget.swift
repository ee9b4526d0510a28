@testable import LCCheckpoint
@testable import ModelCodec
@testable import Tensors

/// A run file: all its steps, and single tensors of the last one, which must come to the same.
enum RunTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let asIs = read(bytes)
        let frames = UnsafeRawBufferPointer(rebasing: bytes.dropFirst(RunFile.header.count))
        let mended = RunFile.header + FrameRepair.chain(frames, limits: ChainTarget.limits)
        return mended.withUnsafeBytes { read($0) } || asIs
    }

    private static func read(_ bytes: UnsafeRawBufferPointer) -> Bool {
        do throws(TensorFileError) {
            let ranges = try RunFile.frames(bytes, file: "a").prefix(8)
            let frames = ranges.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }
            var run = RunReader(file: "a", limits: ChainTarget.limits)
            for frame in frames { try run.read(frame) }
            guard let state = run.state else { return false }
            demand(try state.digest(threads: 1) == run.digest, "the model isn't the frame's state")
            for member in state.tensors.prefix(3) { slice(member, of: state, frames) }
            return true
        } catch {
            return false
        }
    }

    private static func slice(
        _ member: CodecModel.Member, of state: CodecModel, _ frames: [UnsafeRawBufferPointer]
    ) {
        let slice = try? ChainSlice(
            of: member.name.value, count: frames.count, limits: ChainTarget.limits, frames: { frames[$0] })
        demand(
            slice.map { state.bytes(member).elementsEqual($0.bytes) } == true,
            "a tensor alone differs from the whole")
    }

    static var seeds: [[UInt8]] {
        let settings: [CodecSettings] = [
            CodecSettings(kind: .lc(bits: 2)), CodecSettings(kind: .auto(error: 1e-2)),
            CodecSettings(kind: .exact),
        ]
        return settings.flatMap { settings in CodecScope.allCases.map { pack(settings, $0) } }
    }

    /// Three steps of a model of some types.
    private static func pack(_ settings: CodecSettings, _ scope: CodecScope) -> [UInt8] {
        var numbers = FuzzNumbers(5)
        var weights = (0..<90).map { _ in numbers.unit() }
        var file = RunFile.header
        var frame: EncodedFrame?
        do {
            var state = try model(weights)
            for step in 0..<3 {
                for index in weights.indices { weights[index] += 0.05 * numbers.unit() }
                frame = try ModelFrames.encode(
                    try model(weights), onto: &state, base: frame?.stateDigest, inheriting: frame?.context,
                    step: step, scope: scope, settings: settings, chained: true, threads: 1)
                file += frame?.bytes ?? []
            }
        } catch {
            fatalError("a plain model can't be packed: \(error)")
        }
        return file
    }

    private static func model(_ weights: [Float]) throws -> CodecModel {
        let halves = weights.flatMap { value -> [UInt8] in
            let bits = UInt16(truncatingIfNeeded: value.bitPattern >> 16)
            return [UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8)]
        }
        let tensors = [
            Tensor(name: "count", dtype: .int64, shape: Shape([]).unsafelyUnwrapped, bytes: [UInt8](0..<8)),
            Tensor(
                name: "half", dtype: .bfloat16, shape: Shape([weights.count]).unsafelyUnwrapped, bytes: halves
            ),
            Tensor(name: "weight", shape: Shape([weights.count / 9, 9]).unsafelyUnwrapped, floats: weights),
        ]
        let known = tensors.compactMap(\.self)
        let header = try Safetensors.header(
            of: known.map { ($0.name, $0.dtype, $0.shape) }, metadata: ["a": "b"])
        let bytes = known.reduce(header) { $0 + $1.bytes }
        guard let memory = FileMemory(zeros: bytes.count) else { fatalError("no memory") }
        memory.bytes.copyBytes(from: bytes)
        return try CodecModel(memory, path: "a")
    }
}

import Foundation
import ModelCodec
import Tensors
import Testing

@testable import LCCheckpoint

extension GoldenStateTests {
    /// Three models of which each moves, in the same few places, what the one before it moved: so the last one's symbols
    /// are told from those before.
    private func models() throws -> [TensorCollection] {
        var numbers = Numbers(state: 44)
        var w = (0..<280).map { _ in Float(Int(numbers.next() % 2001) - 1000) / 1024 }
        let moves = (0..<280).map { _ in numbers.next() % 6 == 0 ? Float(Int(numbers.next() % 3) - 1) / 4 : 0
        }
        var b = PlainState.Section(name: [], format: 2, bytes: Array(repeating: 0, count: 60))
        for element in 0..<30 { b.set(element, Float(element) / 16) }
        return try (0..<3).map { step in
            if step > 0 { for element in w.indices { w[element] += moves[element] } }
            b.set(step, Float(step) - 1)
            let mask = (0..<9).map { UInt8($0 == step ? 1 : 0) }
            let n = [UInt8(step), 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, UInt8(127 - step)]
            let all: [(TensorName, DType, [Int], [UInt8])] = [
                ("w", .float32, [14, 20], w.withUnsafeBytes { Array($0) }), ("b", .bfloat16, [30], b.bytes),
                ("mask", .bool, [3, 3], mask), ("n", .int64, [2], n),
            ]
            return try TensorCollection(
                tensors: all.map { name, type, extents, bytes in
                    let shape = try #require(Shape(extents))
                    return try #require(Tensor(name: name, dtype: type, shape: shape, bytes: bytes))
                }, metadata: ["größe": "klein", "format": "pt"])
        }
    }

    /// What `varve codec pack --bits 3` writes.
    func writeRun() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/varve-golden-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var (run, states) = (RunFile.header, [UInt8]())
        var state: CodecModel?
        var context: FrameContext?
        var digest: Digest?
        for (step, collection) in try models().enumerated() {
            let path = "\(folder)/\(step).safetensors"
            try Safetensors.write(collection, to: path)
            let live = try CodecModel(path)
            var own = state ?? live
            let frame = try ModelFrames.encode(
                live, onto: &own, base: digest, inheriting: context, step: step, scope: .model,
                settings: CodecSettings(kind: .lc(bits: 3)), chained: true, threads: 1)
            (state, context, digest) = (own, frame.context, frame.stateDigest)
            run += frame.bytes
            for section in frame.context.sections {
                let tensor = try #require(own.tensors.first { $0.name == TensorName(section.name) })
                states += Array(own.bytes(tensor))
            }
        }
        try GoldenFiles.save(run, "pack.run")
        try GoldenFiles.save(states, "pack.state")
    }
}

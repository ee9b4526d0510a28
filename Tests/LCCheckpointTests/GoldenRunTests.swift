import Foundation
import ModelCodec
import Tensors
import Testing

@testable import LCCheckpoint

/// Golden run files, and run files that must be refused. `VARVE_WRITE_GOLDEN=1` writes the files that aren't there.
@Suite struct GoldenRunTests {
    private static let isWriting = ProcessInfo.processInfo.environment["VARVE_WRITE_GOLDEN"] != nil

    /// With a scope for each tensor, and with a text that differs from step to step.
    @Test(arguments: ["pack", "pack-tensors", "pack-texts"])
    func goodRunsAreReadByBothDecoders(_ name: String) throws {
        let scope: CodecScope = name == "pack-tensors" ? .tensor : .model
        let counts = name == "pack-texts"
        if GoldenRunTests.isWriting { try write(name, scope, counts: counts) }
        let file = try GoldenFiles.read(name + ".run")
        let states = try GoldenFiles.read(name + ".state")
        let plain = try PlainRun.states(file)
        #expect(plain.count == 3)
        #expect(plain.flatMap { $0.sections.flatMap(\.bytes) } == states)
        let table = try PlainRun.table(plain[2].metadata)
        #expect(
            table.tensors == [
                PlainRun.Tensor(name: "b", type: "BF16", extents: [30]),
                PlainRun.Tensor(name: "mask", type: "BOOL", extents: [3, 3]),
                PlainRun.Tensor(name: "n", type: "I64", extents: [2]),
                PlainRun.Tensor(name: "w", type: "F32", extents: [14, 20]),
            ])
        #expect(table.texts == [["format", "pt"], ["größe", "klein"]] + (counts ? [["step", "2"]] : []))
        try read(file) { step, frame, model in
            // The floating tensors, together or each for itself, and all others.
            #expect(frame.header.scopes.count == (scope == .model ? 2 : 3))
            #expect(step == 2 || !frame.header.needsPrevious)
            for section in plain[step].sections {
                let name = TensorName(String(decoding: section.name, as: UTF8.self))
                let tensor = try #require(model.tensors.first { $0.name == name })
                #expect(Array(model.bytes(tensor)) == section.bytes)
            }
            var texts = ["format": "pt", "größe": "klein"]
            if counts { texts["step"] = "\(step)" }
            #expect(model.metadata == texts)
        }
    }

    /// A text that changes takes little more than its own bytes.
    @Test func textsThatChangeTakeLittle() throws {
        let sizes = try ["pack", "pack-texts"].map { name in
            let file = try GoldenFiles.read(name + ".run")
            return try file.withUnsafeBytes { try RunFile.frames($0, file: name) }.map(\.count)
        }
        #expect(sizes[1][1] <= sizes[0][1] + 4 && sizes[1][2] <= sizes[0][2] + 4, "\(sizes)")
    }

    /// What was packed with few changes that come again uses the symbols of the frame before.
    @Test func theModelsLastFrameNeedsPreviousSymbols() throws {
        var needs: [Bool] = []
        try read(try GoldenFiles.read("pack.run")) { _, frame, _ in needs.append(frame.header.needsPrevious) }
        #expect(needs == [false, false, true])
    }

    /// Run files that must be refused, and a part of the sentence that says why.
    private static let bad = [
        ("bad-magic", "is no run file of version 1"), ("bad-version", "is no run file of version 1"),
        ("bad-header", "is no run file of version 1"), ("bad-empty", "holds no step"),
        ("bad-cut", "cut short or damaged at step 2"), ("bad-rest", "cut short or damaged at step 3"),
        ("bad-length", "cut short or damaged at step 0"), ("bad-order", "its frame 1 is a delta of step 2"),
        ("bad-base", "its frame 1 is a base of step 0"), ("bad-start", "its frame 0 is a delta of step 1"),
        ("bad-missing", "its frame 1 is a delta of step 2"), ("bad-frame", "its checksum doesn't hold"),
    ]

    @Test(arguments: bad) func badRunsAreRefused(_ name: String, sentence: String) throws {
        if GoldenRunTests.isWriting {
            try GoldenFiles.save(try damaged(name, try GoldenFiles.read("pack.run")), name + ".run")
        }
        let file = try GoldenFiles.read(name + ".run")
        let error = #expect(throws: TensorFileError.self) { try read(file) { _, _, _ in } }
        #expect(error?.kind == .malformed)
        #expect(error?.message.contains(sentence) == true, "\(error?.message ?? "no error")")
    }

    private func damaged(_ name: String, _ good: [UInt8]) throws -> [UInt8] {
        let frames = try good.withUnsafeBytes { try RunFile.frames($0, file: name) }.map { good[$0] }
        switch name {
        case "bad-magic": return [0x57] + good.dropFirst()
        case "bad-version": return good[..<4] + [2] + good[5...]
        case "bad-header": return good[..<15] + [1] + good[16...]
        case "bad-empty": return RunFile.header
        case "bad-cut": return good.dropLast()
        case "bad-rest": return good + [0]
        // Of no bytes: where the next frame begins would be here again.
        case "bad-length": return good[..<22] + [UInt8](repeating: 0, count: 6) + good[28...]
        case "bad-order": return RunFile.header + frames[0] + frames[2] + frames[1]
        case "bad-base": return RunFile.header + frames[0] + frames[0]
        case "bad-start": return RunFile.header + frames[1]
        case "bad-missing": return RunFile.header + frames[0] + frames[2]
        default:
            var bytes = good
            bytes[good.count - 12] ^= 1
            return bytes
        }
    }

    private func read(_ file: [UInt8], _ body: (Int, Frame, CodecModel) throws -> Void) throws {
        try file.withUnsafeBytes { file in
            var run = RunReader(file: "a.run")
            for (step, range) in try RunFile.frames(file, file: "a.run").enumerated() {
                let frame = try run.read(UnsafeRawBufferPointer(rebasing: file[range]))
                #expect(run.digest == frame.header.stateDigest)
                try body(step, frame, try #require(run.state))
            }
        }
    }
}

extension GoldenRunTests {
    /// Three models of which each moves, in the same few places, what the one before it moved: so the last one's symbols
    /// are told from those before.
    private func models(counts: Bool) throws -> [TensorCollection] {
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
            var texts = ["größe": "klein", "format": "pt"]
            if counts { texts["step"] = "\(step)" }
            return try TensorCollection(
                tensors: all.map { name, type, extents, bytes in
                    let shape = try #require(Shape(extents))
                    return try #require(Tensor(name: name, dtype: type, shape: shape, bytes: bytes))
                }, metadata: texts)
        }
    }

    /// What `varve codec pack --bits 3` writes.
    private func write(_ name: String, _ scope: CodecScope, counts: Bool) throws {
        let folder = FileManager.default.temporaryDirectory.path + "/varve-golden-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var (run, states) = (RunFile.header, [UInt8]())
        var state: CodecModel?
        var frame: EncodedFrame?
        for (step, collection) in try models(counts: counts).enumerated() {
            let path = "\(folder)/\(step).safetensors"
            try Safetensors.write(collection, to: path)
            let live = try CodecModel(path)
            var own = state ?? live
            let next = try ModelFrames.encode(
                live, onto: &own, base: frame?.stateDigest, inheriting: frame?.context, step: step,
                scope: scope,
                settings: CodecSettings(kind: .lc(bits: 3)), chained: true, threads: 1)
            (state, frame) = (own, next)
            run += next.bytes
            for section in next.context.sections {
                let tensor = try #require(own.tensors.first { $0.name == TensorName(section.name) })
                states += Array(own.bytes(tensor))
            }
        }
        try GoldenFiles.save(run, name + ".run")
        try GoldenFiles.save(states, name + ".state")
    }
}

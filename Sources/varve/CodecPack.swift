import ArgumentParser
import LCCheckpoint
import ModelCodec
import Tensors

struct CodecPack: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pack",
        abstract: "Encode model files as a run: the first exactly, then deltas against the reconstruction.",
        discussion:
            "EXAMPLE: varve codec pack s0.safetensors s1.safetensors s2.safetensors -o run.varve --bits 2")

    @Argument(help: "The model files, oldest first.")
    var inputs: [String]

    @Option(name: .shortAndLong, help: "The run to write.")
    var output: String

    @OptionGroup var options: CodecOptions

    func run() throws {
        try check(output, isNoneOf: inputs)
        // Each frame is written when it is made: a long run needn't be held.
        var failure: (any Error)?
        var packed: (summaries: [CodecSummary], table: TensorTable)?
        do {
            try Files.writeAtomically(output) { (write) throws(TensorFileError) in
                do { packed = try pack { (bytes) throws(TensorFileError) in try write(bytes) } } catch {
                    failure = error
                    throw TensorFileError(.unwritable, "\(error)")
                }
            }
        } catch { throw failure ?? error }
        guard let (summaries, table) = packed else { return }
        report(summaries, table)
        if !options.json { print(table.render(colours: Terminal(descriptor: 1).colours)) }
    }

    /// Encodes the steps one after another and hands on the file's parts.
    private func pack(
        _ write: ([UInt8]) throws(TensorFileError) -> Void
    ) throws -> (summaries: [CodecSummary], table: TensorTable) {
        let (scope, settings) = try options.resolve()
        let threads = try options.parallel.resolve()
        var state = try CodecModel(inputs[0])
        var context: FrameContext?
        var digest: Digest?
        var summaries: [CodecSummary] = []
        var table = TensorTable(state)
        // What tensors take is found by reading each frame, while the next one is made.
        var bits: Later<[TensorName: Double]>?
        try write(RunFile.header)
        for (step, input) in inputs.enumerated() {
            let live = step == 0 ? state : try CodecModel(input)
            if let difference = state.difference(from: live) {
                throw CommandFailure(
                    "\(input) can't follow \(inputs[0]): \(difference)", exitCode: CommandFailure.malformed)
            }
            let frame = try ModelFrames.encode(
                live, onto: &state, base: digest, inheriting: context, step: step, scope: scope,
                settings: settings, chained: true, threads: threads)
            // Deltas are what runs are about; a run of one state has none.
            if step > 0 || inputs.count == 1 {
                try add(bits, to: &table)
                table.add(errorsOf: state, to: live)
                bits = Later { [context, bytes = frame.bytes] in
                    try TensorTable.bits(of: bytes, inheriting: context)
                }
                // With one thread nothing is done meanwhile.
                if threads == 1 { _ = try? bits?.get() }
            }
            context = frame.context
            digest = frame.stateDigest
            var summary = CodecSummary(frame)
            // The file's header is the first step's: the steps' sizes sum to the file's.
            if step == 0 { summary.encodedBytes += RunFile.header.count }
            summaries.append(summary)
            try write(frame.bytes)
        }
        try add(bits, to: &table)
        return (summaries, table)
    }

    private func add(_ bits: Later<[TensorName: Double]>?, to table: inout TensorTable) throws {
        guard let bits else { return }
        do {
            table.add(try bits.get())
        } catch {
            throw CommandFailure(
                "what was just encoded can't be read: \(error)", exitCode: CommandFailure.failed)
        }
    }

    private func report(_ summaries: [CodecSummary], _ table: TensorTable) {
        guard var total = summaries.last else { return }
        total.elements = summaries.reduce(0) { $0 + $1.elements }
        total.rawBytes = summaries.reduce(0) { $0 + $1.rawBytes }
        total.encodedBytes = summaries.reduce(0) { $0 + $1.encodedBytes }
        total.entropyBits = summaries.reduce(0) { $0 + $1.entropyBits }
        guard options.json else {
            for (step, summary) in summaries.enumerated() { print("step \(step): \(summary.line)") }
            return print("total: \(total.line)")
        }
        let steps = summaries.enumerated().map { step, summary in
            jsonObject([("step", "\(step)")] + summary.members)
        }
        let whole = jsonObject([("count", "\(summaries.count)")] + total.members)
        print(
            jsonObject([
                ("steps", "[\(steps.joined(separator: ", "))]"), ("total", whole), ("tensors", table.json),
            ]))
    }
}

struct CodecUnpack: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unpack",
        abstract: "Restore one step of a run.",
        discussion: "EXAMPLE: varve codec unpack run.varve --step 2 -o restored.safetensors")

    @Argument(help: "The run.")
    var input: String

    @Option(help: "The step, counted from 0; the last by default.")
    var step: Int?

    @Option(help: "Restore this tensor alone, without decoding the others.")
    var tensor: String?

    @Option(name: .shortAndLong, help: "The model to write.")
    var output: String

    @OptionGroup var parallel: ThreadOptions

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        if let step, step < 0 {
            throw CommandFailure("--step is counted from 0, not \(step)", exitCode: CommandFailure.usage)
        }
        let threads = try parallel.resolve()
        try check(output, isNoneOf: [input])
        let memory = try FileMemory(reading: input)
        let bytes = UnsafeRawBufferPointer(memory.bytes)
        let ranges = try RunFile.frames(bytes, file: input)
        let last = step ?? ranges.count - 1
        guard last < ranges.count else {
            throw CommandFailure(
                "\(input) has steps 0 to \(ranges.count - 1), and step \(last) was asked for",
                exitCode: CommandFailure.usage)
        }
        let frames = ranges[...last].map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }
        if let tensor { return try restore(tensor, frames, memory, threads: threads) }
        var run = RunReader(file: input, threads: threads)
        for (index, frame) in frames.enumerated() {
            try run.read(frame, isLast: index == frames.count - 1, keptBy: memory)
        }
        try run.state?.write(to: output)
        report(frames.count - 1, run.digest.map { [("digest", jsonQuoted("\($0)"))] } ?? [])
    }

    private func report(_ step: Int, _ members: [(key: String, value: String)]) {
        let all = [("step", "\(step)")] + members
        print(
            json
                ? jsonObject(all)
                : all.map { "\($0.0) \($0.1.filter { $0 != "\"" })" }.joined(separator: ", "))
    }

    /// Decodes the blocks that hold one tensor, and writes a file of it alone.
    private func restore(
        _ name: String, _ frames: [UnsafeRawBufferPointer], _ memory: FileMemory, threads: Int
    ) throws {
        let base = try ModelFrames.parse(frames[0], inheriting: nil, file: input, keptBy: memory)
        guard base.header.kind == .base else {
            throw CommandFailure(
                "\(input) doesn't begin with a full state", exitCode: CommandFailure.malformed)
        }
        let layout = try ModelFrames.layout(of: base, file: input)
        guard let member = layout.tensors.first(where: { $0.name == TensorName(name) }) else {
            throw CommandFailure("\(input) has no tensor \(name)", exitCode: CommandFailure.usage)
        }
        let slice: ChainSlice
        do throws(CodecError) {
            slice = try ChainSlice(of: name, count: frames.count, threads: threads) { frames[$0] }
        } catch {
            throw CommandFailure("\(input): \(error)", exitCode: CommandFailure.malformed)
        }
        // The texts are those of the step that is restored.
        let last = try ModelFrames.layout(of: base, metadata: slice.metadata, file: input)
        try slice.bytes.withUnsafeBytes { bytes in try last.write([member], to: output) { _ in bytes } }
        report(frames.count - 1, [("tensor", jsonQuoted(name)), ("elements", "\(slice.elements.count)")])
    }
}

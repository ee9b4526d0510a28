import ArgumentParser
import Foundation
import LCCheckpoint
import Tensors

/// `varve codec`: LC-Checkpoint on files.
struct CodecCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "codec",
        abstract: "Compress model files as deltas, and get them back.",
        discussion: """
            EXAMPLE: varve codec pack step0.safetensors step1.safetensors -o run.varve
            EXAMPLE: varve codec unpack run.varve --step 1 -o restored.safetensors
            """,
        subcommands: [
            CodecEncode.self, CodecDecode.self, CodecPack.self, CodecUnpack.self, CodecInspect.self,
        ])
}

/// How many cores to use.
struct ThreadOptions: ParsableArguments {
    @Option(help: "Threads to use, 1 to 64; one for each core by default.")
    var threads: Int?

    func resolve() throws -> Int {
        guard let threads else { return min(64, max(1, ProcessInfo.processInfo.activeProcessorCount)) }
        guard (1...64).contains(threads) else {
            throw CommandFailure("--threads is 1 to 64, not \(threads)", exitCode: CommandFailure.usage)
        }
        return threads
    }
}

/// How to encode: shared by `encode` and `pack`.
struct CodecOptions: ParsableArguments {
    @Option(help: "lc (compressed), exact (bit for bit), or auto (the fewest bytes within --error).")
    var codec = "lc"

    @Option(help: "Bits X: the 2^X - 1 buckets with the largest exponents are kept; 1 to 16, or all.")
    var bits = "3"

    @Option(help: "What shares a bucket table: model (all tensors) or tensor.")
    var scope = "model"

    @Option(help: "best (smallest) or huffman (the paper's coder).")
    var entropy = "best"

    @Option(
        name: .customLong("error"),
        help: "For --codec auto: the relative error to meet at every step, between 0 and 1.")
    var error: Double?

    @OptionGroup var parallel: ThreadOptions

    @Flag(help: "Print one JSON object.")
    var json = false

    /// The options' meaning.
    func resolve() throws -> (scope: CodecScope, settings: CodecSettings) {
        let scopes: [String: CodecScope] = ["model": .model, "tensor": .tensor]
        guard let scope = scopes[scope] else { throw usage("--scope is model or tensor, not \(self.scope)") }
        let coders: [String: CodecSettings.Entropy] = ["best": .best, "huffman": .huffman]
        guard let coder = coders[entropy] else { throw usage("--entropy is best or huffman, not \(entropy)") }
        let kind: CodecSettings.Kind
        switch codec {
        case "lc" where bits == "all": kind = .lc(bits: nil)
        case "lc":
            guard let bits = Int(bits), (1...16).contains(bits) else {
                throw usage("--bits is 1 to 16 or all, not \(self.bits)")
            }
            kind = .lc(bits: bits)
        case "exact": kind = .exact
        case "auto":
            guard let error else { throw usage("--codec auto needs --error, for example --error 1e-3") }
            guard error > 0, error < 1 else {
                throw usage("--error lies between 0 and 1, for example 1e-3, and is not \(error)")
            }
            kind = .auto(error: error)
        default: throw usage("--codec is lc, exact or auto, not \(codec)")
        }
        guard codec == "auto" || error == nil else { throw usage("--error is for --codec auto alone") }
        return (scope, CodecSettings(kind: kind, entropy: coder))
    }

    private func usage(_ message: String) -> CommandFailure {
        CommandFailure(message, exitCode: CommandFailure.usage)
    }
}

struct CodecEncode: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "encode",
        abstract: "Encode one model file as a delta against another.",
        discussion: """
            EXAMPLE: varve codec encode --base a.safetensors --target b.safetensors -o d.varve --bits 3 --json
            """)

    @Option(help: "The model that a reader has.")
    var base: String

    @Option(help: "The model to encode.")
    var target: String

    @Option(name: .shortAndLong, help: "The delta to write.")
    var output: String

    @OptionGroup var options: CodecOptions

    func run() throws {
        let (scope, settings) = try options.resolve()
        let threads = try options.parallel.resolve()
        var state = try CodecModel(base, changing: true)
        let live = try CodecModel(target, changing: false)
        if let difference = state.difference(from: live) {
            throw CommandFailure(
                "\(target) can't be a delta on \(base): \(difference)", exitCode: CommandFailure.malformed)
        }
        let frame = try CodecSession.encode(
            live, onto: &state, base: state.digest(threads: threads), inheriting: state.context, step: 1,
            scope: scope, settings: settings, chained: false, threads: threads)
        try CodecSession.files { () throws(TensorFileError) in
            try Files.writeAtomically(output) { (write) throws(TensorFileError) in try write(frame.bytes) }
        }
        let summary = CodecSummary(frame)
        print(options.json ? jsonObject(summary.members) : summary.line)
    }
}

struct CodecDecode: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode",
        abstract: "Apply a delta to the model that it builds on.",
        discussion: "EXAMPLE: varve codec decode --base a.safetensors --delta d.varve -o r.safetensors")

    @Option(help: "The model that the delta builds on.")
    var base: String

    @Option(help: "The delta.")
    var delta: String

    @Option(name: .shortAndLong, help: "The model to write.")
    var output: String

    @OptionGroup var parallel: ThreadOptions

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        let threads = try parallel.resolve()
        var state: CodecModel? = try CodecModel(base, changing: true)
        let memory = try CodecSession.memory(delta)
        let frame = try CodecSession.parse(
            UnsafeRawBufferPointer(memory.bytes), inheriting: state?.context, file: delta)
        _ = try CodecSession.apply(
            frame, to: &state, digest: state?.digest(threads: threads), file: delta, chained: false,
            threads: threads)
        try state?.write(to: output)
        let digest = frame.header.stateDigest
        print(json ? jsonObject([("digest", jsonQuoted("\(digest)"))]) : "digest \(digest)")
    }
}

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
        let (scope, settings) = try options.resolve()
        let threads = try options.parallel.resolve()
        var state = try CodecModel(inputs[0], changing: true)
        var context: FrameContext?
        var digest: Digest?
        var chunks = [CodecRun.header]
        var summaries: [CodecSummary] = []
        for (step, input) in inputs.enumerated() {
            let live = step == 0 ? state : try CodecModel(input, changing: false)
            if let difference = state.difference(from: live) {
                throw CommandFailure(
                    "\(input) can't follow \(inputs[0]): \(difference)", exitCode: CommandFailure.malformed)
            }
            var frame = try CodecSession.encode(
                live, onto: &state, base: digest, inheriting: context, step: step, scope: scope,
                settings: settings, chained: true, threads: threads)
            context = frame.context
            digest = frame.stateDigest
            var summary = CodecSummary(frame)
            // The file's header is the first step's: the steps' sizes sum to the file's.
            if step == 0 { summary.encodedBytes += CodecRun.header.count }
            summaries.append(summary)
            chunks.append(frame.bytes)
            frame.bytes = []
        }
        try CodecSession.files { () throws(TensorFileError) in
            try Files.writeAtomically(output) { (write) throws(TensorFileError) in
                for chunk in chunks { try write(chunk) }
            }
        }
        report(summaries)
    }

    private func report(_ summaries: [CodecSummary]) {
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
        print("{\"steps\": [\(steps.joined(separator: ", "))], \"total\": \(whole)}")
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
        let memory = try CodecSession.memory(input)
        let bytes = UnsafeRawBufferPointer(memory.bytes)
        let ranges = try CodecRun.frames(bytes, file: input)
        let last = step ?? ranges.count - 1
        guard last < ranges.count else {
            throw CommandFailure(
                "\(input) has steps 0 to \(ranges.count - 1), and step \(last) was asked for",
                exitCode: CommandFailure.usage)
        }
        let frames = ranges[...last].map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }
        if let tensor { return try restore(tensor, frames, threads: threads) }
        var state: CodecModel?
        var context: FrameContext?
        var digest: Digest?
        for (index, frame) in frames.enumerated() {
            let frame = try CodecSession.parse(frame, inheriting: context, file: input)
            context = try CodecSession.apply(
                frame, to: &state, digest: digest, file: input, chained: index < frames.count - 1,
                threads: threads)
            digest = frame.header.stateDigest
        }
        try state?.write(to: output)
        report(frames.count - 1, digest.map { [("digest", jsonQuoted("\($0)"))] } ?? [])
    }

    private func report(_ step: Int, _ members: [(key: String, value: String)]) {
        let all = [("step", "\(step)")] + members
        print(
            json
                ? jsonObject(all)
                : all.map { "\($0.0) \($0.1.filter { $0 != "\"" })" }.joined(separator: ", "))
    }

    /// Decodes the blocks that hold one tensor, and writes a file of it alone.
    private func restore(_ name: String, _ frames: [UnsafeRawBufferPointer], threads: Int) throws {
        let base = try CodecSession.parse(frames[0], inheriting: nil, file: input)
        let described = try CodecSession.description(of: base, file: input)
        guard let member = described.tensors.first(where: { $0.name == TensorName(name) }) else {
            throw CommandFailure("\(input) has no tensor \(name)", exitCode: CommandFailure.usage)
        }
        let slice: ChainSlice
        do throws(CodecError) {
            slice = try ChainSlice(of: name, count: frames.count, threads: threads) { frames[$0] }
        } catch {
            throw CodecSession.malformed(input, error)
        }
        described.bytes(member).copyBytes(from: slice.bytes)
        try described.write(to: output, only: [member.name])
        report(frames.count - 1, [("tensor", jsonQuoted(name)), ("elements", "\(slice.elements.count)")])
    }
}

import ArgumentParser
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

/// How to encode: shared by `encode` and `pack`.
struct CodecOptions: ParsableArguments {
    @Option(help: "lc (compressed), exact (bit for bit), or auto (not available yet).")
    var codec = "lc"

    @Option(help: "Bits X: the 2^X - 1 buckets with the largest exponents are kept; 1 to 16, or all.")
    var bits = "3"

    @Option(help: "What shares a bucket table: model (all tensors) or tensor.")
    var scope = "model"

    @Option(help: "best (smallest) or huffman (the paper's coder).")
    var entropy = "best"

    @Option(name: .customLong("error"), help: "The relative error to meet; for --codec auto only.")
    var error: Double?

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
        case "auto": throw usage("--codec auto is not available yet: choose lc with --bits, or exact")
        default: throw usage("--codec is lc, exact or auto, not \(codec)")
        }
        guard error == nil else { throw usage("--error needs --codec auto, which is not available yet") }
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
        var state = try CodecSession.model(base)
        let live = try CodecSession.model(target)
        if let difference = state.difference(from: live) {
            throw CommandFailure(
                "\(target) can't be a delta on \(base): \(difference)", exitCode: CommandFailure.malformed)
        }
        let (frame, summary) = try CodecSession.encode(
            live, onto: &state, kind: .delta, step: 1, scope: scope, settings: settings)
        try CodecSession.files { () throws(TensorFileError) in
            try Files.writeAtomically(output) { (write) throws(TensorFileError) in try write(frame.bytes) }
        }
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

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        var state = try CodecSession.model(base)
        let bytes = try CodecSession.bytes(delta)
        let known = state.digest
        let digest = try bytes.withUnsafeBytes {
            try CodecSession.apply($0, to: &state, digest: known, file: delta)
        }
        try CodecSession.write(state, to: output)
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
        var state = try CodecSession.model(inputs[0])
        var chunks = [CodecRun.header]
        var summaries: [CodecSummary] = []
        for (step, input) in inputs.enumerated() {
            let live = step == 0 ? state : try CodecSession.model(input)
            if let difference = state.difference(from: live) {
                throw CommandFailure(
                    "\(input) can't follow \(inputs[0]): \(difference)", exitCode: CommandFailure.malformed)
            }
            var (frame, summary) = try CodecSession.encode(
                live, onto: &state, kind: step == 0 ? .base : .delta, step: step, scope: scope,
                settings: settings)
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

    @Option(name: .shortAndLong, help: "The model to write.")
    var output: String

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        if let step, step < 0 {
            throw CommandFailure("--step is counted from 0, not \(step)", exitCode: CommandFailure.usage)
        }
        let bytes = try CodecSession.bytes(input)
        let ranges = try CodecRun.frames(bytes, file: input)
        let last = step ?? ranges.count - 1
        guard last < ranges.count else {
            throw CommandFailure(
                "\(input) has steps 0 to \(ranges.count - 1), and step \(last) was asked for",
                exitCode: CommandFailure.usage)
        }
        let (state, digest) = try bytes.withUnsafeBytes { bytes in
            let first = try CodecSession.parse(
                UnsafeRawBufferPointer(rebasing: bytes[ranges[0]]), onto: nil, file: input)
            guard first.header.kind == .base else {
                throw CommandFailure(
                    "\(input) doesn't begin with a full state", exitCode: CommandFailure.malformed)
            }
            var state = CodecModel(try TensorCollection(tensors: []))
            var digest = try CodecSession.apply(first, to: &state, digest: nil, file: input)
            for range in ranges[..<(last + 1)].dropFirst() {
                let frame = UnsafeRawBufferPointer(rebasing: bytes[range])
                digest = try CodecSession.apply(frame, to: &state, digest: digest, file: input)
            }
            return (state, digest)
        }
        try CodecSession.write(state, to: output)
        print(
            json
                ? jsonObject([("step", "\(last)"), ("digest", jsonQuoted("\(digest)"))])
                : "step \(last), digest \(digest)")
    }
}

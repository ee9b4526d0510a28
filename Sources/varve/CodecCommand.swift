import ArgumentParser
import Foundation
import LCCheckpoint
import ModelCodec
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

/// What an option says of the bits of promotion; nil for every bucket.
func promotionBits(_ option: String) throws -> Int? {
    if option == "all" { return nil }
    guard let bits = Int(option), (1...16).contains(bits) else {
        throw CommandFailure("--bits is 1 to 16 or all, not \(option)", exitCode: CommandFailure.usage)
    }
    return bits
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
        case "lc": kind = .lc(bits: try promotionBits(bits))
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
        try check(output, isNoneOf: [base, target])
        var state = try ModelFile(base)
        let live = try ModelFile(target)
        if let difference = state.difference(from: live) {
            throw CommandFailure(
                "\(target) can't be a delta on \(base): \(difference)", exitCode: CommandFailure.malformed)
        }
        let frame = try ModelFrames.encode(
            live, onto: &state, base: state.digest(threads: threads), inheriting: state.context, step: 1,
            scope: scope, settings: settings, chained: false, threads: threads)
        try state.checkUnchanged()
        try live.checkUnchanged()
        // As with every conversion from file to file, it can be made again, so nobody waits for the disk.
        try Files.writeAtomically(output, durable: false) { (write) throws(TensorFileError) in
            try write(frame.bytes)
        }
        let summary = CodecSummary(frame)
        print(options.json ? jsonObject(summary.members) : summary.line)
    }
}

/// Refuses to write over what is read: a delta is of no use without the model that it builds on.
func check(_ output: String, isNoneOf inputs: [String]) throws {
    func place(_ path: String) -> (device: UInt64, inode: UInt64)? {
        var status = stat()
        return stat(path, &status) == 0 ? (UInt64(status.st_dev), UInt64(status.st_ino)) : nil
    }
    guard let own = place(output) else { return }
    for input in inputs {
        if let other = place(input), other == own {
            throw CommandFailure(
                "\(output) is read, too: give another name for the output", exitCode: CommandFailure.usage)
        }
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
        try check(output, isNoneOf: [base, delta])
        let state = try ModelFile(base)
        let memory = try FileMemory(reading: delta)
        let frame: Frame
        do throws(TensorFileError) {
            frame = try restore(state, memory, threads: threads)
        } catch {
            throw try buildsOnAnother(state, memory, threads: threads) ?? error
        }
        let digest = frame.header.stateDigest
        print(json ? jsonObject([("digest", jsonQuoted("\(digest)"))]) : "digest \(digest)")
    }

    /// Writes what the delta makes of the base.
    private func restore(
        _ state: ModelFile, _ memory: FileMemory, threads: Int
    ) throws(TensorFileError) -> Frame {
        let frame = try ModelFrames.parse(
            UnsafeRawBufferPointer(memory.bytes), inheriting: state.context, file: delta, keptBy: memory)
        if frame.header.kind == .delta {
            try state.write(to: output, applying: frame, file: delta, threads: threads)
        } else {
            var whole: CodecModel?
            _ = try ModelFrames.apply(
                frame, to: &whole, digest: nil, file: delta, chained: false, threads: threads)
            try whole?.write(to: output)
        }
        return frame
    }

    /// A good delta may make no sense with another model's layout: that is said in so many words.
    private func buildsOnAnother(
        _ state: ModelFile, _ memory: FileMemory, threads: Int
    ) throws -> CommandFailure? {
        let alone = try? Frame(parsing: UnsafeRawBufferPointer(memory.bytes), keptBy: memory)
        guard let wanted = alone?.header.baseDigest else { return nil }
        let own = try state.digest(threads: threads)
        guard own != wanted else { return nil }
        return CommandFailure(
            "\(delta) doesn't build on \(base): it builds on the state \(wanted), and this is \(own)",
            exitCode: CommandFailure.malformed)
    }
}

import ArgumentParser
import LCCheckpoint
import ModelCodec
import Tensors

struct CodecInspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Show a delta's or a run's headers, buckets, entropy and sizes.",
        discussion: "EXAMPLE: varve codec inspect d.varve --json")

    @Argument(help: "A delta or a run.")
    var input: String

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        let memory = try FileMemory(reading: input)
        let bytes = UnsafeRawBufferPointer(memory.bytes)
        let isRun = RunFile.hasMagic(bytes)
        let ranges = isRun ? try RunFile.frames(bytes, file: input) : [0..<bytes.count]
        var objects: [String] = []
        let terminal = Terminal(descriptor: 1)
        var elements: Int?
        var context: FrameContext?
        var order = RunOrder()
        for (index, range) in ranges.enumerated() {
            let (frame, scopes) = try read(
                memory, range, isLast: index == ranges.count - 1, &context, elements: &elements)
            if isRun { try order.take(frame.header, file: input) }
            if json {
                objects.append(object(frame.header, scopes, byteCount: range.count))
            } else {
                let view = FrameView(header: frame.header, scopes: scopes, byteCount: range.count)
                for line in view.lines(on: terminal) { print(line) }
            }
        }
        if json {
            print(
                isRun
                    ? jsonObject([("type", "\"run\""), ("frames", "[\(objects.joined(separator: ", "))]")])
                    : objects[0])
        }
    }

    /// Parses and looks into one frame; in a run, the next one's symbols may need this one's.
    ///
    /// - Parameter elements: of the run's base. A frame that claims others isn't kept in memory for the next.
    private func read(
        _ memory: FileMemory, _ range: Range<Int>, isLast: Bool, _ context: inout FrameContext?,
        elements: inout Int?
    ) throws -> (Frame, [ScopeReport]) {
        do throws(CodecError) {
            let frame = try Frame(
                parsing: UnsafeRawBufferPointer(rebasing: memory.bytes[range]), inheriting: context,
                keptBy: memory)
            let own = frame.header.sections.reduce(0) { $0 + $1.elementCount }
            if frame.header.kind == .base { elements = own }
            let report = try frame.report(chained: !isLast && own == elements)
            if elements != nil { context = report.context }
            return (frame, report.scopes)
        } catch {
            throw CommandFailure("\(input): \(error)", exitCode: CommandFailure.malformed)
        }
    }

    private func object(_ header: FrameHeader, _ scopes: [ScopeReport], byteCount: Int) -> String {
        let sections = header.sections.map {
            jsonObject([
                ("name", jsonQuoted($0.name)), ("format", "\"\($0.format)\""),
                ("elements", "\($0.elementCount)"),
                ("scope", "\($0.scope)"),
            ])
        }
        let parts = scopes.map { scope in
            let blocks = scope.blocks.map {
                jsonObject([("coder", jsonQuoted($0.coder)), ("bytes", "\($0.byteCount)")])
            }
            let buckets = scope.buckets.map {
                jsonObject([
                    ("symbol", "\($0.symbol)"),
                    ("exponent", $0.symbol == 0 ? "null" : "\($0.value.exponent)"),
                    ("value", jsonNumber(Double($0.value))), ("count", "\($0.count)"),
                    ("code_length", "\($0.codeLength)"),
                ])
            }
            return jsonObject([
                ("codec", jsonQuoted(FrameView.name(scope.kind))), ("elements", "\(scope.elementCount)"),
                ("encoded_bytes", "\(scope.byteCount)"),
                ("entropy_bits", scope.entropyBits.map { jsonNumber($0) } ?? "null"),
                ("exceptions", "\(scope.exceptionCount)"), ("blocks", "[\(blocks.joined(separator: ", "))]"),
                ("buckets", "[\(buckets.joined(separator: ", "))]"),
            ])
        }
        return jsonObject([
            ("type", "\"frame\""), ("kind", "\"\(header.kind)\""), ("step", "\(header.step)"),
            ("base_digest", header.baseDigest.map { jsonQuoted("\($0)") } ?? "null"),
            ("digest", jsonQuoted("\(header.stateDigest)")),
            ("elements", "\(scopes.reduce(0) { $0 + $1.elementCount })"), ("encoded_bytes", "\(byteCount)"),
            ("sections", "[\(sections.joined(separator: ", "))]"),
            ("scopes", "[\(parts.joined(separator: ", "))]"),
        ])
    }
}

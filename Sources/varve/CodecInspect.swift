import ArgumentParser
import LCCheckpoint
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
        let memory = try CodecSession.memory(input)
        let bytes = UnsafeRawBufferPointer(memory.bytes)
        let isRun = CodecRun.hasMagic(bytes)
        let ranges = isRun ? try CodecRun.frames(bytes, file: input) : [0..<bytes.count]
        var objects: [String] = []
        var lines: [String] = []
        var context: FrameContext?
        for range in ranges {
            let frame: Frame
            let scopes: [ScopeReport]
            do throws(CodecError) {
                (frame, scopes) = try CodecInspect.read(bytes, range, context)
            } catch {
                throw CodecSession.malformed(input, error)
            }
            if frame.header.kind == .base { context = frame.context }
            objects.append(object(frame.header, scopes, byteCount: range.count))
            lines += text(frame.header, scopes, byteCount: range.count)
        }
        if json {
            print(
                isRun
                    ? jsonObject([("type", "\"run\""), ("frames", "[\(objects.joined(separator: ", "))]")])
                    : objects[0])
        } else {
            for line in lines { print(line) }
        }
    }

    private static func read(
        _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ context: FrameContext?
    ) throws(CodecError) -> (Frame, [ScopeReport]) {
        let frame = try Frame(
            parsing: UnsafeRawBufferPointer(rebasing: bytes[range]), inheriting: context)
        return (frame, try frame.report())
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
                ("codec", jsonQuoted(name(scope.kind))), ("elements", "\(scope.elementCount)"),
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

    private func text(_ header: FrameHeader, _ scopes: [ScopeReport], byteCount: Int) -> [String] {
        var lines = ["\(header.kind) of step \(header.step), \(byteCount) bytes, state \(header.stateDigest)"]
        if let base = header.baseDigest { lines.append("  builds on \(base)") }
        for section in header.sections {
            lines.append(
                "  section \(section.name): \(section.elementCount) x \(section.format), scope \(section.scope)"
            )
        }
        for (index, scope) in scopes.enumerated() {
            let entropy = scope.entropyBits.map { ", order-0 entropy \($0) bits per element" } ?? ""
            let coders = scope.blocks.map { "\($0.coder) \($0.byteCount)" }.joined(separator: ", ")
            lines.append(
                "  scope \(index): \(name(scope.kind)), \(scope.elementCount) elements, \(scope.byteCount) bytes"
                    + " (\(coders))\(entropy), \(scope.exceptionCount) exceptions")
            for bucket in scope.buckets {
                lines.append(
                    "    symbol \(bucket.symbol): value \(bucket.value), \(bucket.count) elements, "
                        + "code of \(bucket.codeLength) bits")
            }
        }
        return lines
    }

    private func name(_ kind: CodecSettings.Kind) -> String {
        switch kind {
        case .exact: "exact"
        case .auto(let error): "auto, relative error \(error)"
        case .lc(let bits): "lc, bits \(bits.map { "\($0)" } ?? "all")"
        }
    }
}

import ArgumentParser
import Foundation
import LCCheckpoint
import ModelCodec
import Tensors

extension BenchCommand {
    /// How many times smaller the deltas of sequences become, by setting, at the same error.
    struct Ratios: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ratios",
            abstract:
                "Compare codecs on sequences of states: the paper's Huffman, best, order-0 entropy, auto.",
            discussion: """
                For each number of bits, lc's largest error over all steps is the error that auto must keep to.
                'auto / lc' compares auto's bytes with the smallest lc + Huffman encoding, of any number of bits, that keeps to
                the same error. Prints a table in Markdown.

                EXAMPLE: varve bench sequences -o seq/lenet5-adam --model lenet5 --optimizer adam
                EXAMPLE: varve bench ratios seq/lenet5-adam
                """)

        @Argument(help: "Folders with S0.safetensors, S1.safetensors and so on.")
        var folders: [String]

        @Flag(help: "Print one JSON object.")
        var json = false

        func run() throws {
            var rows: [Row] = []
            for folder in folders { rows += try measure(folder) }
            // Each number of bits weighs the same, whatever its error.
            let gain = rows.reduce(0) { $0 + log($1.share) } / Double(max(rows.count, 1))
            let worst = rows.map(\.share).max() ?? 0
            if json {
                let objects = rows.map { jsonObject($0.members) }.joined(separator: ", ")
                print("{\"rows\": [\(objects)], \"auto_by_lc\": \(exp(gain)), \"worst\": \(worst)}")
            } else {
                print("| sequence | 2 bits | 3 bits | 4 bits | all buckets |")
                print("|---|---|---|---|---|")
                for start in stride(from: 0, to: rows.count, by: 4) {
                    let cells = rows[start..<(start + 4)].map(\.cell).joined(separator: " | ")
                    print("| \(rows[start].name) | \(cells) |")
                }
                print("\nauto / lc: geometric mean \(short(exp(gain))), worst \(short(worst))")
            }
        }

        private func measure(_ folder: String) throws -> [Row] {
            var states: [String] = []
            while FileManager.default.fileExists(atPath: "\(folder)/S\(states.count).safetensors") {
                states.append("\(folder)/S\(states.count).safetensors")
            }
            guard states.count > 1 else {
                throw CommandFailure(
                    "\(folder) holds no sequence: S0.safetensors and S1.safetensors are needed",
                    exitCode: CommandFailure.missingInput)
            }
            let later = try FileManager.default.contentsOfDirectory(atPath: folder).contains { name in
                name.hasPrefix("S") && name.hasSuffix(".safetensors")
                    && Int(name.dropFirst().dropLast(12)).map { $0 > states.count } ?? false
            }
            guard !later else {
                throw CommandFailure(
                    "\(folder) lacks S\(states.count).safetensors, and has later states",
                    exitCode: CommandFailure.missingInput)
            }
            let settings: [Int?] = [2, 3, 4, nil]
            let huffman = try settings.map {
                try pack(states, CodecSettings(kind: .lc(bits: $0), entropy: .huffman))
            }
            var rows: [Row] = []
            for (bits, lc) in zip(settings, huffman) {
                let best = try pack(states, CodecSettings(kind: .lc(bits: bits)))
                // The error is compared as it is stated: rounded, and an ulp isn't what the codec is measured by.
                // Where nothing is missed, auto must not miss anything either.
                let error = lc.error > 0 ? min(lc.error * (1 + 1e-7), 0.999_999) : 1e-30
                let auto = try pack(states, CodecSettings(kind: .auto(error: error)))
                let rival = huffman.filter { $0.error <= lc.error }.map(\.bytes).min() ?? lc.bytes
                rows.append(
                    Row(
                        name: URL(fileURLWithPath: folder).lastPathComponent,
                        bits: bits.map { "\($0)" } ?? "all", error: lc.error, huffman: lc.ratio,
                        best: best.ratio, entropy: lc.rawBytes / max(lc.entropyBytes, 1),
                        auto: auto.ratio, share: auto.bytes / rival))
            }
            return rows
        }

        /// What the deltas of a sequence come to; the first state is left out.
        private struct Packed {
            var bytes = 0.0
            var rawBytes = 0.0
            var entropyBytes = 0.0
            /// The largest of all steps.
            var error = 0.0
            var ratio: Double { rawBytes / bytes }
        }

        private func pack(_ states: [String], _ settings: CodecSettings) throws -> Packed {
            var state = try CodecModel(states[0])
            var frame = try encode(state, onto: &state, after: nil, step: 0, settings)
            var packed = Packed()
            for (step, path) in states.enumerated().dropFirst() {
                frame = try encode(CodecModel(path), onto: &state, after: frame, step: step, settings)
                let statistics = frame.statistics
                packed.bytes += Double(statistics.encodedBytes)
                packed.rawBytes += Double(statistics.rawBytes)
                packed.entropyBytes += statistics.entropyBits * Double(statistics.elements) / 8
                packed.error = max(packed.error, statistics.relativeError)
            }
            return packed
        }

        private func encode(
            _ live: CodecModel, onto state: inout CodecModel, after frame: EncodedFrame?, step: Int,
            _ settings: CodecSettings
        ) throws(TensorFileError) -> EncodedFrame {
            try ModelFrames.encode(
                live, onto: &state, base: frame?.stateDigest, inheriting: frame?.context, step: step,
                scope: .model, settings: settings, chained: true, threads: 1)
        }
    }
}

/// One line of the table; ratios are raw bytes by encoded bytes.
private struct Row {
    var name: String
    var bits: String
    var error: Double
    var huffman: Double
    var best: Double
    var entropy: Double
    var auto: Double
    /// auto's bytes by those of the smallest lc + Huffman at the same error.
    var share: Double

    var members: [(key: String, value: String)] {
        [
            ("sequence", jsonQuoted(name)), ("bits", jsonQuoted(bits)), ("error", jsonNumber(error)),
            ("huffman", jsonNumber(huffman)), ("best", jsonNumber(best)), ("order_0", jsonNumber(entropy)),
            ("auto", jsonNumber(auto)), ("auto_by_lc", jsonNumber(share)),
        ]
    }

    var cell: String {
        let ratios = [huffman, best, entropy, auto].map(short).joined(separator: " · ")
        return String(format: "%.0e: ", error) + ratios + " (\(short(share)))"
    }
}

private func short(_ value: Double) -> String {
    value < 10 ? String(format: "%.2f", value) : String(format: "%.0f", value)
}

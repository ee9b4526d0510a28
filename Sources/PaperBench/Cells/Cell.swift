import Foundation

/// A part of an experiment that is computed, kept and found again by itself.
struct Cell: Sendable {
    /// Also the file's name: letters, digits, `-` and `_`.
    let id: String
    /// All that the result depends on.
    let settings: [String: String]
    /// Whether it must run alone, as it takes times.
    let isExclusive: Bool
    /// The result as JSON.
    let work: @Sendable () throws -> Data

    init<Outcome: Codable & Sendable>(
        _ id: String, settings: [String: String], isExclusive: Bool = false,
        _ work: @escaping @Sendable () throws -> Outcome
    ) {
        self.id = String(id.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") ? $0 : "_" })
        self.settings = settings
        self.isExclusive = isExclusive
        self.work = { try Cell.encoder.encode(work()) }
    }

    /// Sorted keys: the same result is the same bytes.
    static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        // Training may diverge, and that is an outcome too.
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return encoder
    }

    static var decoder: JSONDecoder {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return decoder
    }
}

/// A kept result with what it was computed from.
private struct KeptCell: Codable {
    /// Rises when a result means something else than before.
    var version: Int
    var settings: [String: String]
    /// The result as JSON in a string, so that any outcome fits.
    var result: String

    static let current = 1
}

/// The folder where results are kept. A file that can't be read, or was made from other settings, is computed again.
struct CellStore: Sendable {
    let folder: String

    /// - Throws: when the folder can't be made.
    init(folder: String) throws {
        self.folder = folder
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    private func path(_ cell: Cell) -> String { "\(folder)/\(cell.id).json" }

    func find(_ cell: Cell) -> Data? {
        guard let data = FileManager.default.contents(atPath: path(cell)),
            let kept = try? JSONDecoder().decode(KeptCell.self, from: data),
            kept.version == KeptCell.current, kept.settings == cell.settings
        else { return nil }
        return Data(kept.result.utf8)
    }

    func keep(_ result: Data, of cell: Cell) throws {
        let kept = KeptCell(
            version: KeptCell.current, settings: cell.settings,
            result: String(decoding: result, as: UTF8.self))
        try Cell.encoder.encode(kept).write(to: URL(fileURLWithPath: path(cell)), options: .atomic)
    }
}

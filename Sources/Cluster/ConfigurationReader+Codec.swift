/// How checkpoints are coded: the keys of `checkpoint.codec` and `checkpoint.slots_codec`.
extension ConfigurationReader {
    mutating func codec(_ path: String, _ codec: inout ClusterConfiguration.Codec) {
        choice("\(path).kind", &codec.kind)
        choice("\(path).entropy", &codec.entropy)
        share("\(path).error", &codec.error, of: [.auto], codec, "between 0 and 1, for example 1e-3") {
            $0 > 0 && $0 < 1
        }
        share(
            "\(path).fraction", &codec.fraction, of: [.topn, .scar], codec,
            "above 0 and at most 1, for example 0.1"
        ) {
            $0 > 0 && $0 <= 1
        }
        blocks(path, &codec)
        if codec.kind != .lc { codec.bits = nil }
        if entries["\(path).bits"]?.text == "all" {
            codec.bits = nil
            known.insert("\(path).bits")
        } else {
            integer("\(path).bits", &codec.bits, 1...16)
        }
    }

    /// Slots follow the elements that a partial checkpoint of the parameters chooses, and a full one is exact.
    mutating func slotsCodec(
        _ path: String, _ codec: inout ClusterConfiguration.Codec,
        following parameters: ClusterConfiguration.Codec
    ) {
        self.codec(path, &codec)
        if codec.kind.isWhole == false || codec.kind == .full {
            report(
                "'\(path).kind: \(codec.kind.rawValue)' is for 'checkpoint.codec' alone: slots follow it",
                at: "\(path).kind")
        } else if codec.kind != .exact, !parameters.kind.isWhole || parameters.kind == .full {
            report(
                "'\(path).kind' must be exact with 'checkpoint.codec.kind: \(parameters.kind.rawValue)', which slots follow",
                at: "\(path).kind")
        }
    }

    /// A number that some kinds need and the others have no use for; it has no default, as it is for the user to say.
    private mutating func share(
        _ path: String, _ value: inout Double?, of kinds: [ClusterConfiguration.CodecKind],
        _ codec: ClusterConfiguration.Codec, _ limits: String, _ isFit: (Double) -> Bool
    ) {
        known.insert(path)
        let isWanted = kinds.contains(codec.kind)
        guard let entry = entries[path] else {
            if isWanted {
                let kind = path.split(separator: ".").dropLast().joined(separator: ".") + ".kind"
                report("'\(kind): \(codec.kind.rawValue)' needs '\(path)', \(limits)", at: kind)
            }
            return
        }
        guard isWanted else {
            let names = kinds.map(\.rawValue).joined(separator: " and ")
            return report("'\(path)' is for kind \(names) alone, not \(codec.kind.rawValue)", at: path)
        }
        guard let number = Double(entry.text), isFit(number) else {
            return report("'\(path)' must lie \(limits), not '\(entry.text)'", at: path)
        }
        value = number
    }

    private mutating func blocks(_ path: String, _ codec: inout ClusterConfiguration.Codec) {
        guard codec.kind == .scar else {
            for key in ["block", "select"] {
                known.insert("\(path).\(key)")
                if entries["\(path).\(key)"] != nil {
                    report(
                        "'\(path).\(key)' is for kind scar alone, not \(codec.kind.rawValue)",
                        at: "\(path).\(key)")
                }
            }
            return
        }
        var (block, select) = (64, ClusterConfiguration.BlockOrder.priority)
        integer("\(path).block", &block, 1...1_000_000_000)
        choice("\(path).select", &select)
        (codec.block, codec.select) = (block, select)
    }
}

extension ClusterConfiguration.CodecKind {
    /// Whether a checkpoint brings every element up to date.
    public var isWhole: Bool {
        switch self {
        case .lc, .auto, .exact, .full: true
        case .topn, .scar: false
        }
    }
}

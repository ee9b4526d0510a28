import MachineCore

/// Histories as text: one JSON object per line, in the form that the types' `Codable` reads. Written by hand, since
/// facts are taken down while something waits to be sent.
extension HistoryRecord {
    /// Without the end of the line.
    public var json: String { Self.prefix(process) + "\(at),\"what\":\(what.json)}" }

    /// How each line of a process begins.
    public static func prefix(_ process: ProcessFact) -> String {
        "{\"process\":{\"node\":\(JSONText.quoted(process.node)),\"incarnation\":\(process.incarnation)},\"at\":"
    }
}

extension Observation {
    public var json: String {
        switch self {
        case .computed(let line, let clock, let slices):
            "{\"computed\":{\"line\":\(line),\"clock\":\(clock),\"slices\":\(digests(slices))}}"
        case .began(let line, let step, let version, let stateDigest, let parameters):
            "{\"began\":{\"line\":\(line),\"step\":\(step),\"version\":\(version),\"stateDigest\":\"\(stateDigest)\",\"parameters\":\"\(parameters)\"}}"
        case .applied(let line, let version, let gradients):
            "{\"applied\":{\"line\":\(line),\"version\":\(version),\"gradients\":\(digests(gradients))}}"
        case .appended(let part): "{\"appended\":{\"part\":\(part.json)}}"
        case .heard(let store, let step, let payload):
            "{\"heard\":{\"store\":\(store),\"step\":\(step),\"payload\":\"\(payload)\"}}"
        case .opened(let promised, let held, let damaged):
            "{\"opened\":{\"promised\":\(promised),\"held\":\(list(held)),\"damaged\":\(list(damaged))}}"
        case .writing(let records, let promise):
            "{\"writing\":{\"records\":\(list(records)),\"promise\":\(promise)}}"
        case .synced: "{\"synced\":{}}"
        case .acknowledged(let shard, let step, let payload, let epoch):
            "{\"acknowledged\":{\"shard\":\(shard),\"step\":\(step),\"payload\":\"\(payload)\",\"epoch\":\(epoch)}}"
        case .promised(let epoch): "{\"promised\":{\"epoch\":\(epoch)}}"
        case .compacting(let kept):
            "{\"compacting\":{\"kept\":\(JSONText.array(kept.map { "{\"shard\":\($0.shard),\"step\":\($0.step)}" }))}}"
        case .led(let epoch, let committedStep):
            "{\"led\":{\"epoch\":\(epoch),\"committedStep\":\(committedStep)}}"
        case .persisting(let state, let commits):
            "{\"persisting\":{\"state\":\(state.json),\"commits\":\(JSONText.array(commits.map(\.json)))}}"
        case .persisted: "{\"persisted\":{}}"
        case .announced(let epoch, let committedStep):
            "{\"announced\":{\"epoch\":\(epoch),\"committedStep\":\(committedStep)}}"
        case .progress(let line, let step): "{\"progress\":{\"line\":\(line),\"step\":\(step)}}"
        case .fencing(let epoch, let committedStep):
            "{\"fencing\":{\"epoch\":\(epoch),\"committedStep\":\(committedStep)}}"
        case .restoring(let line, let step, let version, let shards, let heard, let lost):
            "{\"restoring\":{\"line\":\(line),\"step\":\(step),\"version\":\(version),\"shards\":\(numbers(shards)),"
                + "\"heard\":\(numbers(heard))\(lost.map { ",\"lost\":\($0)" } ?? "")}}"
        case .alarm(let kind, let sentence):
            "{\"alarm\":{\"kind\":\(JSONText.quoted(kind)),\"sentence\":\(JSONText.quoted(sentence))}}"
        case .fault(let kind, let node):
            "{\"fault\":{\"kind\":\(JSONText.quoted(kind)),\"node\":\(JSONText.quoted(node))}}"
        }
    }

    private func numbers(_ values: [some BinaryInteger]) -> String { JSONText.array(values.map { "\($0)" }) }
    private func digests(_ values: [String]) -> String { JSONText.array(values.map { "\"\($0)\"" }) }
    private func list(_ records: [HeldFact]) -> String {
        JSONText.array(
            records.map { "{\"shard\":\($0.shard),\"step\":\($0.step),\"payload\":\"\($0.payload)\"}" })
    }
}

extension PartFact {
    fileprivate var json: String {
        "{\"shard\":\(shard),\"step\":\(step),\"line\":\(line),\"epoch\":\(epoch)\(baseStep.map { ",\"baseStep\":\($0)" } ?? ""),"
            + "\"baseDigest\":\"\(baseDigest)\",\"stateDigest\":\"\(stateDigest)\",\"payload\":\"\(payload)\"}"
    }
}

extension StateFact {
    fileprivate var json: String {
        "{\"epoch\":\(epoch),\"line\":\(line),\"phase\":\(JSONText.quoted(phase)),\"committedStep\":\(committedStep)}"
    }
}

extension ManifestFact {
    fileprivate var json: String {
        let items = parts.map { part in
            "{\"shard\":\(part.shard),\"step\":\(part.step),\"line\":\(part.line),\"stateDigest\":\"\(part.stateDigest)\","
                + "\"payload\":\"\(part.payload)\",\"stores\":\(JSONText.array(part.stores.map { "\($0)" }))}"
        }
        return
            "{\"step\":\(step),\"line\":\(line),\"digest\":\"\(digest)\",\"parts\":\(JSONText.array(items))}"
    }
}

import Foundation

/// Fixed addresses of a cluster's nodes, and those at which their peers reach them where the two differ: behind address
/// translation, a tunnel or a proxy.
///
/// The file is one JSON object: `{"shard-0": {"bind": "tcp://127.0.0.1:21000", "advertise": "127.0.0.1:31000"}}`.
public struct NodeEndpoints: Sendable, Codable, Hashable {
    public struct Endpoint: Sendable, Codable, Hashable {
        /// Where the node listens.
        public var bind: String
        /// `HOST:PORT` that peers dial.
        public var advertise: String

        public init(bind: String, advertise: String) {
            self.bind = bind
            self.advertise = advertise
        }
    }

    public var nodes: [String: Endpoint] = [:]

    public init() {}

    /// - Throws: `DecodingError` for text of another form.
    public init(json: String) throws {
        nodes = try JSONDecoder().decode([String: Endpoint].self, from: Data(json.utf8))
    }

    public func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(nodes), as: UTF8.self) + "\n"
    }
}

/// Something that grows with traffic, and what keeps it from growing on.
public struct Held: Sendable, Hashable {
    public var what: String
    public var count: Int
    public var limit: Int
    public init(_ what: String, _ count: Int, limit: Int) {
        self.what = what
        self.count = count
        self.limit = limit
    }
}

/// The symbols of a frame, which the next frame of its chain may be coded by: a byte for each element.
///
/// Both sides have them without being told: the writer from encoding the frame, the reader from decoding it.
final class SymbolHistory: Sendable {
    /// The state that the frame yields.
    private let state: Digest
    /// By scope; nil where nothing was quantized.
    private let scopes: [[UInt8]?]

    init(state: Digest, scopes: [[UInt8]?]) {
        self.state = state
        self.scopes = scopes
    }

    /// The symbols of a scope; nil when they aren't those of the state that is built on, or of other elements.
    func symbols(scope: Int, count: Int, of base: Digest?) -> [UInt8]? {
        guard base == state, scope < scopes.count, let symbols = scopes[scope], symbols.count == count else {
            return nil
        }
        return symbols
    }
}

/// Calls `body` with the array's memory, or with nil.
func withPointer<Result, Failure: Error>(
    to array: [UInt8]?, _ body: (UnsafePointer<UInt8>?) throws(Failure) -> Result
) throws(Failure) -> Result {
    guard let array else { return try body(nil) }
    return try array.withUnsafeBufferPointer { (buffer) throws(Failure) in try body(buffer.baseAddress) }
}

/// Likewise, for memory that `body` writes.
func withMutablePointer<Result, Failure: Error>(
    to array: inout [UInt8]?, _ body: (UnsafeMutablePointer<UInt8>?) throws(Failure) -> Result
) throws(Failure) -> Result {
    guard var own = array else { return try body(nil) }
    // Taken out, so that the memory has one owner and isn't copied.
    array = nil
    defer { array = own }
    return try own.withUnsafeMutableBufferPointer { (buffer) throws(Failure) in try body(buffer.baseAddress) }
}

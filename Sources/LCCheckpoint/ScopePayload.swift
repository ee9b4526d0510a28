import CKernels

/// A scope's bytes; the blocks of its streams stay apart until the frame is put together.
struct ScopePayload {
    var head: [UInt8] = []
    private(set) var blocks: [[UInt8]] = []

    var byteCount: Int { blocks.reduce(head.count) { $0 + $1.count } }

    /// Appends a stream, after which nothing comes but, unless it is the last, other streams.
    mutating func append(_ stream: EncodedStream, isLast: Bool = true) {
        var own: [UInt8] = []
        stream.writeHead(isLast: isLast, into: &own)
        if blocks.isEmpty { head += own } else { blocks.append(own) }
        blocks += stream.bodies
    }

    /// Moves everything to `output`. Memory is given back on the way, so that a large frame isn't there twice.
    ///
    /// - Parameter freed: bytes that weren't given back yet.
    mutating func move(to output: inout [UInt8], freed: inout Int) {
        output.append(contentsOf: head)
        head = []
        for index in blocks.indices {
            output.append(contentsOf: blocks[index])
            freed += blocks[index].count
            blocks[index] = []
            guard freed >= 16 << 20 else { continue }
            ck_release()
            freed = 0
        }
    }
}

/// Sums over scopes that become the frame's statistics.
struct ScopeTotals {
    var elements = 0
    var rawBytes = 0
    /// Order-0 entropy in bits, over all elements.
    var entropyBits = 0.0
    /// Sums of squares.
    var error = 0.0
    var norm = 0.0
    /// A reader needs the symbols of the frame before.
    var usesPrevious = false

    func statistics(encodedBytes: Int) -> FrameStatistics {
        let relative = norm > 0 ? squareRoot(error / norm) : (error > 0 ? .infinity : 0)
        return FrameStatistics(
            elements: elements, rawBytes: rawBytes, encodedBytes: encodedBytes,
            entropyBits: elements == 0 ? 0 : entropyBits / Double(elements), relativeError: relative)
    }
}

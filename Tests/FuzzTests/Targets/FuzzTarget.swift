/// A reader of bytes that may come from anyone, as a function that must end in a value or a typed error.
///
/// Whatever the bytes are: no trap, no access outside of what is owned, no wait beyond some seconds, no memory beyond
/// what the limits of the target say. A format with checksums is tried twice, as the bytes are and with its checksums
/// made right: otherwise no changed input would ever come past the first check.
enum FuzzTarget: String, CaseIterable, Sendable {
    /// One frame of the codec, decoded onto a state that fits it.
    case frame
    /// Frames end to end, each on what the one before yields; whole, and a slice.
    case chain
    /// The encoder: settings and values from the bytes, and its frame read back.
    case encode
    /// A run file: every step, one tensor of it, and the files that they make.
    case run
    case safetensors
    case json
    /// Messages of a link: packets and fragments.
    case packets
    /// The byte stream of a socket.
    case stream
    /// Segment files of a store's log.
    case segment
    /// Image files, compressed or not.
    case idx
    /// Lines of ratings.
    case ratings
    case configuration

    /// Runs one input. A broken promise ends the process.
    ///
    /// - Returns: whether the input, or what it is with right checksums, was read to its end without an error.
    @discardableResult
    func run(_ bytes: UnsafeRawBufferPointer) -> Bool {
        switch self {
        case .frame: FrameTarget.run(bytes)
        case .chain: ChainTarget.run(bytes)
        case .encode: EncodeTarget.run(bytes)
        case .run: RunTarget.run(bytes)
        case .safetensors: SafetensorsTarget.run(bytes)
        case .json: JSONTarget.run(bytes)
        case .packets: PacketsTarget.run(bytes)
        case .stream: StreamTarget.run(bytes)
        case .segment: SegmentTarget.run(bytes)
        case .idx: IDXTarget.run(bytes)
        case .ratings: RatingsTarget.run(bytes)
        case .configuration: ConfigurationTarget.run(bytes)
        }
    }

    /// Inputs to start from; each is read to its end.
    var seeds: [[UInt8]] {
        switch self {
        case .frame: FrameTarget.seeds
        case .chain: ChainTarget.seeds
        case .encode: EncodeTarget.seeds
        case .run: RunTarget.seeds
        case .safetensors: SafetensorsTarget.seeds
        case .json: JSONTarget.seeds
        case .packets: PacketsTarget.seeds
        case .stream: StreamTarget.seeds
        case .segment: SegmentTarget.seeds
        case .idx: IDXTarget.seeds
        case .ratings: RatingsTarget.seeds
        case .configuration: ConfigurationTarget.seeds
        }
    }
}

/// A promise of what is tried; unlike a precondition it says in an optimized build, too, which one was broken.
func demand(_ holds: Bool, _ message: @autoclosure () -> String) {
    if !holds { fatalError(message()) }
}

/// Takes an input apart from the front; what isn't there reads as zero.
struct InputReader {
    private(set) var rest: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    mutating func byte() -> UInt8 { take(1).first ?? 0 }

    /// A length in two bytes, as much of it as there is.
    mutating func piece() -> UnsafeRawBufferPointer {
        let low = Int(byte())
        return take(low | Int(byte()) << 8)
    }

    /// The next bytes, fewer at the end.
    mutating func take(_ count: Int) -> UnsafeRawBufferPointer {
        let taken = UnsafeRawBufferPointer(rebasing: rest.prefix(count))
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
        return taken
    }
}

/// A few numbers without a pattern, the same each time.
struct FuzzNumbers {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state >> 16
    }

    /// Between −1 and 1, small ones more often.
    mutating func unit() -> Float {
        let value = Float(Int(next() % 65_537) - 32_768) / 32_768
        return value * value * value
    }
}

extension [UInt8] {
    mutating func put(_ value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    /// With the length in front, as `InputReader.piece` takes it.
    mutating func put(piece: [UInt8]) {
        put(UInt16(piece.count))
        append(contentsOf: piece)
    }

    mutating func set(_ value: some FixedWidthInteger, at offset: Int) {
        withUnsafeMutableBytes { bytes in
            bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: type(of: value))
        }
    }
}

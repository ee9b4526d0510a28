import Testing

@testable import LCCheckpoint

@Suite struct FrameTests {
    /// Values from a mix that has every corner: zeros, subnormals, extremes, infinities, NaNs with payloads.
    private func adversarial(_ count: Int, _ numbers: inout Numbers) -> [Float] {
        let corners: [UInt32] = [
            0, 0x8000_0000, 1, 0x8000_0001, 0x007f_ffff, 0x0080_0000, 0x7f7f_ffff, 0xff7f_ffff, 0x7f80_0000,
            0xff80_0000, 0x7fc0_0000, 0x7f80_0001, 0xffff_ffff, 0x3f80_0000, 0xbf80_0000,
        ]
        return (0..<count).map { _ in
            switch numbers.next() % 4 {
            case 0: Float(bitPattern: corners[Int(numbers.next() % UInt64(corners.count))])
            case 1: Float(bitPattern: UInt32(truncatingIfNeeded: numbers.next()))
            default: Float(Int(numbers.next() % 2001) - 1000) / 1024
            }
        }
    }

    /// A state after a step whose changes have heavy tails, as training has.
    private func trained(_ state: [Float], _ numbers: inout Numbers) -> [Float] {
        state.map { value in
            let unit = Float(Int(numbers.next() % 65_537) - 32_768) / 32_768
            let cube = unit * unit * unit
            return value + 1e-2 * cube * cube * cube
        }
    }

    @Test(arguments: everySetting)
    func agreesWithTheReferenceOnCorners(_ settings: CodecSettings) throws {
        guard case .lc(let bits) = settings.kind else { return }
        var numbers = Numbers(state: 7)
        for count in [0, 1, 2, 3, 7, 8, 9, 63, 257, 1000] {
            var state = adversarial(count, &numbers)
            for _ in 0..<3 {
                let target = adversarial(count, &numbers)
                let (frame, reconstruction) = try encode(target, onto: state, settings)
                // Where most deltas aren't finite all bits are carried.
                let nonfinite = zip(target, state).count { !($0 - $1).isFinite }
                let expected =
                    nonfinite > count / 2 ? target : referenceStep(target, onto: state, bits: bits)
                #expect(patterns(reconstruction) == patterns(expected))
                #expect(patterns(try apply(frame.bytes, to: state)) == patterns(reconstruction))
                #expect(digest(reconstruction) == frame.stateDigest)
                state = reconstruction
            }
        }
    }

    @Test(arguments: everySetting)
    func agreesWithTheReferenceOnTraining(_ settings: CodecSettings) throws {
        guard case .lc(let bits) = settings.kind else { return }
        var numbers = Numbers(state: 11)
        var live = (0..<9001).map { _ in Float(Int(numbers.next() % 2001) - 1000) / 1024 }
        var state = live
        for _ in 0..<4 {
            live = trained(live, &numbers)
            let (frame, reconstruction) = try encode(live, onto: state, settings)
            #expect(patterns(reconstruction) == patterns(referenceStep(live, onto: state, bits: bits)))
            #expect(patterns(try apply(frame.bytes, to: state)) == patterns(reconstruction))
            #expect(patterns(try PlainDecoder.decode(frame.bytes, onto: state)) == patterns(reconstruction))
            state = reconstruction
            var huffman = settings
            huffman.entropy = .huffman
            let size = try encode(live, onto: state, huffman).frame.bytes.count
            #expect(try encode(live, onto: state, settings).frame.bytes.count <= size)
            if settings.entropy == .best {
                let entropy = frame.statistics.entropyBits * Double(live.count) / 8
                #expect(Double(frame.bytes.count) <= 1.02 * entropy + 160)
            }
        }
    }

    @Test func exactCarriesEveryBit() throws {
        var numbers = Numbers(state: 3)
        for entropy in [CodecSettings.Entropy.best, .huffman] {
            let settings = CodecSettings(kind: .exact, entropy: entropy)
            let first = adversarial(777, &numbers)
            let second = adversarial(777, &numbers)
            let base = try encode(first, onto: second, settings, kind: .base)
            #expect(patterns(base.reconstruction) == patterns(first))
            #expect(patterns(try apply(base.frame.bytes, to: second)) == patterns(first))
            let delta = try encode(second, onto: first, settings)
            #expect(patterns(try apply(delta.frame.bytes, to: first)) == patterns(second))
        }
    }

    @Test func anotherBaseIsRefused() throws {
        let (frame, _) = try encode([1, 2, 3], onto: [0, 0, 0], CodecSettings(kind: .lc(bits: 3)))
        #expect(throws: CodecError.self) { try apply(frame.bytes, to: [0, 0, 1]) }
        #expect(throws: CodecError.self) { try apply(frame.bytes, to: [0, 0]) }
    }

    @Test func everyPrefixAndEveryFlipIsRefused() throws {
        var numbers = Numbers(state: 5)
        let state = (0..<300).map { Float($0) }
        for settings in [CodecSettings(kind: .lc(bits: 3)), .init(kind: .lc(bits: nil), entropy: .huffman)] {
            let bytes = try encode(trained(state, &numbers), onto: state, settings).frame.bytes
            for count in bytes.indices {
                #expect(throws: CodecError.self) { try apply(Array(bytes[..<count]), to: state) }
            }
            for position in bytes.indices {
                var damaged = bytes
                damaged[position] ^= 1 << UInt8(numbers.next() % 8)
                #expect(throws: CodecError.self) { try apply(damaged, to: state) }
            }
        }
    }

    /// Damage behind a checksum that was made to fit must be an error or the right state, never a trap.
    @Test func hostileFramesNeverTrap() throws {
        var numbers = Numbers(state: 9)
        let state = (0..<500).map { Float($0) }
        var target = trained(state, &numbers)
        target[17] = .nan
        for settings in everySetting + [CodecSettings(kind: .exact)] {
            let (frame, reconstruction) = try encode(target, onto: state, settings)
            for _ in 0..<400 {
                var damaged = frame.bytes
                for _ in 0..<(1 + numbers.next() % 3) {
                    damaged[6 + Int(numbers.next() % UInt64(damaged.count - 6))] = UInt8(
                        numbers.next() & 0xff)
                }
                if numbers.next() % 4 == 0 { damaged.removeSubrange(60..<(61 + Int(numbers.next() % 9))) }
                seal(&damaged)
                guard let result = try? apply(damaged, to: state) else { continue }
                #expect(patterns(result) == patterns(reconstruction))
            }
        }
    }

    /// Makes length and checksum right.
    private func seal(_ bytes: inout [UInt8]) {
        for byte in 0..<6 { bytes[6 + byte] = UInt8(truncatingIfNeeded: bytes.count >> (8 * byte)) }
        bytes.removeLast(8)
        bytes.append(littleEndian: bytes.withUnsafeBytes { checksum64($0) })
    }

    /// Training that goes astray leaves a model of NaNs, step after step.
    @Test(arguments: [
        CodecSettings(kind: .lc(bits: 3)), .init(kind: .lc(bits: nil)), .init(kind: .auto(error: 1e-3)),
    ])
    func modelsOfNaNsTakeNoMoreThanTheirBits(_ settings: CodecSettings) throws {
        for count in [100, 20_000] {
            var live = (0..<count).map { Float($0) / 8 }
            var (state, sizes) = (live, [Int]())
            for round in 0..<3 {
                // A few survive, and move on.
                for index in live.indices { live[index] = index % 10 == 0 ? live[index] + 1 : .nan }
                if round == 2 { live[1] = Float(bitPattern: 0xff81_2345) }
                let (frame, reconstruction) = try encode(live, onto: state, settings)
                #expect(patterns(reconstruction) == patterns(live))
                #expect(patterns(try apply(frame.bytes, to: state)) == patterns(live))
                state = reconstruction
                sizes.append(frame.bytes.count)
            }
            #expect(sizes[0] < 4 * count + 200, "\(sizes)")
            #expect(sizes[1] < count + 200 && sizes[2] < count + 200, "\(sizes)")
        }
    }

    @Test func halvesRoundTripAndRoundToEven() {
        for bits in UInt16.min...UInt16.max {
            #expect(half(float: float(half: bits)) == bits)
            #expect(brain(float: Float(bitPattern: UInt32(bits) << 16)) == bits)
        }
        #expect(half(float: 65_519.996) == 0x7bff)
        #expect(half(float: 65_520) == 0x7c00)
        #expect(half(float: 2049) == 0x6800)
        #expect(half(float: 0x1p-25) == 0)
        #expect(half(float: 0x1.8p-24) == 2)
    }

    @Test func bombsAreRefused() throws {
        var numbers = Numbers(state: 1)
        let base = try encode(
            adversarial(10, &numbers), onto: [Float](repeating: 0, count: 10), .init(kind: .exact),
            kind: .base)
        let limits = FrameLimits(maximumStateBytes: 39)
        #expect(throws: CodecError.self) {
            try base.frame.bytes.withUnsafeBytes { _ = try Frame(parsing: $0, limits: limits) }
        }
    }

    /// Squares of such deltas are beyond what floats hold; their error is that of larger ones all the same.
    @Test func smallNumbersHaveAnErrorToo() throws {
        var numbers = Numbers(state: 27)
        for count in [50, 9000] {
            let base = (0..<count).map { _ in Float(Int(numbers.next() % 2001) - 1000) / 1e4 }
            let target = base.map { $0 + Float(Int(numbers.next() % 2001) - 1000) / 1e7 }
            for bits in [2, 4] {
                let settings = CodecSettings(kind: .lc(bits: bits))
                let large = try encode(target, onto: base, settings).frame.statistics.relativeError
                let small = try encode(
                    target.map { $0 * 0x1p-80 }, onto: base.map { $0 * 0x1p-80 }, settings
                ).frame.statistics.relativeError
                #expect(large > 0)
                #expect(abs(small - large) <= 1e-5 * large)
            }
        }
    }
}

import CZlib
import Testing

@testable import Training

@Suite struct DataTests {
    private let images: [UInt8] = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 10, 20, 30, 40]
    private let labels: [UInt8] = [0, 0, 8, 1, 0, 0, 0, 2, 3, 9]

    private func gzip(_ bytes: [UInt8]) -> [UInt8] {
        var stream = z_stream()
        deflateInit2_(
            &stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size))
        defer { deflateEnd(&stream) }
        var (input, output) = (bytes, [UInt8](repeating: 0, count: bytes.count + 100))
        let room = output.count
        let made = input.withUnsafeMutableBufferPointer { source in
            output.withUnsafeMutableBufferPointer { target in
                stream.next_in = source.baseAddress
                stream.avail_in = UInt32(source.count)
                stream.next_out = target.baseAddress
                stream.avail_out = UInt32(room)
                deflate(&stream, Z_FINISH)
                return room - Int(stream.avail_out)
            }
        }
        return Array(output.prefix(made))
    }

    @Test func readsPlainAndCompressedIDX() throws {
        for bytes in [images, gzip(images)] {
            let content = try IDX.parse(bytes, path: "x", rank: 3)
            #expect(content.dimensions == [2, 1, 2] && content.bytes == [10, 20, 30, 40])
        }
    }

    @Test func refusesDamagedIDX() {
        var huge = images
        huge[4] = 0x7F
        var flipped = gzip(images)
        flipped[flipped.count - 6] ^= 1
        let bad = [
            [], [0], Array(images.dropLast()), images + [1], huge, gzip(huge), flipped, labels,
            gzip(images + [1]),
            Array(gzip(images).dropLast(3)), Array(gzip(images).prefix(12)), gzip(images) + [0],
        ]
        for bytes in bad {
            #expect(throws: DataError.self) { try IDX.parse(bytes, path: "x", rank: 3) }
        }
        for cut in 0..<images.count {
            #expect(throws: DataError.self) { try IDX.parse(Array(images.prefix(cut)), path: "x", rank: 3) }
        }
    }

    @Test func readsAFolderOfImages() throws {
        try withFolder { folder in
            #expect(throws: DataError.self) { try loadDataset(kind: .mnist, path: folder) }
            try write(gzip(images), to: "\(folder)/train-images-idx3-ubyte.gz")
            try write(labels, to: "\(folder)/train-labels.idx1-ubyte")
            let dataset = try loadDataset(kind: .mnist, path: folder, parts: .training)
            #expect(dataset.training.count == 2 && dataset.heldOut.count == 0)
            try write([0, 0, 8, 1, 0, 0, 0, 2, 3, 10], to: "\(folder)/train-labels.idx1-ubyte")
            #expect(throws: DataError.self) { try loadDataset(kind: .mnist, path: folder, parts: .training) }
        }
    }

    @Test func missingAndMalformedDiffer() throws {
        do throws(DataError) {
            _ = try loadDataset(kind: .movielens, path: "/nonexistent")
            Issue.record("a missing file was read")
        } catch {
            guard case .missing = error else { throw error }
        }
        try withFolder { folder in
            try write(Array("1\t2\t3\t4\n1\tx\t3\t4\n".utf8), to: "\(folder)/u.data")
            do throws(DataError) {
                _ = try loadDataset(kind: .movielens, path: folder)
                Issue.record("a malformed line was read")
            } catch {
                guard case .malformed(let text) = error else { throw error }
                #expect(text.contains("u.data, line 2"))
            }
        }
    }

    @Test(arguments: [
        "7\t30\t5\t88\n2\t10\t3\t88\n7\t10\t4\t99\n", "7::30::5::88\n2::10::3::88\n7::10::4::99\n",
        "userId,movieId,rating,timestamp\r\n7,30,5.0,88\r\n2,10,3,88\r\n7,10,4.0,99\r\n",
    ])
    func readsRatings(_ text: String) throws {
        let lines = try RatingLines.parse(Array(text.utf8), path: "x")
        #expect(lines.users == [7, 2, 7] && lines.items == [30, 10, 10] && lines.ratings == [5, 3, 4])
        let rows = RowNumbers(ids: [4_000_000_000, 7, 7, 9])
        #expect([7, 9, 4_000_000_000].map { rows.row($0) } == [0, 1, 2] && rows.count == 3)
    }

    @Test(arguments: [
        "", "a,b,c\n", "1,2\n", "1,2,3,4,5\n", "1,2,9999,4\n", "99999999999,2,3,4\n", "1:2:3:4\n",
    ])
    func refusesBadRatings(_ text: String) {
        #expect(throws: DataError.self) { try RatingLines.parse(Array(text.utf8), path: "x") }
    }

    @Test func theSplitIsOneInTen() {
        let held = (0..<10_000).filter { RatingLines.isHeldOut(pair: UInt64($0), seed: 1) }.count
        #expect((800...1200).contains(held))
    }
}

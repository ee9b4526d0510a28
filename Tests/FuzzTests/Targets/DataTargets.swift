import CZlib

@testable import Cluster
@testable import Training

/// Image files. The first byte says how many dimensions, and whether the rest is compressed first.
enum IDXTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var input = InputReader(bytes)
        let mode = input.byte()
        let content = Array(input.rest)
        let file = mode & 4 == 0 ? content : compressed(content)
        guard let read = try? IDX.parse(file, path: "a", rank: 1 + Int(mode % 3)) else { return false }
        demand(read.bytes.count == read.dimensions.reduce(1, *), "bytes that aren't the dimensions'")
        return true
    }

    /// As gzip, with its checksum.
    static func compressed(_ bytes: [UInt8]) -> [UInt8] {
        var stream = z_stream()
        guard
            deflateInit2_(
                &stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
                Int32(MemoryLayout<z_stream>.size)) == Z_OK
        else { fatalError("zlib doesn't start") }
        defer { deflateEnd(&stream) }
        var source = bytes + [0]
        let room = Int(deflateBound(&stream, UInt(bytes.count)))
        return [UInt8](unsafeUninitializedCapacity: room) { output, count in
            source.withUnsafeMutableBufferPointer { source in
                stream.next_in = source.baseAddress
                stream.avail_in = UInt32(bytes.count)
                stream.next_out = output.baseAddress
                stream.avail_out = UInt32(room)
                demand(deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib needs more room than it says")
            }
            count = room - Int(stream.avail_out)
        }
    }

    static var seeds: [[UInt8]] {
        let labels: [UInt8] = [0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3]
        let images: [UInt8] = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2] + [1, 2, 3, 4, 5, 6, 7, 8]
        return [[0] + labels, [4 + 2] + labels, [2] + images, [8] + images]
            + [[0] + compressed(labels), [2] + compressed(images)]
    }
}

/// Lines of ratings, in each of their forms.
enum RatingsTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let lines = try? RatingLines.parse(Array(bytes), path: "a"),
            let data = try? RatingLines.dataset(lines, path: "a", seed: 1)
        else { return false }
        let (users, items) = (
            data.training.users + data.heldOut.users, data.training.items + data.heldOut.items
        )
        demand(users.count == lines.ratings.count && items.count == users.count, "ratings were lost")
        demand(
            users.allSatisfy { (0..<data.userCount).contains(Int($0)) }
                && items.allSatisfy { (0..<data.itemCount).contains(Int($0)) }, "a row outside of its matrix")
        demand(data.mean >= 0 && data.mean <= 101, "a mean beyond every rating")
        return true
    }

    static var seeds: [[UInt8]] {
        [
            "196\t242\t3\t881250949\n186\t302\t3\t891717742\r\n22\t377\t1\t878887116",
            "1::1193::5::978300760\n1::661::3::978302109\n2147483647::914::3.5::978301968\n",
            "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,3,0.5,964981247\n2,3,5.0",
        ].map { Array($0.utf8) }
    }
}

/// A configuration: what is accepted is written and read back as the same.
enum ConfigurationTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let text = String(decoding: bytes, as: UTF8.self)
        do throws(ConfigurationError) {
            let read = try ClusterConfiguration.parse(yaml: text, file: "a.yaml")
            let again = try? ClusterConfiguration.parse(yaml: read.yaml(), file: "b.yaml")
            demand(again == read, "a configuration is written as another:\n\(read.yaml())")
            return true
        } catch {
            demand(
                error.problems.allSatisfy { !$0.message.isEmpty && $0.line >= 0 }, "a problem without words")
            return false
        }
    }

    static var seeds: [[UInt8]] {
        var full = ClusterConfiguration()
        full.data.path = "it's/a path"
        return [
            "", full.yaml(),
            "cluster: {shards: 3, name: 'a\"b'}\nmodel: {kind: mf, rank: 4}\ndata: {kind: movielens}",
            "checkpoint: {codec: {kind: auto, error: 1e-3}, keep: {last: 3}}\ntraining:\n  batch: 16\n",
        ].map { Array($0.utf8) }
    }
}

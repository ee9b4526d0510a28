import Foundation
import Testing

@testable import Tensors

@Suite struct NPZTests {
    /// NumPy itself reads what is written; without Python and NumPy there is nothing to ask.
    @Test func numpyLoadsIt() throws {
        let path = NSTemporaryDirectory() + "varve-npz-\(UUID().uuidString).npz"
        defer { try? FileManager.default.removeItem(atPath: path) }
        func shape(_ extents: [Int]) -> Shape { Shape(extents).unsafelyUnwrapped }
        let matrix = try #require(
            Tensor(name: "fc.weight", shape: shape([2, 3]), floats: [1, 2, 3, 4, 5, 6]))
        let brain = try #require(
            Tensor(
                name: "brain", dtype: .bfloat16, shape: shape([2]),
                bytes: [0x80, 0x3f, 0, 0xc0]))
        let scalar = try #require(
            Tensor(
                name: "step", dtype: .int64, shape: shape([]), bytes: [7, 0, 0, 0, 0, 0, 0, 0]))
        let empty = try #require(
            Tensor(name: "empty", dtype: .float64, shape: shape([0, 4]), bytes: []))
        try NPZ.write(
            try TensorCollection(tensors: [matrix, brain, scalar, empty], metadata: ["mean": "3.5"]), to: path
        )
        let script = """
            import sys
            try:
                import numpy, zipfile
            except ImportError:
                sys.exit(0)
            assert zipfile.ZipFile(sys.argv[1]).testzip() is None
            z = numpy.load(sys.argv[1])
            assert z['fc.weight'].dtype == 'float32' and (z['fc.weight'] == [[1, 2, 3], [4, 5, 6]]).all()
            assert (z['brain'] == [1, -2]).all() and z['step'].shape == () and z['step'] == 7
            assert z['empty'].shape == (0, 4) and str(z['__metadata__/mean']) == '3.5'
            """
        let python = Process()
        python.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        python.arguments = ["python3", "-c", script, path]
        try python.run()
        python.waitUntilExit()
        // 127: there is no Python.
        #expect([0, 127].contains(python.terminationStatus))
    }
}

import CBLAS
import Foundation

/// The dense products, from OpenBLAS, all row by row in memory.
public enum BLAS {
    /// Holds BLAS to one thread: processes are the parallelism here, and one thread gives the same bits each time.
    ///
    /// The threads that the library starts as it is loaded are ended, where it has a name for that: they would keep a core busy
    /// for tens of milliseconds, waiting for work that never comes.
    public static let useOneThread: Void = {
        openblas_set_num_threads(1)
        guard let symbol = dlsym(nil, "blas_thread_shutdown_") else { return }
        _ = unsafeBitCast(symbol, to: (@convention(c) () -> CInt).self)()
    }()

    /// A matrix as a product's operand: where it lies, its row length in memory, and whether to use its transpose.
    struct Operand {
        var base: UnsafePointer<Float>
        var rowStride: Int
        var transposed = false

        init(_ base: UnsafePointer<Float>, rowStride: Int, transposed: Bool = false) {
            self.base = base
            self.rowStride = rowStride
            self.transposed = transposed
        }
    }

    /// The sizes of `[rows, inner] · [inner, columns]`.
    struct Sizes {
        var rows: Int
        var columns: Int
        var inner: Int
    }

    /// `target = left · right`, or `target += left · right` when `accumulating`; `target` is dense.
    static func multiply(
        _ left: Operand, _ right: Operand, _ sizes: Sizes, into target: UnsafeMutablePointer<Float>,
        accumulating: Bool = false
    ) {
        cblas_sgemm(
            CblasRowMajor, left.transposed ? CblasTrans : CblasNoTrans,
            right.transposed ? CblasTrans : CblasNoTrans,
            Int32(sizes.rows), Int32(sizes.columns), Int32(sizes.inner), 1, left.base, Int32(left.rowStride),
            right.base, Int32(right.rowStride), accumulating ? 1 : 0, target, Int32(sizes.columns))
    }
}

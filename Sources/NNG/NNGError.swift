internal import CNNG

/// A call into nng that failed, with the sentence that an operator reads.
public struct NNGError: Error, Hashable, Sendable, CustomStringConvertible {
    /// nng's error number, such as 10 for an address in use.
    public let code: Int32
    /// What was attempted, in words: "listen on tcp://127.0.0.1:7000".
    public let operation: String

    /// Names a failed call by nng's error number.
    public init(code: Int32, operation: String) {
        self.code = code
        self.operation = operation
    }

    /// One sentence: what failed, why, and what to do about it where that is known.
    public var description: String {
        let reason = String(cString: nng_strerror(code)).lowercased()
        let advice = NNGError.advice(code)
        return "cannot \(operation): \(reason)\(advice.isEmpty ? "" : "; \(advice)")"
    }

    private static func advice(_ code: Int32) -> String {
        switch code {
        case Code.addressInUse: "another process holds the port: stop it or choose another port"
        case Code.invalid, Code.addressInvalid, Code.notSupported:
            "the address must look like tcp://127.0.0.1:7000 or tls+tcp://name:7000"
        case Code.permission: "ports below 1024 need privileges: choose a higher one"
        case Code.crypto: "check that the PEM files are complete and hold RSA or P-256 keys"
        case Code.noFiles: "raise the limit on open files (ulimit -n)"
        default: ""  // nng's numbers are open-ended and grow with its versions.
        }
    }

    /// The numbers of nng that this wrapper tells apart.
    enum Code {
        static let noMemory = Int32(NNG_ENOMEM.rawValue)
        static let invalid = Int32(NNG_EINVAL.rawValue)
        static let timedOut = Int32(NNG_ETIMEDOUT.rawValue)
        static let closed = Int32(NNG_ECLOSED.rawValue)
        static let notSupported = Int32(NNG_ENOTSUP.rawValue)
        static let addressInUse = Int32(NNG_EADDRINUSE.rawValue)
        static let addressInvalid = Int32(NNG_EADDRINVAL.rawValue)
        static let permission = Int32(NNG_EPERM.rawValue)
        static let canceled = Int32(NNG_ECANCELED.rawValue)
        static let noFiles = Int32(NNG_ENOFILES.rawValue)
        static let messageSize = Int32(NNG_EMSGSIZE.rawValue)
        static let crypto = Int32(NNG_ECRYPTO.rawValue)
    }

    /// Throws when `code` is an error number of nng.
    static func check(_ code: Int32, _ operation: @autoclosure () -> String) throws(NNGError) {
        if code != 0 { throw NNGError(code: code, operation: operation()) }
    }
}

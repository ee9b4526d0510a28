import Tensors

/// An end of the program that its user should know of: one sentence, and the exit code that the contract gives it.
struct CommandFailure: Error, Hashable {
    let message: String
    let exitCode: Int32

    init(_ message: String, exitCode: Int32) {
        self.message = message
        self.exitCode = exitCode
    }

    /// Done.
    static let done: Int32 = 0
    /// It ran and failed.
    static let failed: Int32 = 1
    /// A check that was asked for did not hold.
    static let checkFailed: Int32 = 2
    /// The command line makes no sense.
    static let usage: Int32 = 64
    /// An input is malformed.
    static let malformed: Int32 = 65
    /// An input file is missing or unreadable.
    static let missingInput: Int32 = 66
    /// Bad configuration.
    static let configuration: Int32 = 78
}

extension CommandFailure: CustomStringConvertible {
    /// The message in one line, whatever was quoted in it.
    var description: String {
        message.split(whereSeparator: \.isNewline).joined(separator: " ")
    }
}

/// A command line that makes no sense, in words.
func usage(_ message: String) -> CommandFailure {
    CommandFailure(message, exitCode: CommandFailure.usage)
}

extension CommandFailure {
    init(_ error: TensorFileError) {
        switch error.kind {
        case .unreadable: self.init(error.message, exitCode: CommandFailure.missingInput)
        case .malformed: self.init(error.message, exitCode: CommandFailure.malformed)
        case .unwritable, .noMemory: self.init(error.message, exitCode: CommandFailure.failed)
        }
    }
}

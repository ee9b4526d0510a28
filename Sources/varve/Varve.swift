import ArgumentParser
import Tensors
import Training

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The command line. Each subcommand lives in a file of its own.
@main
struct Varve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "varve",
        abstract:
            "A parameter server whose training survives: compressed, replicated checkpoints of every step.",
        subcommands: [
            UpCommand.self, StatusCommand.self, TopCommand.self, KillCommand.self, DownCommand.self,
            ExportCommand.self,
            CheckpointsCommand.self, HistoryCommand.self, LogsCommand.self, ConfigCommand.self,
            DoctorCommand.self,
            BenchCommand.self,
            CodecCommand.self, SimulateCommand.self, DrillCommand.self,
            CoordinatorCommand.self, ShardCommand.self, StoreCommand.self, WorkerCommand.self,
        ]
    )

    /// Runs the command; an error becomes one line on stderr and an exit code.
    static func main() async {
        // A limit on the size of files is an error of the write that meets it, like a full disk.
        signal(SIGXFSZ, SIG_IGN)
        // Ends the threads that were started as the library was loaded.
        BLAS.useOneThread
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            // What was printed may still wait for a disk that is full.
            guard fflush(nil) == 0 else {
                throw CommandFailure(
                    "the output could not be written: \(String(cString: strerror(errno)))",
                    exitCode: CommandFailure.failed)
            }
        } catch let failure as CommandFailure {
            end(failure)
        } catch let error as TensorFileError {
            end(CommandFailure(error))
        } catch {
            // Help and the like leave with 0 on stdout; a line that makes no sense gets one that does.
            guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
            end(usage(message(for: error)))
        }
    }

    /// Writes one line to stderr and ends.
    private static func end(_ failure: CommandFailure) -> Never {
        let line = Array("varve: \(failure)\n".utf8)
        _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
        leave(failure.exitCode)
    }
}

/// exit(3), whose name the commands' own `exit` hides.
private func leave(_ code: Int32) -> Never { exit(code) }

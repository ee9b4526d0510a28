import CFuzzer
import Glibc

// `varve-fuzz TARGET [libFuzzer's options and folders]`, or `varve-fuzz seeds TARGET FOLDER`, or `varve-fuzz list`.
// Built and run by deploy/fuzz.

/// What the callback of libFuzzer, which takes no context, runs.
nonisolated(unsafe) var chosen = FuzzTarget.frame

func fail(_ message: String) -> Never {
    let line = Array("error: \(message)\n".utf8)
    write(2, line, line.count)
    exit(64)
}

func target(_ place: Int) -> FuzzTarget {
    let name = CommandLine.arguments.count > place ? CommandLine.arguments[place] : ""
    guard let found = FuzzTarget(rawValue: name) else {
        fail("no target '\(name)': one of \(FuzzTarget.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return found
}

func writeSeeds(of target: FuzzTarget, into folder: String) {
    for (index, seed) in target.seeds.enumerated() {
        let path = "\(folder)/seed-\(index)"
        guard let file = fopen(path, "w"), fwrite(seed, 1, seed.count, file) == seed.count, fclose(file) == 0
        else { fail("can't write \(path)") }
    }
}

switch CommandLine.arguments.dropFirst().first {
case "list":
    for target in FuzzTarget.allCases { print(target.rawValue) }
case "seeds":
    guard CommandLine.arguments.count == 4 else { fail("usage: varve-fuzz seeds TARGET FOLDER") }
    writeSeeds(of: target(2), into: CommandLine.arguments[3])
default:
    chosen = target(1)
    var count = CommandLine.argc - 1
    // libFuzzer takes the name of the program from its first argument: ours takes the place of the target's name.
    CommandLine.unsafeArgv[1] = CommandLine.unsafeArgv[0]
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv + 1
    exit(
        LLVMFuzzerRunDriver(&count, &arguments) { bytes, count in
            chosen.run(UnsafeRawBufferPointer(start: bytes, count: Int(count)))
            return 0
        })
}

import Foundation
import Testing

/// Where the repository stands, from the place of this file.
enum Repository {
    static let root: String = {
        // Tests/ClusterTests/<this file>: three components below the root.
        let file = URL(fileURLWithPath: "\(#filePath)").resolvingSymlinksInPath()
        return file.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
    }()
}

/// Reads the imports of every target and fails when an arrow turns: decisions never import IO, roles never import
/// each other, and only the wrapper touches the C library of messaging.
@Suite struct ArrowsTests {
    private static let pure: Set<String> = [
        "LCCheckpoint", "Tensors", "ModelCodec", "Wire", "MachineCore", "Invariants", "ParameterState",
        "CoordinatorLogic",
        "ShardLogic", "StoreLogic", "WorkerLogic",
    ]
    private static let roles: Set<String> = ["CoordinatorLogic", "ShardLogic", "StoreLogic", "WorkerLogic"]
    /// What touches the world: the system's libraries, and our targets that use them.
    private static let io: Set<String> = [
        "Foundation", "FoundationEssentials", "FoundationNetworking", "Dispatch", "Glibc", "Musl", "Darwin",
        "Synchronization", "Logging", "GRDB", "Yams", "CNNG", "CSystem", "NNG", "Storage", "Node", "Cluster",
        "Drill",
        "Simulation", "varve",
    ]
    /// Tensor files are read and written where their formats are known; nothing else there touches the world.
    private static let allowed: Set<String> = [
        "Sources/Tensors/Files.swift", "Sources/Tensors/FileMemory.swift", "Sources/Tensors/FileSource.swift",
        // Locks for what several threads leave while one frame is coded.
        "Sources/LCCheckpoint/SectionDigests.swift", "Sources/LCCheckpoint/SectionStreams.swift",
    ]
    private static let messagingUsers: Set<String> = ["NNG", "nng-soak"]

    struct Import: Hashable, CustomStringConvertible {
        let target: String
        let module: String
        let file: String
        var description: String { "\(file) imports \(module)" }
    }

    /// The module of an `import` line, whatever attributes, access level or kind of declaration it carries.
    static func module(of line: Substring) -> String? {
        let code = line.split(separator: "//", maxSplits: 1, omittingEmptySubsequences: false).first ?? line
        var words = code.split(whereSeparator: { $0 == " " || $0 == "\t" })[...]
        let access: Set<Substring> = ["public", "internal", "package", "private", "fileprivate"]
        while let word = words.first, word.hasPrefix("@") || access.contains(word) { words.removeFirst() }
        guard words.first == "import" else { return nil }
        words.removeFirst()
        let kinds: Set<Substring> = [
            "struct", "class", "enum", "protocol", "func", "var", "let", "typealias",
        ]
        if let word = words.first, kinds.contains(word) { words.removeFirst() }
        return words.first?.split(separator: ".").first.map(String.init)
    }

    private static func imports() throws -> [Import] {
        let folder = Repository.root + "/Sources"
        let files = FileManager.default
        var found: [Import] = []
        for target in try files.contentsOfDirectory(atPath: folder).sorted() {
            guard let names = try? files.subpathsOfDirectory(atPath: "\(folder)/\(target)") else { continue }
            for name in names.sorted() where name.hasSuffix(".swift") {
                let file = "Sources/\(target)/\(name)"
                let text = try String(contentsOfFile: "\(Repository.root)/\(file)", encoding: .utf8)
                for line in text.split(whereSeparator: \.isNewline) {
                    if let module = module(of: line) {
                        found.append(Import(target: target, module: module, file: file))
                    }
                }
            }
        }
        return found
    }

    @Test func decisionsImportNoIO() throws {
        let imports = try Self.imports()
        // Names that no longer exist would make every test here pass for nothing.
        #expect(Self.pure.isSubset(of: try Self.targets()))
        let turned = imports.filter {
            Self.pure.contains($0.target) && Self.io.contains($0.module) && !Self.allowed.contains($0.file)
        }
        #expect(turned.isEmpty, "\(turned)")
    }

    @Test func rolesDoNotImportEachOther() throws {
        let turned = try Self.imports().filter {
            Self.roles.contains($0.target) && Self.roles.contains($0.module)
        }
        #expect(turned.isEmpty, "\(turned)")
    }

    /// A check that used the logic which it checks would share its mistakes.
    @Test func checkersKnowNoRole() throws {
        let imported = Set(try Self.imports().filter { $0.target == "Invariants" }.map(\.module))
        #expect(imported == ["MachineCore"])
    }

    /// Mistakes are built in by the simulator, and can be by nothing that runs a cluster.
    @Test func onlyTheSimulatorBuildsInMistakes() throws {
        let folder = Repository.root + "/Sources"
        let files = FileManager.default
        for name in try files.subpathsOfDirectory(atPath: folder) where name.hasSuffix(".swift") {
            let text = try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
            let sets = text.contains(".mutation = ") || text.contains("Mutation(rawValue")
            #expect(!sets || name.hasPrefix("Simulation/"), "\(name) sets a mutation")
        }
    }

    @Test func onlyTheWrapperTouchesTheMessagingLibrary() throws {
        let users = try Self.imports().filter { $0.module == "CNNG" }
        #expect(!users.isEmpty)
        #expect(users.allSatisfy { Self.messagingUsers.contains($0.target) }, "\(users)")
    }

    @Test func codecImportsNothingOfOurs() throws {
        let ours = try Self.targets().subtracting(["CKernels"])
        let turned = try Self.imports().filter { $0.target == "LCCheckpoint" && ours.contains($0.module) }
        #expect(turned.isEmpty, "\(turned)")
    }

    @Test(arguments: [
        ("import Foundation", "Foundation"), ("@testable import Cluster", "Cluster"),
        ("    internal import CNNG // why", "CNNG"), ("import struct Foundation.Data", "Foundation"),
        ("@preconcurrency public import NNG", "NNG"),
    ]) func importLinesAreRead(line: String, module: String) {
        #expect(Self.module(of: Substring(line)) == module)
    }

    @Test(arguments: ["// import Foundation", "let importance = 1", "important()", ""])
    func otherLinesAreNot(line: String) {
        #expect(Self.module(of: Substring(line)) == nil)
    }

    private static func targets() throws -> Set<String> {
        Set(try FileManager.default.contentsOfDirectory(atPath: Repository.root + "/Sources"))
    }
}

// swift-tools-version: 6.2
import PackageDescription

/// Warnings are errors in our targets; dependencies keep their own settings.
let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

/// A library target of ours with the project's settings.
func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// A test target beside the target that it tests.
func tests(
    _ name: String, _ dependencies: [Target.Dependency], resources: [Resource]? = nil
) -> Target {
    .testTarget(name: name, dependencies: dependencies, resources: resources, swiftSettings: strict)
}

let log: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
    name: "varve",
    products: [
        .executable(name: "varve", targets: ["varve"]),
        .library(name: "LCCheckpoint", targets: ["LCCheckpoint"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // C libraries of the system, and the few system calls that Swift can't reach.
        .systemLibrary(name: "CNNG", providers: [.apt(["libnng-dev"])]),
        .systemLibrary(name: "CBLAS", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(name: "CXXHash", providers: [.apt(["libxxhash-dev"])]),
        .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
        // Measured against in benchmarks, and used for nothing else.
        .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "CBenchLoops"),
        .target(name: "CSystem"),

        // What is pure: bytes, numbers and decisions, without IO.
        // The codec's inner loops: vector instructions where the machine has them, plain C everywhere.
        .target(name: "CKernels"),
        library("LCCheckpoint", ["CKernels"]),
        library("Tensors"),
        library("ModelCodec", ["LCCheckpoint", "Tensors"]),
        .target(
            name: "Wire", dependencies: [.product(name: "SwiftProtobuf", package: "swift-protobuf")],
            exclude: ["varve.proto"], swiftSettings: strict),
        library("MachineCore", ["Wire"]),
        library("Invariants", ["MachineCore"]),
        library("CoordinatorLogic", ["MachineCore", "Wire", "Tensors", "LCCheckpoint"]),
        library("ShardLogic", ["MachineCore", "Wire", "Tensors", "LCCheckpoint"]),
        library("StoreLogic", ["MachineCore", "Wire", "Tensors", "LCCheckpoint"]),
        library("WorkerLogic", ["MachineCore", "Wire", "Tensors", "LCCheckpoint"]),
        library("Training", ["Tensors", "CBLAS", "CZlib"]),
        library("ParameterState", ["Wire", "LCCheckpoint", "Training"]),

        // What touches the world.
        library("NNG", ["CNNG"]),
        library("Storage", ["CSystem", "CXXHash", .product(name: "GRDB", package: "GRDB.swift")]),
        library(
            "Node",
            [
                "CoordinatorLogic", "ShardLogic", "StoreLogic", "WorkerLogic", "MachineCore", "Wire",
                "NNG", "Storage", "Training", "ParameterState", "LCCheckpoint", "Tensors", "CSystem",
                "Invariants", log,
            ]),
        library(
            "Cluster",
            [
                "MachineCore", "Training", "LCCheckpoint", "CSystem",
                .product(name: "Yams", package: "Yams"),
            ]),
        library(
            "Simulation",
            [
                "CoordinatorLogic", "ShardLogic", "StoreLogic", "WorkerLogic", "MachineCore", "Invariants",
                "Wire", "ParameterState", "Training", "LCCheckpoint", "Tensors",
            ]),
        // Drills: faults from a file, on real processes, used through their program as anyone would, or on the simulator.
        library(
            "Drill",
            [
                "Cluster", "CSystem", "Simulation", "MachineCore", "Training", "LCCheckpoint",
                .product(name: "Yams", package: "Yams"),
            ]),
        // The paper's experiments on the code of shards: training, checkpoints and restores in one process.
        library(
            "PaperBench", ["ParameterState", "Training", "LCCheckpoint", "Wire", "Tensors"]),
        // Kills peers under load and times messages; the only other target that imports CNNG, for its controls.
        .executableTarget(name: "nng-soak", dependencies: ["NNG", "CNNG"], swiftSettings: strict),
        // Supervises children of its own, for the tests that kill it.
        .executableTarget(name: "supervise-probe", dependencies: ["Cluster"], swiftSettings: strict),
        .executableTarget(
            name: "varve",
            dependencies: [
                "LCCheckpoint", "Tensors", "ModelCodec", "Node", "Cluster", "Drill", "Simulation",
                "Invariants", "Storage",
                "Training", "Wire", "NNG", "CSystem", "MachineCore", "ParameterState", "PaperBench", "CZstd",
                "CBenchLoops", log,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),

        tests(
            "LCCheckpointTests", ["LCCheckpoint", "CKernels", "ModelCodec", "Tensors"],
            resources: [.copy("Golden")]),
        tests("TensorsTests", ["Tensors"]),
        tests("WireTests", ["Wire"]),
        tests("TrainingTests", ["Training", "Tensors", "CZlib"]),
        tests("NNGTests", ["NNG", "nng-soak"]),
        tests("StorageTests", ["Storage"]),
        tests("ClusterTests", ["Cluster", "supervise-probe"]),
        tests("DrillTests", ["Drill", "Cluster"]),
        tests("TerminalTests", ["varve", "Training", "LCCheckpoint", "ModelCodec", "Tensors"]),
        tests(
            "LogicTests",
            [
                "CoordinatorLogic", "ShardLogic", "StoreLogic", "WorkerLogic", "MachineCore", "Wire",
                "ParameterState", "Training", "LCCheckpoint",
            ]),
        tests("PaperBenchTests", ["PaperBench", "ParameterState", "Training", "LCCheckpoint"]),
        tests("SimulationTests", ["Simulation", "ParameterState"]),
        tests("InvariantsTests", ["Invariants", "MachineCore", "Wire"]),
    ]
)

/// What reads bytes that may come from anyone. `Tests/FuzzTests/Targets` holds a function for each: an ordinary test runs
/// them over what was once found; deploy/fuzz sets VARVE_FUZZ to libFuzzer's driver, and then they become a program.
let readers: [Target.Dependency] = [
    "LCCheckpoint", "Tensors", "ModelCodec", "Wire", "NNG", "Storage", "Training", "Cluster", "CZlib",
]
if let driver = Context.environment["VARVE_FUZZ"] {
    // Our own targets tell the fuzzer which branches they took; the dependencies' would only slow it down.
    for target in package.targets where target.type != .system {
        target.swiftSettings =
            (target.swiftSettings ?? []) + [.unsafeFlags(["-sanitize=fuzzer", "-enable-testing"])]
        target.cSettings = [.unsafeFlags(["-fsanitize=fuzzer-no-link"])]
        // Databases are read by SQLite; without them the longest part of the build falls away.
        if target.name == "Storage" {
            target.dependencies.removeLast()
            target.exclude = ["Database.swift", "CoordinatorDatabase.swift", "RecordIndex.swift"]
        }
    }
    package.targets += [
        .systemLibrary(name: "CFuzzer", path: "Tests/FuzzTests/CFuzzer"),
        .executableTarget(
            name: "varve-fuzz", dependencies: readers + ["CFuzzer"], path: "Tests/FuzzTests",
            exclude: ["Corpus", "CFuzzer", "ReplayTests.swift"], swiftSettings: strict,
            linkerSettings: [.unsafeFlags([driver]), .linkedLibrary("stdc++")]),
    ]
} else {
    package.targets.append(
        .testTarget(
            name: "FuzzTests", dependencies: readers, exclude: ["Corpus", "Driver", "CFuzzer"],
            swiftSettings: strict))
}

import ArgumentParser
import Foundation
import Tensors
import Training

extension BenchCommand {
    /// Trains in one process and writes the states as files: what the codec is measured on.
    struct Sequences: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "sequences",
            abstract: "Train a model and write its state as S0.safetensors, S1.safetensors and so on.",
            discussion: """
                EXAMPLE: varve bench sequences -o lenet5-adam --model lenet5 --optimizer adam --steps 40 --every 1
                EXAMPLE: varve codec pack --codec auto --error 1e-3 lenet5-adam/S?.safetensors -o run.varve
                """)

        @Option(name: .shortAndLong, help: "The folder to write into; it is made when it isn't there.")
        var output: String

        @Option(help: "mlr, lenet5, alexnet or mf.")
        var model = "lenet5"

        @Option(help: "sgd, momentum (sgd with momentum 0.9), adam or adagrad.")
        var optimizer = "sgd"

        @Option(
            help: "Rate; by default 0.05 for sgd, 0.01 for momentum and adagrad, 0.001 for adam, more for mf."
        )
        var learningRate: Double?

        @Option(help: "Training steps before S0.")
        var skip = 0

        @Option(help: "Training steps from S0 to the last state.")
        var steps = 40

        @Option(help: "Training steps from one state to the next.")
        var every = 1

        @Option(help: "Samples per step.")
        var batch = 64

        @Option(help: "Seed of the parameters and of the order of the samples.")
        var seed: UInt64 = 1

        @Option(
            help: "Where the data is: a folder of IDX files; for mf a file of ratings, made up if not given.")
        var data: String?

        @Flag(help: "Write the optimizer's slots too, as optimizer.<slot>.<name>.")
        var withOptimizer = false

        func run() throws {
            let kind = try usualKind(model)
            guard skip >= 0, steps >= 0, every > 0, batch > 0 else {
                throw usage("--skip and --steps are 0 or more, --every and --batch 1 or more")
            }
            let rule = try usualRule(optimizer, kind: kind, learningRate: learningRate)
            do {
                let dataset = try usualDataset(kind, data)
                let network = try Model(kind: kind, for: dataset)
                var trainer = try LocalTrainer(
                    model: network, dataset: dataset, optimizer: rule, batch: batch, seed: seed)
                _ = trainer.run(steps: UInt64(skip))
                try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true)
                try write(trainer, 0)
                for index in 0..<(steps / every) {
                    let report = trainer.run(steps: UInt64(every))
                    try write(trainer, index + 1)
                    print("S\(index + 1): step \(trainer.clock), loss \(report.finalLoss)")
                }
            } catch let error as DataError {
                throw dataFailure(error)
            } catch let error as TensorFileError {
                throw CommandFailure(error.message, exitCode: CommandFailure.failed)
            } catch let error as CocoaError {
                throw CommandFailure(
                    "can't make \(output): \(error.localizedDescription)", exitCode: CommandFailure.failed)
            }
        }

        private func write(_ trainer: LocalTrainer, _ index: Int) throws {
            let shape = trainer.model.shape
            var tensors: [Tensor] = []
            func add(_ prefix: String, _ values: [Float]) {
                var offset = 0
                for spec in shape.parameters {
                    let part = Array(values[offset..<offset + spec.count])
                    offset += spec.count
                    guard let extents = Shape(spec.shape),
                        let tensor = Tensor(
                            name: TensorName(prefix + spec.name), shape: extents, floats: part)
                    else { preconditionFailure("a model's shapes fit its parameters") }
                    tensors.append(tensor)
                }
            }
            add("", trainer.parameters)
            if withOptimizer {
                for (name, values) in zip(trainer.optimizer.slotNames, trainer.slots) {
                    add("optimizer.\(name).", values)
                }
            }
            // The step is left out: files of one sequence differ in their tensors alone.
            let collection = try TensorCollection(tensors: tensors, metadata: shape.metadata)
            try Safetensors.write(collection, to: "\(output)/S\(index).safetensors")
        }
    }
}

/// A model by name.
func usualKind(_ name: String) throws(CommandFailure) -> ModelKind {
    guard let kind = ModelKind(rawValue: name) else {
        throw CommandFailure(
            "--model is mlr, lenet5, alexnet or mf, not \(name)", exitCode: CommandFailure.usage)
    }
    return kind
}

/// An optimizer by name, with a rate that suits the model if none is given.
func usualRule(
    _ name: String, kind: ModelKind, learningRate: Double?
) throws -> Training.OptimizerKind {
    func rate(_ usual: Double) -> Float { Float(learningRate ?? usual) }
    // Few ratings touch a row, and their gradient is a mean over the batch: factorization takes larger steps.
    let isFactorization = kind == .mf
    switch name {
    case "sgd": return .sgd(learningRate: rate(isFactorization ? 1 : 0.05))
    case "momentum": return .sgd(learningRate: rate(isFactorization ? 0.2 : 0.01), momentum: 0.9)
    case "adagrad": return .adagrad(learningRate: rate(isFactorization ? 0.05 : 0.01))
    case "adam": return .adam(learningRate: rate(isFactorization ? 0.005 : 0.001))
    default:
        throw CommandFailure(
            "--optimizer is sgd, momentum, adam or adagrad, not \(name)", exitCode: CommandFailure.usage)
    }
}

/// The data that a model learns from: Fashion-MNIST where Debian puts it, or made-up ratings, unless a path is given.
func usualDataset(_ kind: ModelKind, _ path: String?) throws(DataError) -> Dataset {
    if kind == .mf {
        return try loadDataset(
            kind: path == nil ? .syntheticRatings : .movielens, path: path, parts: .training)
    }
    return try loadDataset(kind: path == nil ? .fashionMNIST : .mnist, path: path, parts: .training)
}

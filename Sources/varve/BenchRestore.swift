import ArgumentParser
import Foundation
import LCCheckpoint
import ParameterState
import Training
import Wire

extension BenchCommand {
    /// What a restore through lossy checkpoints of parameters and optimizer slots does to training.
    struct Restore: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "restore",
            abstract: "Train, restore from checkpoints at a step, and compare the losses that follow.",
            discussion: """
                Every step is checkpointed. At the given step a second run begins from what the checkpoints restore; both then
                learn from the same samples.

                EXAMPLE: varve bench restore --model lenet5 --optimizer adam --error 1e-3 --slots-error 1e-2
                """)

        @Option(help: "mlr, lenet5, alexnet or mf.")
        var model = "lenet5"

        @Option(help: "sgd, momentum (sgd with momentum 0.9), adam or adagrad.")
        var optimizer = "adam"

        @Option(
            help: "Where the data is: a folder of IDX files; for mf a file of ratings, made up if not given.")
        var data: String?

        @Option(help: "The relative error of the parameters.")
        var error = 1e-3

        @Option(help: "The relative error of each optimizer slot; 0 for the exact bits.")
        var slotsError = 1e-2

        @Option(help: "The step that is restored.")
        var at = 300

        @Option(help: "Steps after it that are compared.")
        var steps = 50

        @Option(help: "Samples per step.")
        var batch = 64

        @Flag(help: "Print one JSON object.")
        var json = false

        func run() throws {
            let kind = try usualKind(model)
            guard error > 0, error < 1, slotsError >= 0, slotsError < 1, at > 0, steps > 0, batch > 0 else {
                throw CommandFailure(
                    "errors lie between 0 and 1, and --at, --steps and --batch are 1 or more",
                    exitCode: CommandFailure.usage)
            }
            let rule = try usualRule(optimizer, kind: kind, learningRate: nil)
            do {
                let dataset = try usualDataset(kind, data)
                let experiment = RestoreExperiment(
                    model: try Model(kind: kind, for: dataset), dataset: dataset, optimizer: rule,
                    codec: CodecSettings(kind: .auto(error: error)),
                    slotCodec: CodecSettings(kind: slotsError == 0 ? .exact : .auto(error: slotsError)),
                    batch: batch)
                report(try experiment.run(at: at, steps: steps))
            } catch let error as DataError {
                throw dataFailure(error)
            }
        }

        private func report(_ result: RestoreExperiment.Result) {
            let (one, other) = (result.undisturbed, result.restored)
            func mean(_ values: ArraySlice<Float>) -> Double {
                values.reduce(0) { $0 + Double($1) } / Double(max(values.count, 1))
            }
            let spans = [1, 5, 10, 25, 50].filter { $0 <= one.count }
            if json {
                func list(_ values: [Float]) -> String {
                    "[\(values.map { "\($0)" }.joined(separator: ", "))]"
                }
                print(
                    jsonObject([
                        ("undisturbed", list(one)), ("restored", list(other)),
                        ("ratio", jsonNumber(result.ratio)), ("before", jsonNumber(mean(result.before[...]))),
                    ]))
                return
            }
            print("checkpoints \(String(format: "%.1f", result.ratio))x smaller than the state")
            print("mean loss of the 50 steps before: \(String(format: "%.4f", mean(result.before[...])))")
            print("| steps after | undisturbed | restored |")
            print("|---|---|---|")
            for span in spans {
                let pair = [one, other].map { String(format: "%.4f", mean($0.prefix(span))) }
                print("| 1–\(span) | \(pair[0]) | \(pair[1]) |")
            }
        }
    }
}

/// Two runs of the same training: one that goes on, one that goes on from what its checkpoints restore.
struct RestoreExperiment {
    var model: Model
    var dataset: Dataset
    var optimizer: Training.OptimizerKind
    var codec: CodecSettings
    var slotCodec: CodecSettings
    var batch: Int

    struct Result {
        /// Losses of the last 50 steps before the restore.
        var before: [Float] = []
        var undisturbed: [Float] = []
        var restored: [Float] = []
        /// Bytes of the state by bytes of a delta.
        var ratio = 0.0
    }

    private func makeState() -> ShardState {
        ShardState(
            range: 0..<model.parameterCount, optimizer: optimizer, codec: codec, slotCodec: slotCodec)
    }

    /// - Throws: what the data set or the codec has against it.
    func run(at step: Int, steps: Int) throws -> Result {
        let sampler = try Sampler(
            sampleCount: dataset.training.count, workers: 1, batch: batch, seed: 1)
        func advance(_ state: ShardState) -> Float {
            let samples = Batch(
                dataset.training, indices: sampler.indices(slot: 0, clock: state.version))
            var loss: Float = 0
            let gradient = Payload(count: model.parameterCount * 4) { bytes in
                state.parameters.withFloats { parameters in
                    loss = model.lossAndGradient(
                        parameters: parameters, batch: samples, gradient: bytes.bindMemory(to: Float.self))
                }
            }
            _ = state.apply(version: state.version + 1, gradients: [gradient])
            return loss
        }
        var result = Result()
        let state = makeState()
        model.initialParameters(seed: 1).withUnsafeBufferPointer { state.initialize($0) }
        var frames: [[UInt8]] = [try state.encode(step: 0, asBase: true).frame.bytes]
        var raw = 0.0
        for index in 1...step {
            let loss = advance(state)
            if index > step - 50 { result.before.append(loss) }
            let (frame, part) = try state.encode(step: UInt64(index), asBase: false)
            frames.append(frame.bytes)
            raw += Double(part.rawBytes)
        }
        result.ratio = raw / Double(frames.dropFirst().reduce(0) { $0 + $1.count })
        let second = makeState()
        for (index, frame) in frames.enumerated() {
            try frame.withUnsafeBytes { try second.restoreFrame($0, isFirst: index == 0) }
        }
        _ = second.adoptReconstruction(version: UInt64(step))
        for _ in 0..<steps {
            result.undisturbed.append(advance(state))
            result.restored.append(advance(second))
        }
        return result
    }
}

import ArgumentParser
import Foundation
import Node
import Tensors
import Training

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write the model of a checkpoint as a file that PyTorch and NumPy read.",
        discussion: """
            Works with the cluster up or down. Every tensor is proved against the digest of the manifest.

            Examples:
              varve export --run-dir run1 -o model.safetensors
              varve export --run-dir run1 --step 300 --with-optimizer -o model.npz
            """)
    @OptionGroup var options: RunOptions
    @Option(help: "A committed step, or latest.") var step = "latest"
    @Option(name: [.customShort("o"), .long], help: "model.safetensors or model.npz.") var output: String
    @Flag(help: "Add the optimizer's slots as optimizer.SLOT.NAME.") var withOptimizer = false
    @Flag(help: "Machine output.") var json = false

    func run() throws {
        var wanted: UInt64?
        if step != "latest" {
            guard let number = UInt64(step) else {
                throw CommandFailure(
                    "--step is a number or latest, not '\(step)'", exitCode: CommandFailure.usage)
            }
            wanted = number
        }
        guard output.hasSuffix(".safetensors") || output.hasSuffix(".npz") else {
            throw CommandFailure("-o names a .safetensors or .npz file", exitCode: CommandFailure.usage)
        }
        let (reader, plan, _) = try options.reader()
        let model: RestoredModel
        do { model = try reader.restore(step: wanted) } catch {
            throw CommandFailure("\(error)", exitCode: CommandFailure.failed)
        }
        do {
            let collection = try tensors(of: model, plan)
            if output.hasSuffix(".npz") {
                try NPZ.write(collection, to: output)
            } else {
                try Safetensors.write(collection, to: output)
            }
        } catch { throw CommandFailure("\(error)", exitCode: CommandFailure.failed) }
        if json {
            print(
                "{\"step\":\(model.step),\"path\":\(jsonText(output)),\"model_digest\":\"\(model.digest)\",\"elements\":\(plan.elements)}"
            )
        } else {
            print("step \(model.step) written to \(output)")
        }
    }

    private func tensors(of model: RestoredModel, _ plan: RunPlan) throws -> TensorCollection {
        var tensors: [Tensor] = []
        func add(_ prefix: String, _ values: [Float]) throws {
            var offset = 0
            for spec in plan.shape.parameters {
                guard let shape = Shape(spec.shape),
                    let tensor = Tensor(
                        name: TensorName(prefix + spec.name), shape: shape,
                        floats: Array(values[offset..<offset + spec.count]))
                else {
                    throw CommandFailure(
                        "the model's sizes don't fit its values", exitCode: CommandFailure.failed)
                }
                tensors.append(tensor)
                offset += spec.count
            }
        }
        try add("", model.parameters)
        if withOptimizer {
            for (slot, values) in model.slots.sorted(by: { $0.key < $1.key }) {
                try add("optimizer.\(slot).", values)
            }
        }
        var metadata = plan.shape.metadata
        metadata["step"] = "\(model.step)"
        metadata["model"] = plan.shape.kind.rawValue
        return try TensorCollection(tensors: tensors, metadata: metadata)
    }
}

import LCCheckpoint
import Testing
import Training
import Wire

@testable import ParameterState

/// Partial checkpoints: what is chosen, and that a chain of them restores to what its writer holds.
@Suite struct PartialSelectionTests {
    private func chosen(
        _ rule: PartialSelection.Rule, _ fraction: Double, _ changes: [Float], turn: UInt64 = 0
    ) -> [Int] {
        let saved = [Float](repeating: 1, count: changes.count)
        return zip(saved, changes).map { $0 + $1 }.withUnsafeBufferPointer { target in
            saved.withUnsafeBufferPointer { saved in
                PartialSelection(rule: rule, fraction: fraction).chosen(
                    target: target, saved: saved, turn: turn)
            }
        }.flatMap { Array($0) }
    }

    @Test func topNTakesTheLargestChangesAndOfEqualOnesTheFirst() {
        let changes: [Float] = [0, -3, 2, 0.5, 2, 0, 2, 0.25]
        #expect(chosen(.topN, 1.0 / 8, changes) == [1])
        #expect(chosen(.topN, 3.0 / 8, changes) == [1, 2, 4])
        #expect(chosen(.topN, 5.0 / 8, changes) == [1, 2, 3, 4, 6])
        #expect(chosen(.topN, 1, changes) == Array(0..<8))
        #expect(chosen(.topN, 0.001, changes) == [1])
        #expect(chosen(.topN, 2.0 / 8, [0, 1, .nan, 0, 5, 0, 0, 0]) == [2, 4])
    }

    @Test func topNIsWhatSortingGives() {
        var generator = SplitMix64(seed: 5)
        for _ in 0..<50 {
            let changes = (0..<(1 + Int(generator.below(300)))).map { _ in
                Float(Int(generator.below(9)) - 4) * (generator.below(3) == 0 ? 1e-4 : 1)
            }
            let distances = changes.map { abs((1 + $0) - 1) }
            let order = changes.indices.sorted { (-distances[$0], $0) < (-distances[$1], $1) }
            let wanted = max(1, Int((Double(changes.count) * 0.3).rounded()))
            #expect(chosen(.topN, 0.3, changes) == order.prefix(wanted).sorted())
        }
    }

    @Test func blocksByDistance() {
        // Blocks of 2: distances² 9, 8, 0.25, and the last alone 16.
        let changes: [Float] = [0, 3, 2, 2, 0.5, 0, 4]
        #expect(chosen(.blocks(size: 2, .priority), 0.5, changes) == [0, 1, 6])
        #expect(chosen(.blocks(size: 2, .priority), 0.75, changes) == [0, 1, 2, 3, 6])
    }

    @Test func roundRobinVisitsEveryBlock() {
        let changes = [Float](repeating: 1, count: 10)
        let rule = PartialSelection.Rule.blocks(size: 2, .roundRobin)
        #expect(chosen(rule, 0.4, changes, turn: 0) == [0, 1, 2, 3])
        #expect(chosen(rule, 0.4, changes, turn: 1) == [4, 5, 6, 7])
        #expect(chosen(rule, 0.4, changes, turn: 2) == [0, 1, 8, 9])
    }

    @Test func randomBlocksFollowFromSeedAndTurn() {
        let changes = [Float](repeating: 1, count: 400)
        let rule = PartialSelection.Rule.blocks(size: 4, .random(seed: 9))
        let (first, second) = (chosen(rule, 0.1, changes, turn: 1), chosen(rule, 0.1, changes, turn: 2))
        #expect(first.count == 40 && second.count == 40 && first != second)
        #expect(first == chosen(rule, 0.1, changes, turn: 1))
    }

    @Test(
        arguments: [
            .init(rule: .topN, fraction: 0.1), .init(rule: .blocks(size: 8, .priority), fraction: 0.2),
            .init(rule: .blocks(size: 8, .roundRobin), fraction: 0.2),
            .init(rule: .blocks(size: 8, .random(seed: 3)), fraction: 0.2),
        ] as [PartialSelection])
    func aChainRestoresToWhatItsWriterHolds(selection: PartialSelection) throws {
        let optimizer = OptimizerKind.adam(learningRate: 0.01)
        func state() -> ShardState {
            ShardState(
                range: 0..<200, optimizer: optimizer, codec: .init(kind: .lc(bits: 2)),
                slotCodec: .init(kind: .exact), selection: selection)
        }
        let (writer, reader) = (state(), state())
        var generator = SplitMix64(seed: 1)
        func floats() -> [Float] { (0..<200).map { _ in Float(Int(generator.below(2001)) - 1000) / 1000 } }
        floats().withUnsafeBufferPointer { writer.initialize($0) }
        for step in UInt64(0)...6 {
            if step > 0 {
                let gradient = floats()
                _ = writer.apply(
                    version: step,
                    gradients: [
                        Payload(count: 800) { raw in gradient.withUnsafeBytes { raw.copyMemory(from: $0) } }
                    ])
            }
            let before = reader.withReconstruction { $0.map { Array($0) } }
            let frame = try writer.encode(step: step, asBase: step == 4).frame
            try frame.bytes.withUnsafeBytes { try reader.restoreFrame($0, isFirst: step == 0) }
            #expect(reader.reconstructionDigest == writer.reconstructionDigest)
            let live = writer.parameters.withFloats { Array($0) } ?? []
            let after = reader.withReconstruction { $0.map { Array($0) } }
            if step == 0 {
                #expect(after[0] == live)
            } else {
                // Every element is of now or as before, and of the right number; all sections chose alike.
                let fresh = live.indices.filter { after[0][$0] != before[0][$0] }
                #expect(fresh.allSatisfy { after[0][$0] == live[$0] } && !fresh.isEmpty)
                #expect(fresh.count <= Int((200 * selection.fraction).rounded()))
                for slot in 1..<after.count {
                    let moved = live.indices.filter { after[slot][$0] != before[slot][$0] }
                    #expect(
                        Set(moved).isSubset(
                            of: Set(fresh).union(live.indices.filter { live[$0] == before[0][$0] })))
                }
            }
        }
    }
}

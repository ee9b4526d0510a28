import Testing

@testable import Simulation

/// Seeds that once found a mistake, with what it was.
@Suite struct KeptSeedsTests {
    @Test(
        arguments: [
            (0, "compaction freed a record that was on its way to the disk"),
            (9, "the coordinator asked for ticks without end while a transaction was under way"),
            (41, "stores dropped steps whose commit was still on its way to the coordinator's disk"),
            (44, "stores dropped steps whose commit was still on its way to the coordinator's disk"),
            (179, "a restarted coordinator forgot which shards were lost meanwhile"),
            (286, "a store asked without end for a payload that nobody holds"),
            (628, "the run did not begin when the missing store was heard again"),
            (
                204373,
                "a survivor wrote on the new timeline, died, and its successor wrote something else there"
            ),
            (200_837, "a store forgot an append that it had missed while it was asking its peers"),
            (91215, "a coordinator that died between the last commit and the end never ended"),
            (600_523, "what a survivor had told of was committed after it was lost itself"),
            (706_461, "an unpin brought back a manifest that was dropped in the same transaction"),
            (607_534, "a repair under way answered an append, in the name of an older epoch"),
            (705_561, "an acknowledgement from an epoch before was not counted as one"),
            (710_014, "damage that nobody can mend was freed, and taken for a loss"),
            (1_019_562, "a store asked for a missing link once, and not again when its holder was back"),
            (1_038_922, "a store asked for a missing link once, and not again when its holder was back"),
            (1_007_671, "a refusal of an append of the timeline before held its successor back"),
            (1_032_234, "a check took messages that are no heartbeats for silence"),
            (
                4284,
                "what was done again to the same bits kept its old timeline, and a recovery passed it over"
            ),
            (50_025_860, "what was done again to the same bits was passed over by a recovery"),
            (
                60_008_246,
                "a step that was committed and freed during a recovery was committed again by its end"
            ),
            (60_011_615, "a record that a later one of the same batch replaced was acknowledged"),
            (70_010_490, "a damaged record made room for one of the timeline before"),
            (70_012_119, "a store that came back freed what others' newer records build on"),
            (70_045_146, "a committed step was given up while the stores were mending each other's damage"),
            (
                80_008_550,
                "a coordinator that woke when its successors were dead did not learn that it was deposed"
            ),
            (90_018_694, "a worker took parameters that its predecessor had waited for, of a newer version"),
            (100_030_341, "a store forgot a missing link before the step that needs it was committed"),
            (110_050_058, "where a timeline begins was taken for a step that users are told of"),
            (130_001_118, "a queue of repairs forgot one that was replaced by another payload's"),
            (15564, "a repair brought a record back that the timeline had given up"),
            (896, "a survivor that was counted as lost later was never restored"),
        ] as [(UInt64, String)])
    func holds(seed: UInt64, was: String) {
        let outcome = Simulation.run(seed: seed)
        #expect(outcome.failure == nil, "\(was) (varve simulate --seed \(seed) --trace)")
    }

    /// Their clusters were drawn anew since, and can't show any more what they once did: `LogicTests` hold that.
    @Test(
        arguments: [
            (56, "the last checkpoint of a survivor stayed on the timeline before"),
            (90, "a part that did not reach a replica was never fetched"),
            (125, "a part was told of before those that it builds on were durable"),
            (186, "a replica kept a record of a timeline that was given up"),
            (368, "a wiped store buried its peer under repairs"),
            (160_081_559, "a store took what had replaced a record for damaged, since a read of that waited"),
        ] as [(UInt64, String)])
    func holdsWhateverItMeansNow(seed: UInt64, was: String) {
        let outcome = Simulation.run(seed: seed)
        #expect(outcome.failure == nil, "once: \(was) (varve simulate --seed \(seed) --trace)")
    }

    @Test(
        arguments: [
            (56627, "a check did not know the state that was acknowledged before it was sent")
        ] as [(UInt64, String)])
    func smallClusterHolds(seed: UInt64, was: String) {
        let outcome = Simulation.run(seed: seed, size: .small)
        #expect(outcome.failure == nil, "\(was) (varve simulate --seed \(seed) --size small --trace)")
    }

    /// Policies that seeds did not know at first take no part in what was found before.
    @Test(arguments: [0, 186, 56627, 607_534, 1_019_562] as [UInt64])
    func laterPoliciesLeaveKeptSeedsAlone(seed: UInt64) {
        let plan = Plan(seed: seed, steps: nil, onlyFaults: nil, mutant: nil)
        #expect(plan.selection == nil && plan.slotCodec == plan.codec)
    }
}

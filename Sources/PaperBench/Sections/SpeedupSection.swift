/// How many times less rework one policy needs than another.
struct Speedup {
    var model: String
    var bits: Int
    var lost: Int
    var ours: String
    var rival: String
    var whole: Ratio
    var withoutNoise: Ratio
}

extension ReportBuilder {
    /// lc and auto by each rival, of one model at one budget.
    func speedups(_ group: [ReworkSeries]) -> [Speedup] {
        let ours = group.filter { $0.policy.hasPrefix("lc") || $0.policy == "auto" }
        let rivals = group.filter { $0.policy.hasPrefix("SCAR") || ["top-N", "full"].contains($0.policy) }
        var speedups: [Speedup] = []
        for lost in [1, 4] {
            for our in ours {
                for rival in rivals {
                    func ratio(_ part: (ReworkSeries) -> [Double]) -> Ratio {
                        let count = part(our).count
                        return Ratio(
                            part(rival), by: part(our), floor: 1 / Double(max(count, 1)), seed: settings.seed)
                    }
                    speedups.append(
                        Speedup(
                            model: our.model, bits: our.bits, lost: lost, ours: our.policy,
                            rival: rival.policy,
                            whole: ratio { $0.whole(lost: lost) },
                            withoutNoise: ratio { $0.fraction(lost: lost) }))
                }
            }
        }
        return speedups
    }

    func speedupTable(_ speedups: [Speedup]) -> Table {
        let names = [
            "model", "budget, bits", "shards lost", "policy", "rival", "speed-up, whole steps", "95 % from",
            "to",
            "speed-up without noise", "95 % from ", "to ",
        ]
        return Table(
            id: "speedup", title: "Speed-up over rivals at equal bytes",
            columns: names.map { Table.Column($0) },
            rows: speedups.map {
                [
                    .text($0.model), .integer($0.bits), .integer($0.lost), .text($0.ours), .text($0.rival),
                    .number($0.whole.value), .number($0.whole.low), .number($0.whole.high),
                    .number($0.withoutNoise.value), .number($0.withoutNoise.low),
                    .number($0.withoutNoise.high),
                ]
            }, isDetail: true)
    }

    /// The comparison that SCAR itself is about: one shard lost, blocks by priority.
    func claimsOfRework(_ speedups: [Speedup]) -> [Claim] {
        var claims: [Claim] = []
        for bits in budgets {
            for ours in ["lc, \(bits) bits", "auto"] {
                let found = speedups.filter {
                    $0.bits == bits && $0.ours == ours && $0.lost == 1 && $0.rival == "SCAR, priority"
                }
                guard !found.isEmpty else { continue }
                func words(_ part: (Speedup) -> Ratio) -> String {
                    found.map { "\($0.model) \(readable(part($0).value))" }.joined(separator: ", ")
                }
                func holds(_ part: (Speedup) -> Ratio) -> Bool {
                    found.contains { part($0).value >= 5.77 } && found.allSatisfy { part($0).value > 1 }
                }
                for (kind, part) in [
                    ("whole steps", \Speedup.whole), ("without noise", \Speedup.withoutNoise),
                ] {
                    claims.append(
                        Claim(
                            what:
                                "rework, SCAR by priority / \(ours), one shard lost, \(kind), bytes as lc with \(bits) bits",
                            paper: "up to 5.77", wanted: "5.77 for one model, above 1 for all",
                            here: words { $0[keyPath: part] }, holds: holds { $0[keyPath: part] }))
                }
            }
        }
        return claims
    }
}

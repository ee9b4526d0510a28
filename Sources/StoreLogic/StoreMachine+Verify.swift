import MachineCore
import Wire

/// Verifications that an operator orders, and what they wait for.
///
/// A verification waits for its own damage alone: in a store that takes appends some record or other is always being
/// fetched. A record counts as mended when it is here again, or when retention has given it up meanwhile.
extension StoreMachine {
    struct Verification: Sendable {
        var asked: UInt64
        var checked: Int
        var damages: [Damage]
        var repair: Bool
        /// Damaged records that are not here again.
        var awaited: Set<Key> = []
        /// Since when every peer is known not to have one of them.
        var refused: [Key: Instant] = [:]
        /// Which retention `awaited` was last compared with.
        var retainNumber: UInt64 = 0
        var deadline: Instant
    }

    /// For how long peers that don't answer are asked.
    static let longestRepair = Instant.Span.milliseconds(20_000)

    /// When a verification is over, whatever comes.
    ///
    /// Peers that have freed a record may have heard of it before this store has, which hears of it with its next
    /// heartbeats: what they refuse is given up a little later only.
    func end(of verification: Verification) -> Instant {
        let due = verification.awaited.map { key in
            verification.refused[key].map { $0 + settings.retry + settings.retry } ?? verification.deadline
        }
        return min(due.max() ?? verification.deadline, verification.deadline)
    }

    mutating func verified(
        asked: UInt64, checked: Int, damages found: [Damage], repair: Bool, at now: Instant,
        into effects: inout Effects<Action>
    ) {
        // What was freed while the disk was read is nobody's record any more.
        let damages = found.filter { $0.key.map { index[$0] != nil || damaged[$0] != nil } ?? true }
        var verification = Verification(
            asked: asked, checked: checked, damages: damages, repair: repair,
            deadline: now + Self.longestRepair)
        for damage in damages {
            effects.report(.error, "damage", damage.what)
            guard repair, let key = damage.key else { continue }
            markDamaged(key, at: now)
            if let part = damaged[key] { startRepair(part, at: now) }
            verification.awaited.insert(key)
        }
        verifications.append(verification)
        settleVerifications(at: now, into: &effects)
    }

    mutating func settleVerifications(at now: Instant, into effects: inout Effects<Action>) {
        for position in verifications.indices {
            if verifications[position].retainNumber < retain.number {
                verifications[position].retainNumber = retain.number
                giveUpFreed(verifications[position].awaited)
            }
            verifications[position].awaited.formIntersection(damaged.keys)
        }
        let ended = verifications.filter { $0.awaited.isEmpty || now >= end(of: $0) }
        guard !ended.isEmpty else { return }
        verifications = verifications.filter { !$0.awaited.isEmpty && now < end(of: $0) }
        for verification in ended { answer(verification, into: &effects) }
        // The places that hold damage are given up only when nothing is missed any more that may have stood there.
        guard ended.contains(where: { $0.repair && !$0.damages.isEmpty }), damaged.isEmpty else { return }
        compacting = true
        effects.perform(.compact(keep: everyKey, discardDamaged: true))
    }

    /// Damaged records that retention does not name any more are not fetched.
    private mutating func giveUpFreed(_ keys: Set<Key>) {
        let keep = keptKeys()
        for key in keys where !keep.contains(key) {
            damaged[key] = nil
            repairs[key] = nil
        }
    }

    /// All that is here or on its way to the disk.
    private var everyKey: Set<Key> {
        Set(index.keys).union(pendingRecords.map { Key(shard: $0.shard, step: $0.step) })
    }

    /// `json`: {"checked": n, "corrupt": [{"step": s, "shard": i, "what": "…"}], "repaired": n}
    private func answer(_ verification: Verification, into effects: inout Effects<Action>) {
        // A place that held nothing of use is mended by giving it up.
        let repaired =
            verification.repair
            ? verification.damages.filter { $0.key.map { !verification.awaited.contains($0) } ?? true }.count
            : 0
        let items = verification.damages.map { damage in
            JSONText.object([
                ("step", damage.key.map { "\($0.step)" } ?? "null"),
                ("shard", damage.key.map { "\($0.shard)" } ?? "null"),
                ("what", JSONText.quoted(damage.what)),
            ])
        }
        var answer = Answer()
        answer.id = verification.asked
        answer.ok = true
        answer.last = true
        answer.json = JSONText.object([
            ("checked", "\(verification.checked)"), ("corrupt", JSONText.array(items)),
            ("repaired", "\(repaired)"),
        ])
        effects.send(.answer(answer), to: .coordinator)
    }
}

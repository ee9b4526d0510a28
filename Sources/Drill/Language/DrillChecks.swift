import Cluster

/// What can be known to be wrong before anything starts: faults that can't strike, waits that can't come true.
struct DrillChecks {
    let problems: Problems

    func check(_ drill: DrillFile, expectLine: Int) {
        var faults: [String] = []
        walk(drill.steps, drill, &faults)
        let configuration = drill.configuration
        let isExact =
            configuration.training.consistency == .bsp && configuration.checkpoint.codec.kind == .exact
            && configuration.checkpoint.slotsCodec.kind == .exact && configuration.recovery.mode == .rollback
        if drill.expectations.sameBits == true, !isExact {
            problems.add(
                "'same_bits' holds only with consistency bsp, exact codecs and recovery mode rollback",
                line: expectLine)
        }
        if drill.ending == .refused, drill.expectations.needsReference {
            problems.add("a run that is refused has no result to compare", line: expectLine)
        }
    }

    private func walk(_ steps: [DrillStep], _ drill: DrillFile, _ faults: inout [String]) {
        for step in steps {
            switch step.action {
            case .wait(let condition, _), .assert(let condition, _, _):
                check(condition, step, drill, hasFault: !faults.isEmpty)
            case .fault(let fault):
                check(fault, step, drill)
                faults.append(step.name)
            case .heal(let name):
                if let name, !faults.contains(name) {
                    let hint = faults.isEmpty ? "" : " (did you mean '\(nearest(name, faults))'?)"
                    problems.add("no fault step before this one is named '\(name)'\(hint)", line: step.line)
                }
            case .parallel(let inner): walk(inner, drill, &faults)
            case .pause, .run, .verify: break
            }
        }
    }

    private func check(_ condition: Condition, _ step: DrillStep, _ drill: DrillFile, hasFault: Bool) {
        let last = Double(drill.configuration.training.steps)
        switch condition {
        case .value(let value, .atLeast, let number, relative: false),
            .value(let value, .equal, let number, relative: false):
            if value == .step || value == .committed, number > last {
                problems.add(
                    "'\(condition.text)' can't come true: training ends at step \(plain(last))",
                    line: step.line)
            }
        case .value(let value, .above, let number, relative: false):
            if value == .step || value == .committed, number >= last {
                problems.add(
                    "'\(condition.text)' can't come true: training ends at step \(plain(last))",
                    line: step.line)
            }
        case .recovered:
            if !hasFault { problems.add("nothing has failed before 'recovered'", line: step.line) }
        case .event("checkpoint", _, _):
            if drill.configuration.checkpoint.every == 0 {
                problems.add("'checkpoint.every: 0' makes no checkpoints to wait for", line: step.line)
            }
        case .value, .state, .event, .noEvent: break
        }
    }

    private func check(_ fault: Fault, _ step: DrillStep, _ drill: DrillFile) {
        let configuration = drill.configuration
        if let every = fault.everyMilliseconds, let lasting = fault.forMilliseconds, lasting >= every {
            problems.add(
                "'for' must be shorter than 'repeat.every', or the fault never ends in between",
                line: step.line)
        }
        switch fault.target {
        case .nodes(let nodes):
            let roles = Set(nodes.candidates(in: configuration).compactMap(NodeRole.of))
            if fault.kind.family == .disk, roles != [.store] {
                problems.add(
                    "'\(fault.kind.rawValue)' strikes stores alone: nobody else keeps checkpoints",
                    line: step.line)
            }
            if fault.kind == .replace, roles != [.coordinator] {
                problems.add(
                    "'replace' strikes the coordinator alone: of the others 'varve up' ends whoever hangs",
                    line: step.line)
            }
            if fault.kind.family == .peer, roles.contains(.worker) {
                problems.add(
                    "'\(fault.kind.rawValue)' can't reach workers: they don't listen", line: step.line)
            }
        case .links(let first, let second, _):
            let (from, to) = (first.candidates(in: configuration), second.candidates(in: configuration))
            let talk = from.contains { a in to.contains { b in Self.talk(a, b) } }
            if !talk {
                problems.add("there is no link between \(first.text) and \(second.text)", line: step.line)
            }
        }
    }

    /// Whether two nodes have a link: everyone with the coordinator, shards with workers and stores, stores with stores.
    static func talk(_ first: String, _ second: String) -> Bool {
        guard first != second, let a = NodeRole.of(first), let b = NodeRole.of(second) else { return false }
        switch (a, b) {
        case (.coordinator, _), (_, .coordinator), (.shard, .store), (.store, .shard), (.shard, .worker),
            (.worker, .shard), (.store, .store):
            return true
        case (.shard, .shard), (.worker, .worker), (.worker, .store), (.store, .worker): return false
        }
    }
}

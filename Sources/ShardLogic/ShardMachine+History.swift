import LCCheckpoint
import MachineCore
import Wire

extension ShardMachine {
    public var beginnings: [Observation] { [] }

    public func observations(of event: Event<Completion>, _ effects: [Effect<Action>]) -> [Observation] {
        var facts: [Observation] = []
        switch event {
        case .message(let packet, let sender):
            if case .appended(let ack)? = packet.body, sender.role == .store {
                facts.append(.heard(store: sender.index, step: ack.step, payload: ack.payloadDigest))
            }
        case .completed(.initialized(let line, let parameters)):
            // One that a newer instruction has overtaken changes nothing.
            guard line == self.line else { break }
            facts.append(
                .began(line: line, step: -1, version: 0, stateDigest: "", parameters: digest(parameters)))
        case .completed(.restored(let line, let step, let state, let parameters)):
            guard line == self.line else { break }
            facts.append(
                .began(
                    line: line, step: Int64(step), version: version, stateDigest: state,
                    parameters: digest(parameters)))
        case .completed(.applied), .completed(.encoded), .completed(.linkRestored),
            .completed(.restoreFailed), .tick, .peerConnected, .peerDisconnected:
            break
        }
        for effect in effects {
            switch effect {
            case .perform(.apply(let version, let gradients)):
                facts.append(.applied(line: line, version: version, gradients: gradients.map(digest)))
            case .send(.append(let append), _, _):
                let fact = Observation.appended(part: PartFact(append.part))
                // One frame goes to several stores.
                if facts.last != fact { facts.append(fact) }
            case .report: if let alarm = effect.alarm { facts.append(alarm) }
            case .send, .perform, .exit: break
            }
        }
        return facts
    }

    private func digest(_ payload: Payload) -> String { payload.withBytes { Digest.of($0).description } }

    /// What grows with traffic here.
    public var held: [Held] {
        [
            Held(
                "gradients", gradients.values.reduce(0) { $0 + $1.count },
                limit: Int(settings.window) * settings.workers),
            Held("checkpoints under way", inFlight.count, limit: settings.maxLag),
            Held("checkpoints not confirmed", prepared.count, limit: 4096),
        ]
    }
}

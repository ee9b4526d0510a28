import Foundation
import Logging
import MachineCore
import NNG
import Synchronization
import Wire

/// The links of one process: a listener that others dial, and one dialer for each peer that it dials itself.
///
/// Packets that are not well formed, or of another run, are counted, logged and dropped here, so that the roles see
/// only what is worth a decision. What can't be sent is dropped: the roles ask again.
public final class Transport: Sendable {
    /// What the links tell.
    public enum Signal: Sendable {
        case packet(Packet, from: NodeID)
        case connected(NodeID)
        case disconnected(NodeID)
    }

    private struct Link {
        var dialer: Dialer
        var url: String
        var assembly: Assembly
    }

    /// A connection whose other end is gone without a word, as behind a router that forgot it, takes all that is sent and
    /// gives nothing back. Whoever is dialled here answers what is asked again and again; large frames on slow links have
    /// the time that they take.
    private struct Silence {
        var isConnected = false
        /// Since when nothing has come back, and how much was sent meanwhile; nil when the last word was the peer's.
        var unanswered: (since: ContinuousClock.Instant, bytes: Int)?

        mutating func isTooLong(sending bytes: Int, at now: ContinuousClock.Instant) -> Bool {
            guard isConnected else { return false }
            guard let (since, before) = unanswered else {
                unanswered = (now, bytes)
                return false
            }
            unanswered = (since, before + bytes)
            guard since.duration(to: now) > .seconds(5) + .microseconds(before * 10) else { return false }
            // Once: the next connection has a silence of its own.
            isConnected = false
            return true
        }
    }

    private final class Assembly: Sendable {
        let reassembler = Mutex(Reassembler())
        /// Of a peer that is dialled.
        let silence = Mutex(Silence())
    }

    private struct State {
        var identity: Identity
        var links: [NodeID: Link] = [:]
        /// Over which connection a peer that dialled us was heard last.
        var routes: [NodeID: PeerID] = [:]
        var assemblies: [PeerID: Assembly] = [:]
        var fragmenter = Fragmenter()
        var listener: Listener?
        var complaints = 0
    }

    private let state: Mutex<State>
    private let deliver: @Sendable (Signal) -> Void
    private let log: Logger
    private let settings: EndpointSettings

    public init(identity: Identity, log: Logger, deliver: @escaping @Sendable (Signal) -> Void) {
        state = Mutex(State(identity: identity))
        self.deliver = deliver
        self.log = log
        settings = EndpointSettings(maxReceiveBytes: 8 << 20)
    }

    public func become(_ identity: Identity) { state.withLock { $0.identity = identity } }

    // MARK: Listening

    /// Listens and returns the address with the port that was really bound.
    public func listen(_ url: String) throws(NNGError) -> String {
        let listener = try Listener(
            url: url, settings: settings,
            onMessage: { [weak self] peer, message in self?.received(message, from: peer) },
            onPeerClosed: { [weak self] peer in self?.closed(peer) })
        state.withLock { $0.listener = listener }
        return listener.url
    }

    private func received(_ message: ReceivedMessage, from peer: PeerID) {
        let assembly = state.withLock { state in
            if let known = state.assemblies[peer] { return known }
            let fresh = Assembly()
            state.assemblies[peer] = fresh
            return fresh
        }
        guard let packet = decode(message, assembly), let sender = NodeID(packet.from) else {
            return
        }
        let (isNew, link) = state.withLock { state in
            (state.routes.updateValue(peer, forKey: sender) != peer, state.links[sender])
        }
        // A peer that dials us, too, may answer over its own connection.
        link?.assembly.silence.withLock { $0.unanswered = nil }
        if isNew { deliver(.connected(sender)) }
        deliver(.packet(packet, from: sender))
    }

    private func closed(_ peer: PeerID) {
        let gone = state.withLock { state -> [NodeID] in
            state.assemblies[peer] = nil
            let gone = state.routes.filter { $0.value == peer }.map(\.key)
            for node in gone { state.routes[node] = nil }
            return gone
        }
        for node in gone { deliver(.disconnected(node)) }
    }

    private func decode(_ message: ReceivedMessage, _ assembly: Assembly) -> Packet? {
        do {
            let packet = try message.withUnsafeBytes { bytes in
                try assembly.reassembler.withLock { reassembler in
                    try reassembler.take(bytes, owner: message)
                }
            }
            guard let packet else { return nil }
            let run = state.withLock { $0.identity.run }
            guard packet.run.isEmpty || run.isEmpty || packet.run == run else {
                complain("a message of another run (\(packet.run)) was dropped")
                return nil
            }
            return packet
        } catch {
            complain("\(error)")
            return nil
        }
    }

    private func complain(_ sentence: String) {
        let count = state.withLock { state in
            state.complaints += 1
            return state.complaints
        }
        // A peer that sends garbage must not fill the disk with our words about it.
        if count <= 10 || count % 1000 == 0 { log.warning("dropped: \(sentence)") }
    }

    // MARK: Dialing

    /// Makes the dialed peers those of `wanted`; links whose address changed are made anew.
    public func dial(_ wanted: [NodeID: String]) {
        let (old, missing) = state.withLock { state -> ([Dialer], [(NodeID, String)]) in
            var old: [Dialer] = []
            for (node, link) in state.links where wanted[node] != link.url && node != .coordinator {
                old.append(link.dialer)
                state.links[node] = nil
            }
            let missing = wanted.filter { state.links[$0.key] == nil }.map { ($0.key, $0.value) }
            return (old, missing)
        }
        for (node, url) in missing.sorted(by: { $0.0 < $1.0 }) { connect(node, url) }
        guard !old.isEmpty else { return }
        // Closing may take up to its deadline: nobody waits for it.
        DispatchQueue.global().async { for dialer in old { dialer.close() } }
    }

    public func connect(_ node: NodeID, _ url: String) { connect(node, url, replacing: nil) }

    /// - Parameter silent: the link that is made anew, if it is still the one that counts.
    private func connect(_ node: NodeID, _ url: String, replacing silent: Dialer?) {
        let assembly = Assembly()
        do throws(NNGError) {
            let dialer = try Dialer(
                url: url, settings: settings,
                onMessage: { [weak self] message in
                    assembly.silence.withLock { $0.unanswered = nil }
                    guard let self, let packet = decode(message, assembly) else { return }
                    deliver(.packet(packet, from: NodeID(packet.from) ?? node))
                },
                onConnected: { [weak self] in
                    assembly.reassembler.withLock { $0 = Reassembler() }
                    assembly.silence.withLock { $0 = Silence(isConnected: true) }
                    self?.deliver(.connected(node))
                },
                onDisconnected: { [weak self] in
                    assembly.silence.withLock { $0 = Silence() }
                    self?.deliver(.disconnected(node))
                })
            let stale = state.withLock { state -> Dialer? in
                let stale = state.links[node]?.dialer
                // A view that came meanwhile knows a newer address, or none.
                if let silent, stale !== silent { return dialer }
                state.links[node] = Link(dialer: dialer, url: url, assembly: assembly)
                return stale
            }
            stale?.close()
        } catch { log.error("can't dial \(node) at \(url): \(error)") }
    }

    private func redial(_ node: NodeID, _ silent: Link) {
        log.warning("\(node) has not answered for seconds: its connection is made anew")
        // Closing may take up to its deadline: nobody waits for it.
        DispatchQueue.global().async { [weak self] in
            self?.connect(node, silent.url, replacing: silent.dialer)
        }
    }

    // MARK: Sending

    /// Queues a message; what can't leave is dropped, and false says so.
    @discardableResult
    public func send(_ body: Envelope.OneOf_Body, payload: Payload?, to node: NodeID, as identity: Identity)
        -> Bool
    {
        let packet = Packet(
            body, run: identity.run, from: identity.node.description, to: node.description,
            incarnation: identity.incarnation, epoch: identity.epoch, payload: payload)
        guard let head = try? PacketFormat.head(of: packet) else {
            complain("a message to \(node) is too large to send")
            return false
        }
        let (link, listener, peer, numbered) = state.withLock { state in
            state.fragmenter.skip()
            return (state.links[node], state.listener, state.routes[node], state.fragmenter)
        }
        var pieces = numbered
        if let link {
            let size = head.count + (payload?.count ?? 0)
            if link.assembly.silence.withLock({ $0.isTooLong(sending: size, at: .now) }) {
                redial(node, link)
            }
            return pieces.send(head: head, payload: payload) { link.dialer.send(parts: $0) }
        }
        if let peer, let listener {
            return pieces.send(head: head, payload: payload) { listener.send(to: peer, parts: $0) }
        }
        return false
    }

    public func close() {
        let (links, listener) = state.withLock { state in
            let result = (state.links.values.map(\.dialer), state.listener)
            state.links = [:]
            state.listener = nil
            return result
        }
        for dialer in links { dialer.close() }
        listener?.close()
    }
}

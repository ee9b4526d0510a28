import CNNG
import Glibc
import Synchronization

/// The negative control: one REQ socket per peer with contexts, as nng's manual suggests it.
///
/// Unchecked: every context is touched only by the callback of its one operation.
final class RequestLink: SoakLink, @unchecked Sendable {
    private final class Context {
        unowned let link: RequestLink
        var context = nng_ctx()
        var aio: OpaquePointer?
        var receiving = false

        init(_ link: RequestLink) { self.link = link }
    }

    private let clock: LinkClock
    private var socket = nng_socket()
    private var contexts: [Context] = []
    private let closed = Atomic<Bool>(false)

    init(url: String, inFlight: Int, clock: LinkClock) {
        self.clock = clock
        nng_req0_open(&socket)
        nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, 1 << 20)
        nng_socket_set_ms(socket, NNG_OPT_RECONNMINT, 20)
        nng_socket_set_ms(socket, NNG_OPT_RECONNMAXT, 250)
        nng_socket_set_ms(socket, NNG_OPT_REQ_RESENDTIME, -1)
        nng_dial(socket, url, nil, Int32(bitPattern: NNG_FLAG_NONBLOCK))
        for _ in 0..<inFlight {
            let context = Context(self)
            nng_ctx_open(&context.context, socket)
            nng_aio_alloc(
                &context.aio,
                { argument in
                    guard let argument else { return }
                    let context = Unmanaged<Context>.fromOpaque(argument).takeUnretainedValue()
                    context.link.step(context)
                }, Unmanaged.passUnretained(context).toOpaque())
            contexts.append(context)
            ask(context)
        }
    }

    private func ask(_ context: Context) {
        var message: OpaquePointer?
        nng_msg_alloc(&message, 64)
        context.receiving = false
        nng_aio_set_timeout(context.aio, 250)
        nng_aio_set_msg(context.aio, message)
        nng_ctx_send(context.context, context.aio)
    }

    private func step(_ context: Context) {
        let code = nng_aio_result(context.aio)
        if code == 0 && !context.receiving {
            context.receiving = true
            nng_ctx_recv(context.context, context.aio)
            return
        }
        if let message = nng_aio_get_msg(context.aio) {
            if code == 0 { clock.answered() }
            nng_msg_free(message)
            nng_aio_set_msg(context.aio, nil)
        }
        if closed.load(ordering: .acquiring) || code == Int32(NNG_ECLOSED.rawValue) { return }
        ask(context)
    }

    func close() {
        closed.store(true, ordering: .releasing)
        nng_close(socket)
        for context in contexts {
            nng_aio_stop(context.aio)
            nng_aio_free(context.aio)
        }
    }
}

/// One socket a link, without contexts: cooked PAIR0, or raw REQ with numbers of its own in the header.
final class SocketLink: SoakLink, Sendable {
    private let closed = Atomic<Bool>(false)
    private let socket: SoakSocket
    private let isRaw: Bool

    init(url: String, inFlight: Int, isRaw: Bool, clock: LinkClock) {
        var made = nng_socket()
        if isRaw { nng_req0_open_raw(&made) } else { nng_pair0_open(&made) }
        nng_socket_set_size(made, NNG_OPT_RECVMAXSZ, 1 << 20)
        nng_socket_set_ms(made, NNG_OPT_RECONNMINT, 20)
        nng_socket_set_ms(made, NNG_OPT_RECONNMAXT, 250)
        nng_socket_set_ms(made, NNG_OPT_SENDTIMEO, 250)
        nng_socket_set_ms(made, NNG_OPT_RECVTIMEO, 250)
        nng_dial(made, url, nil, Int32(bitPattern: NNG_FLAG_NONBLOCK))
        socket = SoakSocket(raw: made)
        self.isRaw = isRaw
        Threads.detach { self.exchange(inFlight, clock) }
    }

    private func exchange(_ inFlight: Int, _ clock: LinkClock) {
        var open = 0
        while !closed.load(ordering: .acquiring) {
            while open < inFlight {
                var message: OpaquePointer?
                nng_msg_alloc(&message, 64)
                if isRaw { nng_msg_header_append_u32(message, 0x8000_0001) }
                if let message, nng_sendmsg(socket.raw, message, 0) != 0 {
                    nng_msg_free(message)
                    break
                }
                open += 1
            }
            var answer: OpaquePointer?
            if nng_recvmsg(socket.raw, &answer, 0) == 0, let answer {
                nng_msg_free(answer)
                clock.answered()
                open -= 1
            } else {
                open = 0
            }
        }
    }

    func close() {
        closed.store(true, ordering: .releasing)
        nng_close(socket.raw)
    }
}

/// nng's socket by value. Unchecked: nng looks the number up in every call.
struct SoakSocket: @unchecked Sendable {
    let raw: nng_socket
}

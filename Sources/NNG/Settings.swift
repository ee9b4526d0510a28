/// Limits and times of one endpoint; every one of them is finite.
public struct EndpointSettings: Sendable, Hashable {
    /// Largest message body in bytes, received or sent; a peer that announces more is disconnected before
    /// anything is allocated for it (nng's own default has no limit).
    public var maxReceiveBytes: Int
    /// Pause before the first attempt to connect again.
    public var reconnectMinMilliseconds: Int
    /// Longest pause between attempts; short, because a restarted peer must carry traffic within 2 s.
    public var reconnectMaxMilliseconds: Int
    /// Messages that may wait to be sent on one link; more are refused.
    public var sendQueueLimit: Int
    /// Bytes that may wait to be sent on one link (plus one message); more are refused.
    public var sendQueueBytes: Int
    /// A message that could not be handed to the link in this time is dropped and counted.
    public var sendDeadlineMilliseconds: Int
    /// Longest time that `close()` waits for nng before it leaves the rest to a detached thread.
    public var closeDeadlineMilliseconds: Int
    /// An attempt to connect or to greet that takes longer than this is left behind for a new one.
    public var replaceAfterMilliseconds: Int
    /// Clients that a listener has at the same time; more are turned away, so that descriptors last.
    public var connectionLimit: Int
    /// Certificates for `tls+tcp://`; nil for the other transports.
    public var tls: TLSSettings?

    /// Settings with defaults that suit links inside one box or one rack.
    public init(
        maxReceiveBytes: Int = 64 << 20, reconnectMinMilliseconds: Int = 20,
        reconnectMaxMilliseconds: Int = 250, sendQueueLimit: Int = 1024, sendQueueBytes: Int = 256 << 20,
        sendDeadlineMilliseconds: Int = 5000, closeDeadlineMilliseconds: Int = 2000,
        replaceAfterMilliseconds: Int = 1500, connectionLimit: Int = 1024,
        tls: TLSSettings? = nil
    ) {
        self.maxReceiveBytes = maxReceiveBytes
        self.reconnectMinMilliseconds = reconnectMinMilliseconds
        self.reconnectMaxMilliseconds = reconnectMaxMilliseconds
        self.sendQueueLimit = sendQueueLimit
        self.sendQueueBytes = sendQueueBytes
        self.sendDeadlineMilliseconds = sendDeadlineMilliseconds
        self.closeDeadlineMilliseconds = closeDeadlineMilliseconds
        self.replaceAfterMilliseconds = replaceAfterMilliseconds
        self.connectionLimit = connectionLimit
        self.tls = tls
    }

    /// Throws when a limit is not finite and positive.
    func validate() throws(NNGError) {
        let sound =
            maxReceiveBytes > 0 && maxReceiveBytes <= 1 << 31 && reconnectMinMilliseconds > 0
            && reconnectMaxMilliseconds >= reconnectMinMilliseconds && sendQueueLimit > 0
            && sendQueueBytes > 0 && sendDeadlineMilliseconds > 0 && closeDeadlineMilliseconds > 0
            && replaceAfterMilliseconds > 0 && connectionLimit > 0
        if !sound {
            throw NNGError(
                code: NNGError.Code.invalid, operation: "use endpoint settings with a limit of 0 or less")
        }
    }
}

/// Certificates and names for `tls+tcp://`, as PEM text.
///
/// A client always verifies the server against `ca` and `serverName`: nng accepts any certificate of the CA when
/// no name is given, so the name is not optional. nng speaks TLS 1.2, matches DNS names only (never IP
/// addresses) and loads RSA and P-256 keys.
public struct TLSSettings: Sendable, Hashable {
    /// Certificates of the authorities that the peer's certificate must chain to, PEM.
    public var ca: String
    /// Our certificate chain, PEM; a server needs one, a client when the server requires it.
    public var certificate: String?
    /// The private key of `certificate`, PEM.
    public var key: String?
    /// DNS name that a client expects in the server's certificate.
    public var serverName: String
    /// Whether a server turns away clients without a certificate of `ca`.
    public var required: Bool

    /// Settings from PEM text.
    public init(ca: String, certificate: String?, key: String?, serverName: String, required: Bool = true) {
        self.ca = ca
        self.certificate = certificate
        self.key = key
        self.serverName = serverName
        self.required = required
    }
}

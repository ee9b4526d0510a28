internal import CNNG

/// Which side of a connection a TLS configuration serves.
enum TLSRole: Sendable {
    case client
    case server
}

extension TLSSettings {
    /// Builds nng's configuration, hands it to `body` and lets go of it; the endpoint keeps its own hold.
    func withConfiguration(
        _ role: TLSRole, _ body: (OpaquePointer) -> Int32
    ) throws(NNGError) {
        guard role == .server || !serverName.isEmpty else {
            throw NNGError(
                code: NNGError.Code.invalid,
                operation: "dial with TLS and no serverName, which would accept any certificate of the CA")
        }
        guard role == .client || (certificate != nil && key != nil) else {
            throw NNGError(
                code: NNGError.Code.invalid, operation: "listen with TLS and no certificate or no key")
        }
        var made: OpaquePointer?
        let mode = role == .server ? NNG_TLS_MODE_SERVER : NNG_TLS_MODE_CLIENT
        let code = nng_tls_config_alloc(&made, mode)
        try NNGError.check(code, "make a TLS configuration")
        guard let made else { throw NNGError(code: NNGError.Code.noMemory, operation: "configure TLS") }
        defer { nng_tls_config_free(made) }
        try fill(made, role)
        try NNGError.check(body(made), "use the TLS configuration")
    }

    private func fill(_ made: OpaquePointer, _ role: TLSRole) throws(NNGError) {
        try NNGError.check(nng_tls_config_ca_chain(made, ca, nil), "read the TLS authority's certificate")
        if let certificate, let key {
            try NNGError.check(
                nng_tls_config_own_cert(made, certificate, key, nil), "read the TLS certificate and key")
        }
        if role == .client {
            try NNGError.check(nng_tls_config_server_name(made, serverName), "set the TLS server name")
        }
        let verify = role == .client || required
        try NNGError.check(
            nng_tls_config_auth_mode(
                made, verify ? NNG_TLS_AUTH_MODE_REQUIRED : NNG_TLS_AUTH_MODE_NONE),
            "require TLS authentication")
    }
}

extension EndpointSettings {
    /// Throws when the URL wants TLS and there are no settings for it, or the other way round.
    func checkTransport(_ url: String) throws(NNGError) {
        let secure = url.hasPrefix("tls+tcp")
        if secure && tls == nil {
            throw NNGError(code: NNGError.Code.invalid, operation: "use \(url) without TLS settings")
        }
        if !secure && tls != nil {
            throw NNGError(
                code: NNGError.Code.invalid, operation: "use TLS settings with \(url), which is not encrypted"
            )
        }
    }
}

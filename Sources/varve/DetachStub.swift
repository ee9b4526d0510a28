enum Detach {
    static func reportReady(_ text: String) {}
    static func reportFailed(_ text: String) {}
}

struct FrameParser {
    var bytes: UnsafeRawBufferPointer
    var context: FrameContext?
    var limits: FrameLimits
    func parse() throws(CodecError) -> (header: FrameHeader, scopeRanges: [Range<Int>]) {
        throw CodecError(.unsupported, "not available yet")
    }
}
extension Frame {
    func decode(scope: Range<Int>, into members: [ScopeMember]) throws(CodecError) {
        throw CodecError(.unsupported, "not available yet")
    }
}
extension FrameEncoder {
    func assemble(stateDigest: Digest) -> [UInt8] { [] }
}
func encodeScope(_ sources: [SectionSource], settings: CodecSettings, isBase: Bool, totals: inout ScopeTotals)
    -> [UInt8]
{ [] }

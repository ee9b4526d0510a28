import Testing

@testable import NNG

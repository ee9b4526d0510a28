import Testing

@testable import LCCheckpoint
